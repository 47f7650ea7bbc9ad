package task

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// ReadFile reads and parses one task file. A file that is not a valid task is an [*Invalid].
func ReadFile(file string) (*Definition, error) {
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
// which joins those of the others. Of files with the same id none is returned: which of them is
// meant cannot be told.
//
// While there is an error, a task that is missing in the result may only have a broken file; a
// caller that disables tasks whose files are gone has to wait for a result without an error.
func ReadDir(dir string) ([]*Definition, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read the folder of task files: %w", err)
	}
	var faults []error
	var defs []*Definition
	files := map[ID][]string{}
	for _, entry := range entries {
		if !isTaskFile(entry) {
			continue
		}
		file := filepath.Join(dir, entry.Name())
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
			defs = slices.DeleteFunc(defs, func(def *Definition) bool { return def.ID == id })
			faults = append(faults, fmt.Errorf("%s have the same id %s; none of them is used until all but one get a new id (`runhook task new` makes one)",
				strings.Join(same, " and "), id))
		}
	}
	return defs, errors.Join(faults...)
}

func isTaskFile(entry os.DirEntry) bool {
	extension := strings.ToLower(filepath.Ext(entry.Name()))
	return !entry.IsDir() && !strings.HasPrefix(entry.Name(), ".") && (extension == ".yaml" || extension == ".yml")
}
