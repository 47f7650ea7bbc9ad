package taskfile

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"runhook/shared/task"
)

// ReadFile reads and parses one task file. A file that is not a valid task is an [*Invalid].
func ReadFile(file string) (*task.Definition, error) {
	// Stat first: opening a pipe would wait for its writer.
	info, err := os.Stat(file)
	if err != nil {
		return nil, fmt.Errorf("read a task file: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, &Invalid{Problems: []Problem{{File: file, Line: 1, Message: "not a regular file"}}}
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("read a task file: %w", err)
	}
	defer f.Close()
	// One byte more than Parse allows, so that it sees that there is too much.
	text, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read a task file: %w", err)
	}
	return Parse(text, file)
}

// ReadDir reads the task files of a folder: *.yaml and *.yml, by name, without subfolders and
// without names that begin with a dot. The good files are returned even when there is an error,
// which joins those of the others. Of files with the same id none is returned, nor of two of which
// one has an id that is a former one of the other: which of them is meant cannot be told.
//
// While there is an error, a task that is missing in the result may only have a broken file; a
// caller that disables tasks whose files are gone has to wait for a result without an error.
func ReadDir(dir string) ([]*task.Definition, error) {
	paths, err := taskFiles(dir)
	if err != nil {
		return nil, err
	}
	var faults []error
	var defs []*task.Definition
	files, contrary := map[task.ID][]string{}, map[task.ID]bool{}
	for _, file := range paths {
		def, err := ReadFile(file)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		defs = append(defs, def)
		files[def.ID] = append(files[def.ID], file)
	}
	for _, id := range slices.Sorted(maps.Keys(files)) {
		if same := files[id]; len(same) > 1 {
			defs = slices.DeleteFunc(defs, func(def *task.Definition) bool { return def.ID == id })
			faults = append(faults, fmt.Errorf("%s have the same id %s; none of them is used until all but one get a new id (`runhook task new` makes one)",
				strings.Join(same, " and "), id))
		}
	}
	for _, def := range defs {
		for _, former := range def.FormerIDs {
			if same := files[former.ID]; len(same) > 0 {
				faults = append(faults, fmt.Errorf("%s has the id %s, which %s lists in former_ids; neither is used until the one file or the entry in the other is removed",
					strings.Join(same, " and "), former.ID, strings.Join(files[def.ID], " and ")))
				contrary[former.ID], contrary[def.ID] = true, true
			}
		}
	}
	defs = slices.DeleteFunc(defs, func(def *task.Definition) bool { return contrary[def.ID] })
	return defs, errors.Join(faults...)
}

// FindFile returns the file of a folder that has the task of an id, and its definition; "" and nil
// where no file that can be used has it.
func FindFile(dir string, id task.ID) (file string, def *task.Definition, err error) {
	paths, err := taskFiles(dir)
	if err != nil {
		return "", nil, err
	}
	for _, path := range paths {
		read, err := ReadFile(path)
		switch {
		case err != nil || read.ID != id:
		case def != nil:
			return "", nil, fmt.Errorf("%s and %s have the same id %s; give one of them a new id", file, path, id)
		default:
			file, def = path, read
		}
	}
	return file, def, nil
}

// taskFiles are the paths of a folder's task files.
func taskFiles(dir string) (paths []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read the folder of task files: %w", err)
	}
	for _, entry := range entries {
		extension := strings.ToLower(filepath.Ext(entry.Name()))
		if !entry.IsDir() && !strings.HasPrefix(entry.Name(), ".") && (extension == ".yaml" || extension == ".yml") {
			paths = append(paths, filepath.Join(dir, entry.Name()))
		}
	}
	return paths, nil
}
