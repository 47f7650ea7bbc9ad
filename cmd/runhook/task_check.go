package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"runhook/services/runner/check"
	"runhook/services/runner/connection"
	"runhook/services/runner/connector"
	"runhook/services/runner/connector/builtin"
	"runhook/services/runner/pipeline"
	"runhook/shared/task"
	"runhook/shared/taskfile"
)

type taskCheckCommand struct {
	ConnectionsFlag
	JSONFlag
	Files []string `arg:"" name:"file" help:"Task files, or folders of them."`
	Param []string `short:"p" sep:"none" placeholder:"NAME=VALUE" help:"A parameter's value, to read the source's first rows with. Several of one name make a list."`
}

// Help says what is looked at, and what is not done.
func (*taskCheckCommand) Help() string {
	return `Checks, from this machine, what a run of each task would meet, and lists all findings at once, each with what to do:

    the file: all that task validate checks
    connections: whether they exist, answer, and accept the credentials, which are tried once (iMIS locks an account after five failed logins)
    the source: whether it exists, takes the task's parameters, and has the columns that where and mapping name
    the destination: whether it exists and may be written, and whether the mapping fits its columns, key, types and rules
    other tasks in the file's folder: whether one reads the file that the task replaces, and whether those that it starts (then) are there

Nothing is written, no row is sent, and no Runhook server is needed. It compares the source's first rows with the destination; ` + "`runhook run TASK --dry-run`" + ` tries all rows. Errors make the exit code 1; warnings and notes do not.

Examples:

    runhook task check tasks/lapsed.yaml --connections connections.yaml
    runhook task check tasks/lapsed.yaml -p State=CA`
}

// found is a finding with its place.
type found struct {
	File     string
	Line     int
	Severity check.Severity
	// Field is empty where the whole file is meant.
	Field   string
	Message string
}

// Run checks the tasks and prints what is found.
func (c *taskCheckCommand) Run(ctx context.Context, p *program) error {
	given, err := parseParameters(c.Param)
	if err != nil {
		return err
	}
	connections, err := c.connections()
	if err != nil {
		return err
	}
	defs, invalid := readTasks(c.Files)
	if len(given) > 0 && len(defs) > 1 {
		return fmt.Errorf("--param is for one task, and these are %d; name the file of one", len(defs))
	}
	all, wrong := []found{}, 0
	for _, def := range defs {
		findings, err := checkTask(ctx, def, given, connections)
		if err != nil {
			return err
		}
		file := fileOf(c.Files, def)
		placed := append(place(append(findings, checkOthers(def, defs, file, connections)...), def, file), checkThen(def, defs, file)...)
		slices.SortStableFunc(placed, func(a, b found) int { return cmp.Compare(a.Line, b.Line) })
		if !c.JSON {
			p.printFindings(placed, def)
		}
		all = append(all, placed...)
	}
	if c.JSON {
		if err := p.printJSON(all); err != nil {
			return err
		}
	}
	for _, f := range all {
		if f.Severity == check.Error {
			wrong++
		}
	}
	switch {
	case invalid != nil:
		return invalid
	case wrong == 1:
		return &exit{exitFailed, errors.New("1 error was found; correct it, and check again")}
	case wrong > 0:
		return &exit{exitFailed, fmt.Errorf("%d errors were found; correct them, and check again", wrong)}
	}
	return nil
}

// checkTask checks a task with the values given, and without those that it requires otherwise.
func checkTask(ctx context.Context, def *task.Definition, given map[string][]string, connections *connection.Set) ([]check.Finding, error) {
	values, err := lenientValues(def, given)
	if err != nil {
		return nil, err
	}
	findings, err := pipeline.Check(ctx, builtin.Kinds(), connector.Job{Task: def, Parameters: values, Connections: connections})
	if err != nil {
		return nil, err
	}
	findings = append(findings, check.Finding{Severity: check.Note, Field: check.At("destination"), Message: def.Interruption()})
	return findings, nil
}

// lenientValues are the values of a task's parameters. Required ones may lack theirs.
func lenientValues(def *task.Definition, given map[string][]string) (task.Values, error) {
	lenient := *def
	lenient.Parameters = slices.Clone(def.Parameters)
	for i := range lenient.Parameters {
		lenient.Parameters[i].Required = false
	}
	return lenient.Resolve(givenValues(given))
}

// fileOf is the file of a task that was read from one of the paths.
func fileOf(paths []string, def *task.Definition) string {
	for _, path := range paths {
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			if file, _, err := taskfile.FindFile(path, def.ID); err == nil && file != "" {
				return file
			}
		} else if read, err := taskfile.ReadFile(path); err == nil && read.ID == def.ID {
			return path
		}
	}
	return def.Name
}

// place gives the findings their lines.
func place(findings []check.Finding, def *task.Definition, file string) []found {
	placed := make([]found, len(findings))
	for i, f := range findings {
		placed[i] = found{file, taskfile.Line(def, f.Field...), f.Severity, f.Field.String(), f.Text()}
	}
	return placed
}

// printFindings prints what was found of one task, and what that comes to.
func (p *program) printFindings(findings []found, def *task.Definition) {
	counts := map[check.Severity]int{}
	for _, f := range findings {
		counts[f.Severity]++
		p.printf("%s:%d: %s: %s\n", f.File, f.Line, f.Severity, strings.ReplaceAll(f.Message, "\n", "\n    "))
	}
	verdict := "nothing is wrong"
	switch errors, warnings := counts[check.Error], counts[check.Warning]; {
	case errors > 0 && warnings > 0:
		verdict = plural(errors, "error") + ", " + plural(warnings, "warning")
	case errors > 0:
		verdict = plural(errors, "error")
	case warnings > 0:
		verdict = plural(warnings, "warning")
	}
	p.printf("%s (%s): %s\n", def.Name, def.ID, verdict)
}
