package history

import (
	"database/sql/driver"
	"strings"
	"sync"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
	"modernc.org/sqlite"
)

// fold is a text in which letters that differ only by their case are the same, however they are composed.
func fold(text string) string { return norm.NFC.String(cases.Fold().String(norm.NFD.String(text))) }

// hasText is the name of an SQL function: whether a text, folded, has another in it that is folded already. SQLite's own
// LIKE folds ASCII only.
const hasText = "runhook_history_has_text"

// addFunctions adds hasText to the SQLite of this process, for connections that are opened later.
var addFunctions = sync.OnceValue(func() error {
	return sqlite.RegisterDeterministicScalarFunction(hasText, 2, func(_ *sqlite.FunctionContext, values []driver.Value) (driver.Value, error) {
		text, _ := values[0].(string)
		part, _ := values[1].(string)
		return strings.Contains(fold(text), part), nil
	})
})

// messageHas is the condition that wants messages that have a text in them, in any letter case. Most have letters of ASCII only, each of one byte,
// for which LIKE is right.
func messageHas(text string) (sql string, values []any) {
	part := fold(text)
	escaped := strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(part)
	return `(runs.message like ? escape '\' or octet_length(runs.message) > length(runs.message) and ` + hasText + `(runs.message, ?))`, []any{"%" + escaped + "%", part}
}
