package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"runhook/shared/client"
	"runhook/shared/task"
)

// ServerFlags say which server a client command speaks to.
type ServerFlags struct {
	Server    string `default:"${server}" placeholder:"URL" help:"The Runhook server (${default})."`
	TokenFile string `placeholder:"FILE" help:"File with the server's admin token."`
}

func (f *ServerFlags) client() (*client.Client, error) { return client.New(f.Server, f.TokenFile) }

// JSONFlag asks for output that programs read.
type JSONFlag struct {
	JSON bool `name:"json" help:"Print JSON."`
}

type taskCommand struct {
	New      taskNewCommand      `cmd:"" help:"Make a task file, from a CSV file, a table or an IQA, or to fill in."`
	Validate taskValidateCommand `cmd:"" help:"Check task files alone, without what they name."`
	Check    taskCheckCommand    `cmd:"" help:"Check tasks against what they name: connections, source, parameters, columns, destination."`
	Preview  taskPreviewCommand  `cmd:"" help:"Show the first rows that a task file would write, and write nothing."`
	Apply    taskApplyCommand    `cmd:"" help:"Make task files the server's tasks."`
	Enable   taskEnableCommand   `cmd:"" help:"Let a task take new runs again."`
	Disable  taskDisableCommand  `cmd:"" help:"Refuse new runs of a task; those already accepted finish."`
	Rotate   taskRotateCommand   `cmd:"" help:"Give a task a new id, and let the present one work on for a while."`
	Delete   taskDeleteCommand   `cmd:"" help:"Take a task away; its runs still answer."`
	List     taskListCommand     `cmd:"" help:"List the server's tasks."`
	Show     taskShowCommand     `cmd:"" help:"Show one task: its webhooks, parameters and file."`
	Fields   taskFieldsCommand   `cmd:"" help:"Explain every field of a task file."`
	Schema   taskSchemaCommand   `cmd:"" help:"Print the JSON Schema of a task file, for editors."`
}

type taskValidateCommand struct {
	Files []string `arg:"" name:"file" help:"Task files, or folders of them."`
}

// Run checks the files and says of each what it is.
func (c *taskValidateCommand) Run(p *program) error {
	defs, err := readTasks(c.Files)
	for _, def := range defs {
		p.printf("%s (%s) is valid\n", def.Name, def.ID)
		p.printf("  note: %s\n", def.Interruption())
	}
	return err
}

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
		return task.ReadDir(path)
	}
	def, err := task.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return []*task.Definition{def}, nil
}

type taskApplyCommand struct {
	ServerFlags
	Paths []string `arg:"" name:"file" help:"Task files, or folders of them."`
}

// Help says what applying does.
func (*taskApplyCommand) Help() string {
	return `Nothing is applied unless every file is valid. A task that is not in a folder any more stays as it is.

Example:

    runhook task apply tasks/ --server https://hooks.example.org --token-file admin.token`
}

// Run applies the files.
func (c *taskApplyCommand) Run(ctx context.Context, p *program) error {
	server, err := c.client()
	if err != nil {
		return err
	}
	defer server.Close()
	defs, err := readTasks(c.Paths)
	if err != nil {
		return err
	}
	if len(defs) == 0 {
		return fmt.Errorf("there is no task file (*.yaml or *.yml) in %s", strings.Join(c.Paths, ", "))
	}
	for _, def := range defs {
		changed, err := server.Apply(ctx, def.ID, def.Text)
		if problem, ok := errors.AsType[*client.Problem](err); ok && len(problem.Errors) > 0 {
			return fmt.Errorf("%s: %w%s", def.Name, err, faultLines(problem))
		}
		if err != nil {
			return fmt.Errorf("%s: %w", def.Name, err)
		}
		did := "unchanged"
		if changed {
			did = "applied"
		}
		p.printf("%s: %s (%s)\n", did, def.Name, def.ID)
	}
	return nil
}

func faultLines(p *client.Problem) string {
	var lines strings.Builder
	for _, fault := range p.Errors {
		fmt.Fprintf(&lines, "\n  line %d: %s", fault.Line, fault.Message)
	}
	return lines.String()
}

type taskListCommand struct {
	ServerFlags
	JSONFlag
}

// Run lists the tasks.
func (c *taskListCommand) Run(ctx context.Context, p *program) error {
	server, err := c.client()
	if err != nil {
		return err
	}
	defer server.Close()
	tasks, err := server.Tasks(ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		return p.printJSON(tasks)
	}
	if len(tasks) == 0 {
		p.printf("There are no tasks; `runhook task new` makes a file to start from.\n")
		return nil
	}
	rows := [][]string{{"NAME", "ENABLED", "PARAMETERS", "ID"}}
	for _, t := range tasks {
		names := make([]string, len(t.Parameters))
		for i, parameter := range t.Parameters {
			names[i] = parameter.Name
			if parameter.Prompt == "required" {
				names[i] += " (required)"
			}
		}
		rows = append(rows, []string{t.Name, yesNo(t.Enabled), strings.Join(names, ", "), string(t.ID)})
	}
	return p.printTable(rows)
}

func yesNo(yes bool) string {
	if yes {
		return "yes"
	}
	return "no"
}

type taskShowCommand struct {
	ServerFlags
	JSONFlag
	Task string `arg:"" help:"The task's id, or a unique part of its name."`
}

// Run shows the task.
func (c *taskShowCommand) Run(ctx context.Context, p *program) error {
	server, err := c.client()
	if err != nil {
		return err
	}
	defer server.Close()
	id, err := server.Find(ctx, c.Task)
	if err != nil {
		return err
	}
	found, err := server.Task(ctx, id)
	if err != nil {
		return err
	}
	if c.JSON {
		return p.printJSON(found)
	}
	p.printf("%s (enabled: %s, applied %s)\n\nStart a run:            POST %s\nStart one and poll it:  POST %s\nBody:                   %s\n\n%s",
		found.Name, yesNo(found.Enabled), found.AppliedOn.Format("2006-01-02 15:04:05 MST"),
		found.ExecuteURL, found.ExecutePollingURL, found.Template, found.Text)
	return nil
}
