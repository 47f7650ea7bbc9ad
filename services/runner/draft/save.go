package draft

import (
	"context"
	"errors"
	"regexp"

	"runhook/shared/making"
	"runhook/shared/task"
)

// taskFileName is what a task's file may be called that is made here.
var taskFileName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,60}\.yaml$`)

// Save writes the task of a wish into the folder of task files, keeps the file that it reads, and returns the task's id
// and its file's text. Nothing is written where the error is making.ErrNoDraft, making.ErrThere or a [*making.Refusal].
func (m *Maker) Save(ctx context.Context, w making.Wish) (id task.ID, err error) {
	root, err := m.folder()
	if err != nil {
		return "", err
	}
	defer root.Close()
	m.mu.Lock()
	defer m.mu.Unlock()
	p, err := m.propose(ctx, root, w)
	if err != nil {
		return "", err
	}
	switch {
	case !p.Writable:
		return "", &making.Refusal{Message: "The server has no folder of task files that it may write (--tasks), so nothing was saved. Copy the file above, and give it to whoever runs the server."}
	case len(p.Problems) > 0:
		return "", &making.Refusal{Message: "Nothing was saved. " + p.Problems[0]}
	case !taskFileName.MatchString(p.File):
		return "", &making.Refusal{Field: "fname", Message: "The name of the file is of small letters, digits and hyphens, and ends in .yaml, like members.yaml."}
	case m.options.Known(p.id()):
		return "", making.ErrNoDraft // another request has saved it
	}
	if err := settle(root, p.file, p.kept); err != nil {
		return "", err
	}
	if err := m.options.Create(ctx, p.File, []byte(p.Text)); err != nil {
		if _, gone := root.Lstat(p.file); gone != nil {
			_ = root.Rename(p.kept, p.file)
		} else {
			_ = root.Remove(p.kept)
		}
		if errors.Is(err, m.options.Taken) {
			return "", making.ErrThere
		}
		return "", err
	}
	_ = root.Remove(p.file) // what is left behind goes with the day
	return p.id(), nil
}
