package run

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"runhook/shared/task"
)

// RejectedRow is a row of the source that failed, and why. It is what nobody but the holder of
// a run's signature or the admin token may see: the cells, and a driver's or server's own words.
type RejectedRow struct {
	// Row counts the source's data rows from 1.
	Row int64
	// Column is the destination's column, or the source's where the row could not be read; may be empty.
	Column string
	// Reason says why the row failed, in the driver's or server's own words where it has any.
	Reason string
	// Cells are the row as it was read, one for each of the chunk's columns, as text. Of a row that could not be read
	// they are what could.
	Cells []string
}

// RejectedChunk is what is stored of a run's rejected rows as one piece.
type RejectedChunk struct {
	// Columns are the source's, or those of them that are kept.
	Columns []string
	// Delimiter is the character between fields that the task's source expects, so that the rows can
	// go through the same task again.
	Delimiter string
	Rows      []RejectedRow
}

// Encode returns the bytes to store: compressed JSON.
func (c RejectedChunk) Encode() ([]byte, error) {
	var data bytes.Buffer
	zip, err := gzip.NewWriterLevel(&data, gzip.BestSpeed)
	if err == nil {
		err = errors.Join(json.NewEncoder(zip).Encode(c), zip.Close())
	}
	if err != nil {
		return nil, fmt.Errorf("encode rejected rows: %w", err)
	}
	return data.Bytes(), nil
}

// unpackedMost bounds what a chunk may unpack to: anybody may have written it. A chunk has about a MiB of cells, and
// one row more.
var unpackedMost int64 = 128 << 20 // less in a test

// DecodeRejectedChunk reads stored bytes. Those of older versions are not compressed.
func DecodeRejectedChunk(data []byte) (RejectedChunk, error) {
	var c RejectedChunk
	var text io.Reader = bytes.NewReader(data)
	if !bytes.HasPrefix(data, []byte("{")) {
		zip, err := gzip.NewReader(text)
		if err != nil {
			return c, fmt.Errorf("decode rejected rows: %w", err)
		}
		text = io.LimitReader(zip, unpackedMost)
	}
	if err := json.NewDecoder(text).Decode(&c); err != nil {
		return c, fmt.Errorf("decode rejected rows: %w", err)
	}
	if len(c.Rows) == 0 {
		return c, errors.New("decode rejected rows: there are none")
	}
	return c, nil
}

// RejectedSet names the chunks of a run's rejected rows, in the order of the rows.
type RejectedSet []RejectedChunks

// RejectedChunks names some of the chunks that one attempt stored.
type RejectedChunks struct {
	// Token is the fencing token of the attempt's claim.
	Token uint64
	// From and To are the numbers of the first and the last one.
	From, To int
	// Rows is how many rows are in them, and Bytes how many bytes of cells and reasons; 0 in a checkpoint of
	// an older version.
	Rows, Bytes int64 `json:",omitempty"`
}

// mostChunks is how many chunks a run may have: what it stores at most is some thousands.
const mostChunks = 1 << 20

// Check refuses a set that no run has: chunks are numbered from 1, and there are not endlessly many.
func (s RejectedSet) Check() error {
	count := 0
	for _, some := range s {
		if some.From < 1 || some.To < some.From || some.To > mostChunks || some.Rows < 0 || some.Bytes < 0 {
			return fmt.Errorf("chunks %d to %d of rejected rows are none that a run has", some.From, some.To)
		}
		if count += some.To - some.From + 1; count > mostChunks {
			return fmt.Errorf("more than %d chunks of rejected rows are none that a run has", mostChunks)
		}
	}
	return nil
}

// With is the set and one chunk more, of so many rows and bytes.
func (s RejectedSet) With(token uint64, chunk int, rows, size int64) RejectedSet {
	if last := len(s) - 1; last >= 0 && s[last].Token == token && s[last].To+1 == chunk {
		longer := slices.Clone(s)
		longer[last].To = chunk
		longer[last].Rows += rows
		longer[last].Bytes += size
		return longer
	}
	return append(slices.Clip(s), RejectedChunks{token, chunk, chunk, rows, size})
}

// Rows is how many rows are in the chunks, and size how many bytes of cells and reasons.
func (s RejectedSet) Rows() (rows, size int64) {
	for _, some := range s {
		rows += some.Rows
		size += some.Bytes
	}
	return rows, size
}

// Chunks is how many there are.
func (s RejectedSet) Chunks() (count int) {
	for _, some := range s {
		count += some.To - some.From + 1
	}
	return count
}

// Chunk is the token and number of a chunk, counted from 1 over the whole set; ok is false where there
// are not so many.
func (s RejectedSet) Chunk(at int) (token uint64, chunk int, ok bool) {
	for _, some := range s {
		count := some.To - some.From + 1
		if at >= 1 && at <= count {
			return some.Token, some.From + at - 1, true
		}
		at -= count
	}
	return 0, 0, false
}

// RejectedPath is the path of a run's rejected rows.
func RejectedPath(id task.ID, n Number) string {
	return "/task/executepolling/" + string(id) + "/" + n.String() + "/rejected"
}
