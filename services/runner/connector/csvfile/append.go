package csvfile

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"runhook/shared/plainfile"
	"runhook/shared/run"
	"runhook/shared/wait"
)

// try refuses, before a row is read, what is no file, a folder that is not there, and a file to which
// nothing could be appended.
func (d *Destination) try() error {
	info, err := d.root.Stat(d.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if _, err := d.root.Stat(filepath.Dir(d.path)); err != nil {
			return d.explain(err)
		}
		return nil // it is made
	case err != nil:
		return d.explain(err)
	case !info.Mode().IsRegular() && d.appends:
		return run.Failf("%s is not a file, and nothing can be appended to it", d.place)
	case !info.Mode().IsRegular():
		return run.Failf("%s is not a file, and cannot be replaced", d.place)
	case info.Size() == 0:
		return nil
	}
	if err := d.keepOther(); err != nil || !d.appends {
		return err
	}
	file, _, err := plainfile.OpenIn(d.root.Root, d.path, os.O_RDWR)
	if err != nil {
		return d.explain(err)
	}
	defer file.Close()
	return d.checkHeader(file)
}

// openAppend opens the file for append, once, and locks it for as long as this run goes on: two that
// append at the same time would overwrite each other. Everything that was seen of the file before is
// looked at again under the lock.
func (d *Destination) openAppend(ctx context.Context) error {
	if d.file != nil {
		return nil
	}
	file, err := d.lockedFile(ctx)
	if err != nil {
		return err
	}
	d.file = file
	if d.began, err = file.Seek(0, io.SeekEnd); err != nil {
		return d.explainWrite(err)
	}
	d.complete = d.began
	if d.began == 0 {
		d.buffer = append(appendRecord(nil, d.columns), d.buffer...)
		return nil
	}
	if err := d.checkHeader(file); err != nil {
		return err
	}
	if err := d.findWritten(); err != nil {
		return err
	}
	return d.endLine()
}

// endLine begins a new line where the last one has no end.
func (d *Destination) endLine() error {
	last := make([]byte, 1)
	if _, err := d.file.ReadAt(last, d.complete-1); err != nil {
		return d.explainWrite(err)
	}
	if last[0] != '\n' && len(d.buffer) > 0 {
		d.buffer = slices.Insert(d.buffer, 0, '\n')
	}
	return nil
}

// lockedFile waits for the lock. A file that was replaced meanwhile is not the one any more.
func (d *Destination) lockedFile(ctx context.Context) (*os.File, error) {
	for {
		file, mine, err := plainfile.OpenIn(d.root.Root, d.path, os.O_RDWR|os.O_CREATE)
		if err != nil {
			return nil, d.explain(err)
		}
		if err := d.waitForLock(ctx, file); err != nil {
			file.Close()
			return nil, err
		}
		if there, err := d.root.Stat(d.path); err == nil && os.SameFile(mine, there) {
			return file, nil
		}
		file.Close()
	}
}

// waitForLock asks again and again: a wait inside the system could not be ended with ctx.
func (d *Destination) waitForLock(ctx context.Context, file *os.File) error {
	pause := wait.Backoff{Least: 5 * time.Millisecond, Most: 250 * time.Millisecond}
	for {
		locked, err := tryLock(file)
		if err != nil {
			return run.Failf("%s cannot be locked against other writers; append needs a disk or network share that has file locks", d.place)
		}
		if locked {
			return nil
		}
		if !pause.Wait(ctx) {
			return ctx.Err()
		}
	}
}

// checkHeader compares the header of the file with the mapping.
func (d *Destination) checkHeader(file *os.File) error {
	// Mostly it is just what would be written.
	if beginsWith(file, appendRecord(nil, d.columns)) {
		return nil
	}
	header := newReader(io.NewSectionReader(file, 0, maxRecord), ',', 4<<10)
	if err := header.read(); err != nil {
		return run.Failf("%s has no header that can be read; nothing was appended", d.place)
	}
	text := string(header.record)
	var names []string
	for _, f := range header.fields {
		names = append(names, f.text(text))
	}
	names[0] = strings.TrimPrefix(names[0], "\uFEFF")
	if !slices.Equal(names, d.columns) {
		return run.Failf("the header of %s does not have the columns of the mapping in their order (%s); nothing was appended", d.place, strings.Join(d.columns, ","))
	}
	return nil
}

// beginsWith reports whether just these bytes are the file's first.
func beginsWith(file *os.File, text []byte) bool {
	there := make([]byte, len(text))
	_, err := file.ReadAt(there, 0)
	return err == nil && bytes.Equal(there, text)
}

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

// recognize leaves out of the buffer what the file has already. The interrupted attempt may have made its
// batches of other rows, and another writer may have come behind any of them.
func (d *Destination) recognize() error {
	if len(d.written) == 0 {
		return nil
	}
	same := commonPrefix(d.written, d.buffer)
	if same == len(d.written) || same == len(d.buffer) {
		d.complete += int64(same)
		d.written, d.buffer = d.written[same:], append(d.buffer[:0], d.buffer[same:]...)
		return nil
	}
	whole := 0
	for _, end := range d.ends {
		if at := len(d.buffer) - end; at <= same {
			whole = at
		}
	}
	d.written, d.buffer = nil, append(d.buffer[:0], d.buffer[whole:]...)
	d.complete = d.began
	if _, err := d.file.Seek(0, io.SeekEnd); err != nil {
		return d.explainWrite(err)
	}
	return d.endLine()
}

// commonPrefix is how many bytes both begin with.
func commonPrefix(a, b []byte) int {
	most := min(len(a), len(b))
	for i := range most {
		if a[i] != b[i] {
			return i
		}
	}
	return most
}
