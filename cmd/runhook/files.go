package main

import (
	"errors"
	"fmt"
	"os"

	"runhook/shared/task"
	"runhook/shared/taskfile"
)

// readTasks reads files and folders. It returns the good tasks, and an error that has one line for
// each problem of the others.
func readTasks(paths []string) ([]*task.Definition, error) {
	var all []*task.Definition
	var faults []error
	seen := map[task.ID]string{}
	for _, path := range paths {
		defs, err := readTask(path)
		if err != nil {
			faults = append(faults, err)
		}
		for _, def := range defs {
			if other, twice := seen[def.ID]; twice && other != path {
				faults = append(faults, fmt.Errorf("%s and %s have the same id %s: give one of them a new id (`runhook task new` makes one)", other, path, def.ID))
				continue
			}
			seen[def.ID] = path
			all = append(all, def)
		}
	}
	if len(faults) > 0 {
		return all, &exit{exitFailed, fmt.Errorf("not every task file can be used:\n%w", errors.Join(faults...))}
	}
	return all, nil
}

func readTask(path string) ([]*task.Definition, error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return taskfile.ReadDir(path)
	}
	def, err := taskfile.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return []*task.Definition{def}, nil
}
