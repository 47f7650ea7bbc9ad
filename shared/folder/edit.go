package folder

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"

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
