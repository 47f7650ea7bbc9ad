package run

import (
	"errors"
	"strings"
)

// Correction names the rows of a run that failed, as somebody has corrected them. They are stored beside the failed rows
// of that run, in chunks, before the run is accepted that reads them.
type Correction struct {
	// Of is the run whose rows they are.
	Of Number
	// Key tells the corrections of one run apart: letters and digits.
	Key string
	// Chunks is how many there are, and Rows how many rows are in them.
	Chunks int
	Rows   int64
}

// maxCorrectionKey is how long a Key may be.
const maxCorrectionKey = 64

// check refuses a correction that nobody can have stored.
func (c Correction) check() error {
	if c.Of < 1 || c.Chunks < 1 || c.Chunks > mostChunks || c.Rows < 1 || c.Key == "" || len(c.Key) > maxCorrectionKey ||
		strings.Trim(c.Key, "0123456789abcdefghijklmnopqrstuvwxyz") != "" {
		return errors.New("the corrected rows are none that anybody has stored")
	}
	return nil
}
