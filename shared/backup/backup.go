// Package backup is the file that `runhook backup` writes: a tar of named parts, written beside its
// place and put there when it is whole, and read only when it is.
package backup

import (
	"archive/tar"
	"crypto/sha256"
	"encoding"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Manifest says what a backup is of. It is the file's first part.
type Manifest struct {
	// Format is 1; a newer program may write another.
	Format int
	// Store is the id of the store that was backed up. A restored store has another.
	Store  string
	MadeOn time.Time
}

const (
	format       = 1
	manifestName = "runhook-backup.json"
	// sumName is the last part: the checksum of all others. A file without it was cut short.
	sumName = "sha256"
	// maxPart bounds what one part takes in memory.
	maxPart = 16 << 20
)

// Writer writes a backup. Until Commit there is nothing under its name.
type Writer struct {
	path string
	file *os.File
	tar  *tar.Writer
	sum  hash.Hash
	made time.Time
	// groups are those of all parts, in their order.
	groups []group
}

// group is where the parts of one name begin.
type group struct {
	name   string
	offset int64
	sum    []byte // what the checksum was then
}

// Create begins a backup. A file that is there already is an error: it may be the last good backup.
func Create(path string, manifest Manifest) (*Writer, error) {
	if _, err := os.Lstat(path); err == nil {
		return nil, fmt.Errorf("%s is there already: choose another name, or remove it first", path)
	}
	file, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".partial-*") // 0600: rejected rows are in it
	if err != nil {
		return nil, fmt.Errorf("write the backup: %w", err)
	}
	w := &Writer{path: path, file: file, tar: tar.NewWriter(file), sum: sha256.New(), made: manifest.MadeOn}
	manifest.Format = format
	text, err := json.Marshal(manifest)
	if err == nil {
		err = w.Add(manifestName, text)
	}
	if err != nil {
		w.Abort()
		return nil, err
	}
	return w, nil
}

// Add adds a part, of 16 MiB at most.
func (w *Writer) Add(name string, data []byte) error {
	if len(w.groups) == 0 || name != w.groups[len(w.groups)-1].name {
		if err := w.begin(name); err != nil {
			return fmt.Errorf("write the backup %s: %w", w.path, err)
		}
	}
	addPart(w.sum, name, data)
	return w.write(name, data)
}

// begin notes where the parts of a name begin.
func (w *Writer) begin(name string) error {
	if err := w.tar.Flush(); err != nil { // with what fills the last part up
		return err
	}
	offset, err := w.file.Seek(0, io.SeekCurrent)
	if err != nil {
		return err
	}
	sum, err := w.sum.(encoding.BinaryMarshaler).MarshalBinary()
	w.groups = append(w.groups, group{name, offset, sum})
	return err
}

// Drop takes the parts of a name and of all behind it out again; there may be none.
func (w *Writer) Drop(name string) error {
	place := slices.IndexFunc(w.groups, func(of group) bool { return of.name == name })
	if place < 0 {
		return nil
	}
	to := w.groups[place]
	w.groups = w.groups[:place]
	err := w.file.Truncate(to.offset)
	if err == nil {
		_, err = w.file.Seek(to.offset, io.SeekStart)
	}
	if err == nil {
		err = w.sum.(encoding.BinaryUnmarshaler).UnmarshalBinary(to.sum)
	}
	if err != nil {
		return fmt.Errorf("write the backup %s: %w", w.path, err)
	}
	w.tar = tar.NewWriter(w.file)
	return nil
}

func (w *Writer) write(name string, data []byte) error {
	err := w.tar.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(data)), ModTime: w.made})
	if err == nil {
		_, err = w.tar.Write(data)
	}
	if err != nil {
		return fmt.Errorf("write the backup %s: %w", w.path, err)
	}
	return nil
}

// Commit ends the file and puts it in its place, and returns its size.
func (w *Writer) Commit() (size int64, err error) {
	defer w.Abort() // of no effect once the file has its name
	if err := w.write(sumName, []byte(hex.EncodeToString(w.sum.Sum(nil)))); err != nil {
		return 0, err
	}
	info, err := w.file.Stat()
	if err = errors.Join(err, w.tar.Close(), w.file.Sync(), w.file.Close()); err == nil {
		err = os.Link(w.file.Name(), w.path) // unlike a rename it does not replace what came there meanwhile
		if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, fs.ErrPermission) {
			err = os.Rename(w.file.Name(), w.path)
		}
	}
	if err != nil {
		return 0, fmt.Errorf("write the backup %s: %w", w.path, err)
	}
	return info.Size(), nil
}

// Abort removes what was written so far.
func (w *Writer) Abort() {
	_ = w.file.Close()
	_ = os.Remove(w.file.Name())
}

func addPart(sum hash.Hash, name string, data []byte) {
	_, _ = fmt.Fprintf(sum, "%s %d\n", name, len(data)) // a hash takes everything
	_, _ = sum.Write(data)
}

// Reader reads a backup that was found whole.
type Reader struct {
	Manifest Manifest

	path string
	file *os.File
	tar  *tar.Reader
}

// Open reads the whole file and checks it. What is no backup, was cut short or was changed is an error.
func Open(path string) (*Reader, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the backup: %w", err)
	}
	r := &Reader{path: path, file: file}
	if err := r.check(); err != nil {
		r.Close()
		return nil, err
	}
	if err := r.begin(); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

func (r *Reader) check() error {
	if err := r.begin(); err != nil {
		return err
	}
	sum := sha256.New()
	text, err := json.Marshal(r.Manifest)
	if err != nil {
		return err
	}
	addPart(sum, manifestName, text)
	for {
		name, data, err := r.read()
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return fmt.Errorf("the backup %s is cut short: nothing was restored; take another", r.path)
		}
		if err != nil {
			return fmt.Errorf("the backup %s is damaged: %w: nothing was restored; take another", r.path, err)
		}
		if name == sumName {
			if string(data) != hex.EncodeToString(sum.Sum(nil)) {
				return fmt.Errorf("the backup %s is damaged: its checksum does not fit: nothing was restored; take another", r.path)
			}
			return nil
		}
		addPart(sum, name, data)
	}
}

// begin reads the manifest at the file's beginning.
func (r *Reader) begin() error {
	if _, err := r.file.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("read the backup: %w", err)
	}
	r.tar = tar.NewReader(r.file)
	name, data, err := r.read()
	if err != nil || name != manifestName || json.Unmarshal(data, &r.Manifest) != nil {
		return fmt.Errorf("%s is not a backup of `runhook backup`", r.path)
	}
	if r.Manifest.Format != format {
		return fmt.Errorf("%s was written by a newer runhook (format %d): use that one", r.path, r.Manifest.Format)
	}
	return nil
}

// Next returns the next part; io.EOF when there is no further one.
func (r *Reader) Next() (name string, data []byte, err error) {
	name, data, err = r.read()
	if err == nil && name == sumName {
		return "", nil, io.EOF
	}
	if err != nil {
		return "", nil, fmt.Errorf("read the backup %s: %w", r.path, err)
	}
	return name, data, nil
}

func (r *Reader) read() (name string, data []byte, err error) {
	header, err := r.tar.Next()
	if err != nil {
		return "", nil, err
	}
	if header.Size > maxPart {
		return "", nil, fmt.Errorf("the part %s has %d bytes", header.Name, header.Size)
	}
	data, err = io.ReadAll(r.tar)
	return header.Name, data, err
}

// Close closes the file.
func (r *Reader) Close() { _ = r.file.Close() }
