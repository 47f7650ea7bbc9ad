package main

import "context"

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
