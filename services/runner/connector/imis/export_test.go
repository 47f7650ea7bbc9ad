package imis

import (
	"testing"
	"time"
)

// ShortenPauses makes the waits between tries short for a test.
func ShortenPauses(t *testing.T) {
	before := pause
	pause.Least, pause.Most = time.Millisecond, 4*time.Millisecond
	t.Cleanup(func() { pause = before })
}

// ReadEntity reads a definition as a site gives it.
func ReadEntity(text string) *Entity { return readEntity(&scanner{text: text}) }

// ShortenPatience makes a change give up, and end with its run, after other times.
func ShortenPatience(t *testing.T, change, linger time.Duration) {
	before := patience
	patience.change, patience.linger = change, linger
	t.Cleanup(func() { patience = before })
}

// ChangeRecord gives a record other values: names and their JSON. It is false for what is no record.
func ChangeRecord(text string, changes map[string]string) (string, bool) {
	r, ok := readRecord(text)
	if !ok {
		return "", false
	}
	var fields []field
	for name, json := range changes {
		fields = append(fields, field{property: &Property{Name: name}, json: json})
	}
	return r.change(fields), true
}
