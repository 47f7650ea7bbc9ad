package csvfile

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"

	"runhook/shared/plainfile"
	"runhook/shared/run"
)

// keepOther refuses to write over what a task has not written: a database, a workbook, an archive. A file that may not
// be read may be replaced.
func (d *Destination) keepOther() error {
	file, _, err := plainfile.OpenIn(d.root.Root, d.path, os.O_RDONLY)
	if err != nil {
		return nil
	}
	defer file.Close()
	if beginsWith(file, []byte(sqliteMark)) || beginsWith(file, []byte(zipMark)) {
		return run.Failf("%s is a database, a workbook or an archive and no text, and would be lost; remove it, or write another file", d.place)
	}
	return nil
}

// openReplace makes the temporary file beside the one to be replaced.
func (d *Destination) openReplace() error {
	mode := plainfile.Private
	if info, err := d.root.Stat(d.path); err == nil {
		mode = info.Mode().Perm()
	}
	for d.file == nil {
		temporary := d.temporaryName(rand.Text())
		file, err := d.root.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
		if err != nil {
			return d.explain(err)
		}
		// The lock says that somebody writes here, and it ends with the process. Where there are no
		// locks nobody sweeps either.
		locked, err := tryLock(file)
		if canLock && err == nil && (!locked || !d.isThere(file, temporary)) {
			file.Close() // somebody's sweep was faster
			continue
		}
		d.file, d.temporary = file, temporary
	}
	d.sweep()
	d.buffer = appendRecord(d.buffer, d.columns)
	return nil
}

func (d *Destination) temporaryName(random string) string {
	folder, name := filepath.Split(d.path)
	return folder + "." + name + "." + random + ".tmp"
}

func (d *Destination) isThere(file *os.File, path string) bool {
	mine, err := file.Stat()
	if err != nil {
		return false
	}
	there, err := d.root.Stat(path)
	return err == nil && os.SameFile(mine, there)
}

// sweep removes temporary files of the same target whose writers were killed: nobody has them locked.
// What cannot be removed only costs room.
func (d *Destination) sweep() {
	if !canLock {
		return
	}
	folder, err := d.openFolder()
	if err != nil {
		return
	}
	defer folder.Close()
	before, after, _ := strings.Cut(filepath.Base(d.temporaryName("\x00")), "\x00")
	random := len(rand.Text())
	for {
		names, err := folder.Readdirnames(1000)
		for _, name := range names {
			if strings.HasPrefix(name, before) && strings.HasSuffix(name, after) && len(name) == len(before)+random+len(after) {
				d.removeOrphan(filepath.Join(filepath.Dir(d.path), name))
			}
		}
		if err != nil {
			return
		}
	}
}

func (d *Destination) removeOrphan(path string) {
	if info, err := d.root.Lstat(path); err != nil || !info.Mode().IsRegular() || path == filepath.Clean(d.temporary) {
		return
	}
	file, _, err := plainfile.OpenIn(d.root.Root, path, os.O_WRONLY)
	if err != nil {
		return
	}
	defer file.Close()
	if locked, err := tryLock(file); err == nil && locked {
		_ = d.root.Remove(path)
	}
}
