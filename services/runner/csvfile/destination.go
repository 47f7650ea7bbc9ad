package csvfile

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"runhook/services/runner/connection"
	"runhook/services/runner/row"
	"runhook/shared/task"
)

// Destination writes rows to one file as CSV in UTF-8 with commas and line ends of \n.
type Destination struct {
	place   string
	root    *os.Root
	path    string
	columns []string
	file    *os.File
	// temporary is the file beside path that replace writes and renames; empty for append, and when
	// it is there no more.
	temporary string
	// complete is the length of the file up to the last whole batch.
	complete int64
	// began is the length of the file before this run.
	began  int64
	buffer []byte
}

// Create opens the file for what the task does with it. columns are the mapping's. Whatever is
// wrong is a [*run.Failure].
func Create(connections *connection.Set, to *task.CSVDestination, columns []string) (*Destination, error) {
	root, err := connections.Files(to.Connection)
	if err != nil {
		return nil, err
	}
	d := &Destination{
		place: "the file " + to.Path + " of connection " + to.Connection,
		root:  root, path: filepath.FromSlash(to.Path), columns: columns,
	}
	if to.Action == task.Append {
		err = d.openAppend()
	} else {
		err = d.openReplace()
	}
	if err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

func (d *Destination) openReplace() error {
	mode := fs.FileMode(0o644)
	switch info, err := d.root.Stat(d.path); {
	case err == nil && !info.Mode().IsRegular():
		return row.Failf("%s is not a file, and cannot be replaced", d.place)
	case err == nil:
		mode = info.Mode().Perm()
	}
	folder, name := filepath.Split(d.path)
	temporary := folder + "." + name + "." + rand.Text() + ".tmp"
	file, err := d.root.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return d.explain(err)
	}
	d.file, d.temporary = file, temporary
	d.buffer = appendRecord(d.buffer, d.columns)
	return nil
}

func (d *Destination) openAppend() error {
	if info, err := d.root.Stat(d.path); err == nil && !info.Mode().IsRegular() {
		return row.Failf("%s is not a file, and nothing can be appended to it", d.place)
	}
	file, err := d.root.OpenFile(d.path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return d.explain(err)
	}
	d.file = file
	info, err := file.Stat()
	if err != nil {
		return d.explain(err)
	}
	d.began, d.complete = info.Size(), info.Size()
	if d.complete == 0 {
		d.buffer = appendRecord(d.buffer, d.columns)
		return nil
	}
	return d.checkHeader()
}

// checkHeader compares the header of the file with the mapping, and sees to it that the first new
// row begins a line.
func (d *Destination) checkHeader() error {
	header := newReader(d.file, ',')
	if err := header.read(); err != nil {
		return row.Failf("%s has no header that can be read; nothing was appended", d.place)
	}
	text := string(header.record)
	var names []string
	for _, f := range header.fields {
		names = append(names, f.text(text))
	}
	names[0] = strings.TrimPrefix(names[0], "\uFEFF")
	if !slices.Equal(names, d.columns) {
		return row.Failf("the header of %s does not have the columns of the mapping in their order (%s); nothing was appended", d.place, strings.Join(d.columns, ","))
	}
	last := make([]byte, 1)
	if _, err := d.file.ReadAt(last, d.complete-1); err != nil {
		return d.explain(err)
	}
	if last[0] != '\n' {
		d.buffer = append(d.buffer, '\n')
	}
	if _, err := d.file.Seek(d.complete, io.SeekStart); err != nil {
		return d.explain(err)
	}
	return nil
}

// explain says why a file could not be opened or written.
func (d *Destination) explain(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return row.Failf("the folder of %s does not exist; make it", d.place)
	case errors.Is(err, fs.ErrPermission):
		return row.Failf("%s may not be written by the runner; correct the permissions", d.place)
	}
	return row.Failf("%s cannot be written; the disk may be full, or its path may lead out of the connection's folder", d.place)
}

// Write appends the batch's rows to the file in one write. before is called when they are ready to
// be written; its error, like any other, leaves the file at the batch before.
func (d *Destination) Write(ctx context.Context, batch *row.Batch, before func(row int64) error) error {
	for r := range batch.Pending() {
		size := len(d.buffer)
		var fault *row.Fault
		if d.buffer, fault = d.appendRow(d.buffer, r.Values); fault != nil {
			d.buffer = d.buffer[:size]
			r.Fail(fault)
			continue
		}
		r.Outcome = row.Inserted
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := before(batch.Last()); err != nil {
		return err
	}
	return d.flush()
}

// flush writes what is in the buffer. A part of it is taken back.
func (d *Destination) flush() error {
	n, err := d.file.Write(d.buffer)
	if err != nil {
		_ = d.file.Truncate(d.complete)
		return d.explain(err)
	}
	d.complete += int64(n)
	d.buffer = d.buffer[:0]
	return nil
}

// Finish brings the file to disk, and for replace puts it in its place.
func (d *Destination) Finish() error {
	// A header may still be waiting for rows that never came.
	if err := d.flush(); err != nil {
		return err
	}
	if d.complete == d.began && d.temporary == "" {
		return nil // nothing was appended
	}
	if err := d.file.Sync(); err != nil {
		return d.explain(err)
	}
	if d.temporary == "" {
		return nil
	}
	if err := d.root.Rename(d.temporary, d.path); err != nil {
		return d.explain(err)
	}
	d.temporary = ""
	// The rename itself must outlast a power cut too; not every system can sync a folder.
	if folder, err := d.root.Open(filepath.Dir(d.path)); err == nil {
		_ = folder.Sync()
		folder.Close()
	}
	return nil
}

// Close releases the file. Without Finish, what replace wrote is removed, and kept is false: the
// file is what it was before; append keeps its whole batches.
func (d *Destination) Close() (kept bool) {
	if d.file != nil {
		d.file.Close()
	}
	kept = d.temporary == ""
	if !kept {
		_ = d.root.Remove(d.temporary)
	}
	d.root.Close()
	return kept
}

func (d *Destination) appendRow(line []byte, values []any) ([]byte, *row.Fault) {
	start := len(line)
	for i, value := range values {
		if i > 0 {
			line = append(line, ',')
		}
		text, ok := row.Text(value)
		if !ok {
			return line, row.Faultf(d.columns[i], "is a list or an object, not a single value")
		}
		line = appendField(line, text)
	}
	return endRecord(line, start), nil
}

func appendRecord(line []byte, fields []string) []byte {
	start := len(line)
	for i, text := range fields {
		if i > 0 {
			line = append(line, ',')
		}
		line = appendField(line, text)
	}
	return endRecord(line, start)
}

// endRecord ends the record that began at start. One that would be an empty line, which readers
// leave out, gets an empty field in quotes.
func endRecord(line []byte, start int) []byte {
	if len(line) == start {
		line = append(line, `""`...)
	}
	return append(line, '\n')
}

func appendField(line []byte, text string) []byte {
	if !strings.ContainsAny(text, ",\"\r\n") && !strings.HasPrefix(text, " ") && !strings.HasSuffix(text, " ") {
		return append(line, text...)
	}
	line = append(line, '"')
	for {
		i := strings.IndexByte(text, '"')
		if i < 0 {
			break
		}
		line = append(append(line, text[:i]...), `""`...)
		text = text[i+1:]
	}
	return append(append(line, text...), '"')
}
