package taskfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"runhook/shared/plainfile"
	"runhook/shared/task"
)

// ReadFile reads and parses one task file. A file that is not a valid task is an [*Invalid].
func ReadFile(file string) (*task.Definition, error) {
	opened, _, err := plainfile.Open(file)
	return read(opened, err, file)
}

// readIn is ReadFile for a file of a folder, out of which no link leads.
func readIn(root *os.Root, name string) (*task.Definition, error) {
	opened, _, err := plainfile.OpenIn(root, name, os.O_RDONLY)
	return read(opened, err, filepath.Join(root.Name(), name))
}

// read parses a file that was opened, or says why it was not.
func read(opened *os.File, err error, file string) (*task.Definition, error) {
	switch {
	case errors.Is(err, plainfile.ErrNotFile):
		return nil, &Invalid{Problems: []Problem{{File: file, Line: 1, Message: "not a regular file"}}}
	case isEscape(err):
		return nil, &Invalid{Problems: []Problem{{File: file, Line: 1, Message: "a link that leads out of the folder, and is not followed; put the file itself there, or link relatively to one within the folder"}}}
	case err != nil:
		return nil, fmt.Errorf("read a task file: %w", err)
	}
	defer opened.Close()
	// One byte more than Parse allows, so that it sees that there is too much.
	text, err := io.ReadAll(io.LimitReader(opened, maxFileBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read a task file: %w", err)
	}
	return Parse(text, file)
}

// isEscape reports whether a file was not opened because it is not in its folder, which is no error of the system's.
func isEscape(err error) bool {
	_, system := errors.AsType[syscall.Errno](err)
	return err != nil && !system
}

// Contrary is why files are not used that contradict each other, or a task that is there. It names them and no id,
// because whoever knows one may call the task.
type Contrary struct {
	// IDs are those of the tasks that the files would define.
	IDs     []task.ID
	Message string
}

func (c *Contrary) Error() string { return c.Message }

// ReadDir reads the task files of a folder: *.yaml and *.yml, by name, without subfolders and
// without names that begin with a dot. The good files are returned even when there is an error,
// which joins those of the others. Of files with the same id none is returned, nor of two of which
// one has an id that is a former one, or one of the webhook, of the other: which of them is meant cannot be told.
//
// While there is an error, a task that is missing in the result may only have a broken file; a
// caller that disables tasks whose files are gone has to wait for a result without an error.
func ReadDir(dir string) ([]*task.Definition, error) {
	root, names, err := taskFiles(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	var faults []error
	var defs []*task.Definition
	files, contrary := map[task.ID][]string{}, map[task.ID]bool{}
	for _, name := range names {
		def, err := readIn(root, name)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		defs = append(defs, def)
		files[def.ID] = append(files[def.ID], filepath.Join(dir, name))
	}
	for _, id := range slices.Sorted(maps.Keys(files)) {
		if same := files[id]; len(same) > 1 {
			defs = slices.DeleteFunc(defs, func(def *task.Definition) bool { return def.ID == id })
			faults = append(faults, &Contrary{[]task.ID{id}, fmt.Sprintf("%s have the same id; none of them is used until all but one get a new id (`runhook task new` makes one)",
				strings.Join(same, " and "))})
		}
	}
	for _, def := range defs {
		for _, former := range def.FormerIDs {
			if same := files[former.ID]; len(same) > 0 {
				faults = append(faults, &Contrary{[]task.ID{former.ID, def.ID}, fmt.Sprintf("%s has an id that %s lists in former_ids; neither is used until the one file or the entry in the other is removed",
					strings.Join(same, " and "), strings.Join(files[def.ID], " and "))})
				contrary[former.ID], contrary[def.ID] = true, true
			}
		}
	}
	callable := map[task.ID]*task.Definition{}
	for _, def := range defs {
		callable[def.ID] = def
	}
	for _, def := range defs {
		for _, id := range def.WebhookIDs() {
			other := callable[id]
			if other == nil {
				callable[id] = def
			} else if other.ID != def.ID {
				faults = append(faults, &Contrary{[]task.ID{other.ID, def.ID}, fmt.Sprintf("%s and %s have one id both, as a task's or a webhook's; neither is used until it is removed from one",
					files[other.ID][0], files[def.ID][0])})
				contrary[other.ID], contrary[def.ID] = true, true
			}
		}
	}
	defs = slices.DeleteFunc(defs, func(def *task.Definition) bool { return contrary[def.ID] })
	return defs, errors.Join(faults...)
}

// FindFile returns the file of a folder that has the task of an id, and its definition; "" and nil
// where no file that can be used has it.
func FindFile(dir string, id task.ID) (file string, def *task.Definition, err error) {
	root, names, err := taskFiles(dir)
	if err != nil {
		return "", nil, err
	}
	defer root.Close()
	for _, name := range names {
		path := filepath.Join(dir, name)
		read, err := readIn(root, name)
		switch {
		case err != nil || read.ID != id:
		case def != nil:
			return "", nil, fmt.Errorf("%s and %s have the same id; give one of them a new id", file, path)
		default:
			file, def = path, read
		}
	}
	return file, def, nil
}

// taskFiles opens a folder, for the caller to close, and returns the names of its task files.
func taskFiles(dir string) (root *os.Root, names []string, err error) {
	if root, err = os.OpenRoot(dir); err != nil {
		return nil, nil, fmt.Errorf("read the folder of task files: %w", err)
	}
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		root.Close()
		return nil, nil, fmt.Errorf("read the folder of task files: %w", err)
	}
	for _, entry := range entries {
		extension := strings.ToLower(filepath.Ext(entry.Name()))
		if !entry.IsDir() && !strings.HasPrefix(entry.Name(), ".") && (extension == ".yaml" || extension == ".yml") {
			names = append(names, entry.Name())
		}
	}
	return root, names, nil
}
