package task

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"maps"
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
	hash := sha256.New()
	write := func(text string) {
		// The length before each text keeps ("ab", "c") apart from ("a", "bc").
		_ = binary.Write(hash, binary.BigEndian, uint64(len(text)))
		hash.Write([]byte(text))
	}
	for _, key := range slices.Sorted(maps.Keys(v)) {
		if v[key].From != FromRequest {
			continue
		}
		write(key)
		_ = binary.Write(hash, binary.BigEndian, uint64(len(v[key].Values)))
		for _, value := range v[key].Values {
			write(value)
		}
	}
	return hex.EncodeToString(hash.Sum(nil))
}
