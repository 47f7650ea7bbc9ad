package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"runhook/shared/client"
	"runhook/shared/taskfile"
)

type taskApplyCommand struct {
	ServerFlags
	Paths []string `arg:"" name:"file" help:"Task files, or folders of them."`
}

// Help says what applying does.
func (*taskApplyCommand) Help() string {
	return `Nothing is applied unless every file is valid. Tasks whose files are gone from the folder stay unchanged.

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
	for _, def := range taskfile.ChildrenFirst(defs) {
		var changed bool
		var warning string
		err := whileAway(ctx, func() (err error) {
			changed, warning, err = server.Apply(ctx, def.ID, def.Text)
			return err
		})
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
		if warning != "" {
			p.notef("%s: %s\n", def.Name, inertText(warning))
		}
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
