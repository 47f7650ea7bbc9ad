package task

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"
)

// Origin says which of the three places a parameter's value came from.
type Origin string

// The origins, as they appear in status documents.
const (
	FromRequest Origin = "request"
	FromTask    Origin = "task"
	FromSource  Origin = "source"
)

// Value is a resolved parameter: what a run uses, decided once when the run is accepted.
type Value struct {
	// Values holds the strings: none when the source's own default applies, one for a
	// plain parameter, any number for a multiple one.
	Values   []string `json:",omitempty"`
	Multiple bool     `json:",omitempty"`
	From     Origin
}

// Values are a run's resolved parameters by key: the column name, or the qualified name where
// two parameters share a column.
type Values map[string]Value

// Hash tells apart what callers asked for: the hex SHA-256 of the values that came from the
// request. What the task or the source added is left out, so that a POST repeated under its
// idempotency key is the same one even if the task's defaults were edited in between.
func (v Values) Hash() string {
	keys := make([]string, 0, 16) // on the stack, for as many parameters as nearly every task has
	for key, value := range v {
		if value.From == FromRequest {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	data := make([]byte, 0, 512)
	for _, key := range keys {
		data = appendSized(data, key)
		values := v[key].Values
		data = binary.BigEndian.AppendUint64(data, uint64(len(values)))
		for _, value := range values {
			data = appendSized(data, value)
		}
	}
	hash := sha256.Sum256(data)
	return hex.EncodeToString(hash[:])
}

// appendSized appends a text behind its length, which keeps ("ab", "c") apart from ("a", "bc").
func appendSized(data []byte, text string) []byte {
	return append(binary.BigEndian.AppendUint64(data, uint64(len(text))), text...)
}
