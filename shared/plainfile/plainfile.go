// Package plainfile opens files that are files: a pipe or a device that somebody has put in a file's place keeps nobody
// waiting.
package plainfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// Private is the mode of files that hold people's data or secrets.
const Private fs.FileMode = 0o600

// ErrNotFile: there is a folder, a pipe, a device or the like.
var ErrNotFile = errors.New("not a regular file")

// Open opens a file to be read, and returns what it is. It follows links.
func Open(path string) (*os.File, fs.FileInfo, error) {
	return look(os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0))
}

// OpenIn opens a file of a folder, with the flags of os.OpenFile. A file that it makes is Private. Links that lead out of
// the folder are an error.
func OpenIn(folder *os.Root, path string, flags int) (*os.File, fs.FileInfo, error) {
	return look(folder.OpenFile(path, flags|syscall.O_NONBLOCK, Private))
}

// look looks at what was opened, for another may have come into its place before.
func look(file *os.File, err error) (*os.File, fs.FileInfo, error) {
	if err != nil {
		return nil, nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: file.Name(), Err: ErrNotFile}
	}
	if err != nil {
		_ = file.Close() // nothing was done with it
		return nil, nil, err
	}
	return file, info, nil
}

// Read reads a file of at most so many bytes, and returns what it is too.
func Read(path string, most int64) ([]byte, fs.FileInfo, error) {
	file, info, err := Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = file.Close() }() // it is only read
	data, err := io.ReadAll(io.LimitReader(file, most+1))
	if err == nil && int64(len(data)) > most {
		err = fmt.Errorf("%s has more than %d bytes", path, most)
	}
	return data, info, err
}
