package folder

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"runhook/shared/plainfile"
	"runhook/shared/task"
	"runhook/shared/taskfile"
)

// Edit changes the file of a task and applies the folder, so that the change is in force when it
// returns. change gets the file's text, nil where no file that can be used has the task, and returns
// what is to be written; nil removes the file. An error of change is returned as it is, and nothing
// is written then.
func (f *Folder) Edit(ctx context.Context, id task.ID, change func(text []byte) ([]byte, error)) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	file, def, err := taskfile.FindFile(f.dir, id)
	if err != nil {
		return err
	}
	var text []byte
	if def != nil {
		text = def.Text
	}
	edited, err := change(text)
	switch {
	case err != nil:
		return err
	case file == "" || bytes.Equal(edited, text):
	case edited == nil:
		delete(f.applied, id)
		err = os.Remove(file)
	default:
		err = replace(f.dir, file, edited)
	}
	if err != nil {
		return fmt.Errorf("change the file of the task: %w", err)
	}
	return f.apply(ctx)
}

// ErrThere: the folder has a file of that name.
var ErrThere = errors.New("there is a file of that name in the folder")

// Create writes a new file of a task and applies the folder, so that the task can be used when it returns, unless
// the store could not take it: that is tried again. name is that of the file alone, ending in .yaml or .yml. The file is
// there whole or not at all. ErrThere means that nothing was written, because the folder has a file of the name.
func (f *Folder) Create(ctx context.Context, name string, text []byte) error {
	if extension := filepath.Ext(name); name != filepath.Base(name) || !filepath.IsLocal(name) || strings.HasPrefix(name, ".") || extension != ".yaml" && extension != ".yml" {
		return fmt.Errorf("make the file of a task: %q is not the name of one", name)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := create(f.dir, name, text); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return ErrThere
		}
		return fmt.Errorf("make the file of a task: %w", err)
	}
	if err := f.apply(ctx); err != nil {
		f.log.Warn().Err(err).Msg("a new file of the folder was not applied yet; trying again")
	}
	return nil
}

// create writes a new file of a folder beside its place, and then gives it its name, unless another file has that.
func create(dir, name string, text []byte) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	temporary := ".runhook-" + rand.Text()
	beside, err := root.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer func() { _ = root.Remove(temporary) }()
	_, err = beside.Write(text)
	if err := errors.Join(err, beside.Sync(), beside.Close()); err != nil {
		return err
	}
	err = root.Link(temporary, name)
	if err == nil || errors.Is(err, fs.ErrExist) {
		return err
	}
	if _, err := root.Lstat(name); err == nil { // the file system may have no links
		return fs.ErrExist
	}
	return root.Rename(temporary, name)
}

// replace writes a file of a folder beside the old one, with its permissions, and renames it, so that nobody reads half
// of it. The file that a link leads to is replaced, not the link; it is in the folder too.
func replace(dir, file string, text []byte) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	within, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return err
	}
	if file, err = filepath.EvalSymlinks(file); err != nil {
		return err
	}
	if file, err = filepath.Rel(within, file); err != nil {
		return err
	}
	info, err := root.Stat(file)
	if err != nil {
		return err
	}
	// The dot keeps it from being taken for a task file.
	temporary := filepath.Join(filepath.Dir(file), ".runhook-"+rand.Text())
	beside, err := root.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, plainfile.Private)
	if err != nil {
		return err
	}
	_, err = beside.Write(text)
	err = errors.Join(err, beside.Chmod(info.Mode().Perm()), beside.Sync(), beside.Close())
	if err == nil {
		err = root.Rename(temporary, file)
	}
	if err != nil {
		return errors.Join(err, root.Remove(temporary))
	}
	return nil
}
