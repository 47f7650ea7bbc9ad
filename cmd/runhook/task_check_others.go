package main

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"runhook/services/runner/check"
	"runhook/services/runner/connection"
	"runhook/shared/task"
	"runhook/shared/taskfile"
)

// checkOthers warns of the other tasks, of those given and in the folder of the task's file, that read the file
// which the task replaces.
func checkOthers(def *task.Definition, given []*task.Definition, file string, connections *connection.Set) (findings []check.Finding) {
	to, ok := def.Destination.(task.Replacer)
	if !ok {
		return nil
	}
	folder, target, replaces := to.Replaces()
	if !replaces {
		return nil
	}
	beside, _ := taskfile.ReadDir(filepath.Dir(file)) // files that are no tasks are another's finding
	seen := map[task.ID]bool{def.ID: true}
	for _, other := range append(beside, given...) {
		from, ok := other.Source.(task.FileSource)
		if !ok || seen[other.ID] {
			continue
		}
		seen[other.ID] = true
		if slices.ContainsFunc(def.Then, func(then task.Then) bool { return len(task.Referred(then.Task, []*task.Definition{other})) > 0 }) {
			continue // it is meant to
		}
		readFrom, _ := from.Place()
		values, err := lenientValues(other, nil)
		if err != nil {
			continue
		}
		read, err := from.Reads(other.ExpressionParams(values))
		if err != nil {
			continue // each caller names another
		}
		if isSameFile(connections, folder, target, readFrom, read) {
			findings = append(findings, check.Finding{
				Severity: check.Warning, Field: check.At("destination", string(def.Destination.Name()), "path"),
				Message: fmt.Sprintf("the task %s reads the file %s, which this task replaces; if it is not to read what this task writes, name another file", other.Name, target),
			})
		}
	}
	return findings
}

// isSameFile compares the files of two connections, whose folders may be one.
func isSameFile(connections *connection.Set, folder, file, otherFolder, otherFile string) bool {
	if folder == otherFolder && path.Clean(file) == path.Clean(otherFile) {
		return true
	}
	one, two := stat(connections, folder, file), stat(connections, otherFolder, otherFile)
	return one != nil && two != nil && os.SameFile(one, two)
}

// stat is what a file of a connection is, nil if there is none.
func stat(connections *connection.Set, folder, file string) os.FileInfo {
	root, err := connections.Files(folder)
	if err != nil {
		return nil
	}
	defer root.Close()
	info, err := root.Stat(filepath.FromSlash(file))
	if err != nil {
		return nil
	}
	return info
}

// besideIn are the tasks of the folder of a task's file, and those given. Files that are no tasks are another's finding.
func besideIn(file string, given []*task.Definition) []*task.Definition {
	folder, _ := taskfile.ReadDir(filepath.Dir(file))
	all, seen := given, map[task.ID]bool{}
	for _, def := range given {
		seen[def.ID] = true
	}
	for _, def := range folder {
		if !seen[def.ID] {
			all = append(all, def)
		}
	}
	return all
}

// checkThen finds what is wrong with the chains that begin with a task, of those given and in the folder of its file.
func checkThen(def *task.Definition, given []*task.Definition, file string) (wrong []found) {
	invalid, ok := errors.AsType[*taskfile.Invalid](taskfile.CheckThen(def, besideIn(file, given), file))
	if !ok {
		return nil
	}
	for _, p := range invalid.Problems {
		field, message, _ := strings.Cut(p.Message, ": ")
		wrong = append(wrong, found{file, p.Line, check.Error, field, field + ": " + message})
	}
	return wrong
}
