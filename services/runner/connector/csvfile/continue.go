package csvfile

import (
	"bytes"
	"io"
)

// maxWritten bounds how much of a file is compared with the rows that an interrupted attempt had still
// written behind its last checkpoint. It writes for a second or so between two.
const maxWritten = 64 << 20

// Length is the length of the file with all rows so far, 0 before it is opened to be appended to.
func (d *Destination) Length() int64 { return d.complete }

// ContinueBehind tells append that an interrupted attempt at this run had a checkpoint when the file had
// this length. What is behind it and is just what would be written next, is what that attempt has
// written, and is left as it is; anything else is another writer's, and rows go behind it.
func (d *Destination) ContinueBehind(length int64) { d.resumed, d.behind = true, length }

// findWritten reads what an interrupted attempt may have written.
func (d *Destination) findWritten() error {
	if !d.resumed {
		return nil
	}
	from := d.behind
	if from == 0 { // it made the file, and the header is there
		header := appendRecord(nil, d.columns)
		if !beginsWith(d.file, header) {
			return nil
		}
		from = int64(len(header))
	}
	if from >= d.began || d.began-from > maxWritten {
		return nil
	}
	d.written = make([]byte, d.began-from)
	if _, err := d.file.ReadAt(d.written, from); err != nil {
		return d.explainWrite(err)
	}
	d.complete = from
	return nil
}

// recognize leaves out of the buffer what the file has already.
func (d *Destination) recognize() error {
	if len(d.written) == 0 {
		return nil
	}
	same := min(len(d.written), len(d.buffer))
	if bytes.Equal(d.written[:same], d.buffer[:same]) {
		d.complete += int64(same)
		d.written, d.buffer = d.written[same:], append(d.buffer[:0], d.buffer[same:]...)
		return nil
	}
	d.written = nil
	d.complete = d.began
	if _, err := d.file.Seek(0, io.SeekEnd); err != nil {
		return d.explainWrite(err)
	}
	return d.endLine()
}
