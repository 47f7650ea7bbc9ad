package run

import (
	"encoding/json"
	"fmt"

	"runhook/shared/task"
)

// RejectedRow is a row of the source that failed, whole, and why. It is what nobody but the holder of
// a run's signature or the admin token may see: the cells, and a driver's or server's own words.
type RejectedRow struct {
	// Row counts the source's data rows from 1.
	Row int64
	// Column is the destination's column, or the source's where the row could not be read; may be empty.
	Column string
	// Reason says why the row failed, in the driver's or server's own words where it has any.
	Reason string
	// Cells are the row as it was read, one for each column, as text. Of a row that could not be read
	// they are what could.
	Cells []string
}

// RejectedChunk is what is stored of a run's rejected rows as one piece.
type RejectedChunk struct {
	// Columns are the source's.
	Columns []string
	// Delimiter is the character between fields that the task's source expects, so that the rows can
	// go through the same task again.
	Delimiter string
	Rows      []RejectedRow
}

// Encode returns the bytes to store.
func (c RejectedChunk) Encode() ([]byte, error) {
	data, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("encode rejected rows: %w", err)
	}
	return data, nil
}

// DecodeRejectedChunk reads stored bytes.
func DecodeRejectedChunk(data []byte) (RejectedChunk, error) {
	var c RejectedChunk
	if err := json.Unmarshal(data, &c); err != nil {
		return c, fmt.Errorf("decode rejected rows: %w", err)
	}
	return c, nil
}

// RejectedSet names the chunks of one attempt's rejected rows: those of Token, 1 to Chunks. The zero
// set has none.
type RejectedSet struct {
	// Token is the fencing token of the attempt's claim.
	Token  uint64 `json:",omitempty"`
	Chunks int    `json:",omitempty"`
}

// RejectedPath is the path of a run's rejected rows.
func RejectedPath(id task.ID, n Number) string {
	return "/task/executepolling/" + string(id) + "/" + n.String() + "/rejected"
}
