package csvfile

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"runhook/services/runner/connection"
	"runhook/services/runner/row"
	"runhook/shared/plainfile"
	"runhook/shared/run"
	"runhook/shared/task"
)

// Destination writes rows to one file as CSV in UTF-8 with commas and line ends of \n.
type Destination struct {
	place   string
	root    connection.Folder
	path    string
	columns []string
	// appends: rows go behind those that are there, and replace them otherwise.
	appends bool
	// dry: nothing is written.
	dry bool
	// file is open for writing and locked; nil before append has anything to write.
	file *os.File
	// temporary is the file beside path that replace writes and renames; empty for append, and when
	// it is there no more.
	temporary string
	// complete is the length of the file up to the last whole batch.
	complete int64
	// began is the length of the file before this attempt wrote.
	began  int64
	buffer []byte
	// ends are where the batch's rows end, counted from the buffer's end.
	ends []int
	// resumed: an interrupted attempt at this run was at the length behind; written is what the file has
	// from there on, as far as it may be that attempt's rows.
	resumed bool
	behind  int64
	written []byte
}

// Create prepares the file for what the task does with it. columns are the mapping's. Whatever is
// wrong is a [*run.Failure].
func Create(connections *connection.Set, to *task.CSVDestination, columns []string) (*Destination, error) {
	d, err := prepare(connections, to, columns)
	if err != nil || d.appends {
		return d, err
	}
	if err := d.openReplace(); err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

// Try is Create for a dry run: every row becomes text, and nothing is made or written.
func Try(connections *connection.Set, to *task.CSVDestination, columns []string) (*Destination, error) {
	d, err := prepare(connections, to, columns)
	if err == nil {
		d.dry = true
	}
	return d, err
}

// prepare locates the file, and refuses what try does.
func prepare(connections *connection.Set, to *task.CSVDestination, columns []string) (*Destination, error) {
	d, err := locate(connections, to, columns)
	if err != nil {
		return nil, err
	}
	if err := d.try(); err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

func locate(connections *connection.Set, to *task.CSVDestination, columns []string) (*Destination, error) {
	root, err := connections.Files(to.Connection)
	if err != nil {
		return nil, err
	}
	return &Destination{
		place: "the file " + to.Path + " of connection " + to.Connection,
		root:  root, path: filepath.FromSlash(to.Path), columns: columns, appends: to.Action == task.Append,
	}, nil
}

// explain says why a file could not be opened.
func (d *Destination) explain(err error) error {
	switch {
	case errors.Is(err, plainfile.ErrNotFile):
		return run.Failf("%s is not a file", d.place)
	case errors.Is(err, fs.ErrNotExist):
		return run.Failf("the folder of %s does not exist; make it", d.place)
	case errors.Is(err, fs.ErrPermission):
		return run.Failf("%s may not be written by the runner; correct the permissions", d.place)
	}
	return run.Failf("%s cannot be opened; its path must not lead out of the connection's folder, links in it must be relative, and the disk must have room", d.place)
}

// explainWrite says why what was opened could not be written.
func (d *Destination) explainWrite(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG) {
		return run.Failf("there is no room to write %s: the disk is full, or a quota or limit is reached; make room, and run the task again", d.place)
	}
	return run.Failf("%s could not be written any further: the disk or the network share failed", d.place)
}

// Write appends the batch's rows to the file in one write. before is called when they are ready to
// be written; its error, like any other, leaves the file at the batch before.
func (d *Destination) Write(ctx context.Context, batch *row.Batch, before func(row int64) error) error {
	d.encode(batch)
	if err := ctx.Err(); err != nil {
		return err
	}
	if d.dry {
		d.buffer = d.buffer[:0]
	}
	if len(d.buffer) == 0 {
		return nil
	}
	if err := d.openAppend(ctx); err != nil {
		return err
	}
	if err := before(batch.Last()); err != nil {
		return err
	}
	return d.flush()
}

// encode puts the text of the batch's rows into the buffer, and fails those that have none.
func (d *Destination) encode(batch *row.Batch) {
	d.ends = d.ends[:0]
	for r := range batch.Pending() {
		size := len(d.buffer)
		var fault *row.Fault
		if d.buffer, fault = d.appendRow(d.buffer, r.Values); fault != nil {
			d.buffer = d.buffer[:size]
			r.Fail(fault)
			continue
		}
		r.Outcome = row.Inserted
		if d.resumed {
			d.ends = append(d.ends, len(d.buffer))
		}
	}
	for i := range d.ends { // what comes before them is not known yet
		d.ends[i] = len(d.buffer) - d.ends[i]
	}
}

// flush writes what is in the buffer. A part of it is taken back.
func (d *Destination) flush() error {
	if err := d.recognize(); err != nil {
		return err
	}
	n, err := d.file.Write(d.buffer)
	if err != nil {
		_ = d.file.Truncate(d.complete)
		return d.explainWrite(err)
	}
	d.complete += int64(n)
	d.buffer = d.buffer[:0]
	return nil
}

// syncFile brings a file to disk; a test watches it, for nothing else can see whether it came there.
var syncFile = (*os.File).Sync

// Finish brings the file to disk, and for replace puts it in its place. Nothing happens to a file to
// which nothing was appended, but that an empty or missing one gets its header.
func (d *Destination) Finish(ctx context.Context) error {
	if d.dry {
		return nil
	}
	if d.file == nil {
		if info, err := d.root.Stat(d.path); err == nil && info.Size() > 0 {
			return nil
		}
		if err := d.openAppend(ctx); err != nil {
			return err
		}
	}
	// A header may still be waiting for rows that never came.
	if err := d.flush(); err != nil {
		return err
	}
	if d.complete == d.began && d.temporary == "" && !d.resumed {
		return nil // another run was first
	}
	if err := syncFile(d.file); err != nil {
		return d.explainWrite(err)
	}
	if d.temporary == "" {
		return nil
	}
	if err := d.root.Rename(d.temporary, d.path); err != nil {
		return d.explain(err)
	}
	d.temporary = ""
	// The rename itself must outlast a power cut too; not every system can sync a folder.
	if folder, err := d.openFolder(); err == nil {
		_ = syncFile(folder)
		folder.Close()
	}
	return nil
}

// openFolder opens the folder of the file, without waiting for what may have come into its place.
func (d *Destination) openFolder() (*os.File, error) {
	return d.root.OpenFile(filepath.Dir(d.path), os.O_RDONLY|syscall.O_NONBLOCK, 0)
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
		text, problem := row.Text(value)
		if problem != "" {
			return line, row.Faultf(d.columns[i], "%s", problem)
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
