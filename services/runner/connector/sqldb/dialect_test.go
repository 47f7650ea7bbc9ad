package sqldb

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// ofOneMake is what only a dialect may name: a make of database or its driver, and SQL that others lack.
var ofOneMake = regexp.MustCompile(`(?i)sqlite|modernc|pragma|begin immediate|on conflict \(|collate|limit -1|\?\d|postgres|pgx|pgconn|unnest|\$\d|is distinct from|pg_|mysql|mariadb|information_schema|duplicate key|<=>`)

func named(source string) (lines []string) {
	for line := range strings.Lines(source) {
		if ofOneMake.MatchString(line) {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

// A second make of database is one more file: no other file speaks the SQL of one.
func TestOnlyDialectsNameADatabase(t *testing.T) {
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	read := 0
	for _, entry := range entries {
		file := entry.Name()
		if !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			continue
		}
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		read++
		lines := named(string(source))
		if file == "makes.go" { // which dialect a connection has
			continue
		}
		if strings.HasPrefix(file, "sqlite") || strings.HasPrefix(file, "postgres") || strings.HasPrefix(file, "mysql") {
			if len(lines) == 0 {
				t.Errorf("%s names no database: is this test blind?", file)
			}
			continue
		}
		for _, line := range lines {
			t.Errorf("%s: %s", file, line)
		}
	}
	if read < 8 {
		t.Errorf("only %d files were read", read)
	}
}

func TestNamesOfDatabasesAreFound(t *testing.T) {
	for line, found := range map[string]bool{
		`	lib "modernc.org/sqlite/lib"`:                 true,
		`database.SQLite != ""`:                         true,
		`sql.Open("pgx", database.Postgres)`:            true,
		`"SELECT * FROM unnest(?::text[])"`:             true,
		`"WHERE id = $1"`:                               true,
		`"SELECT name FROM sqlite_schema"`:              true,
		`"select * from pragma_table_xinfo(?)"`:         true,
		`conn.ExecContext(ctx, "BEGIN IMMEDIATE")`:      true,
		`"UPDATE t SET a = ?2 WHERE id = ?1"`:           true,
		`"SELECT 1 FROM information_schema.tables"`:     true,
		`insert + " ON CONFLICT (" + key + ")"`:         true,
		`conn.ExecContext(whole, "ROLLBACK TO one")`:    false,
		`"INSERT INTO " + t.dialect.quote(name)`:        false,
		`(ON CONFLICT ROLLBACK, or a trigger)`:          false,
		`return d.dialect.missingOnly(statement, keys)`: false,
	} {
		if got := named(line); slices.Contains(got, strings.TrimSpace(line)) != found {
			t.Errorf("%s: found %v", line, got)
		}
	}
}
