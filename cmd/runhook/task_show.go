package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"runhook/shared/client"
)

type taskShowCommand struct {
	TaskArg
	JSONFlag
}

// Run shows the task.
func (c *taskShowCommand) Run(ctx context.Context, p *program) error {
	return c.on(ctx, func(_ *client.Client, found client.Task) error {
		if c.JSON {
			return p.printJSON(found)
		}
		p.noteFault(found)
		p.noteHold(found)
		schedule, err := scheduleText(found)
		if err != nil {
			return err
		}
		then, err := thenText(found)
		if err != nil {
			return err
		}
		p.printf("%s (enabled: %s, applied %s)\n\nStart a run:            POST %s\nStart one and poll it:  POST %s\nBody:                   %s\n%s\n%s%s",
			found.Name, enabled(found), found.AppliedOn.Format("2006-01-02 15:04:05 MST"),
			found.ExecuteURL, found.ExecutePollingURL, found.Template, sinceText(found), schedule+then, found.Text)
		return nil
	})
}

// thenText is what the ends of a task's runs start, and what came of the last ones; empty for a task without then.
func thenText(t client.Task) (string, error) {
	var text bytes.Buffer
	if len(t.Then) > 0 {
		rows := [][]string{{"TASK", "ON", "WHEN"}}
		for _, then := range t.Then {
			rows = append(rows, []string{shown(then.Task), strings.Join(then.On, ", "), shown(strings.Join(strings.Fields(then.When), " "))})
		}
		text.WriteString("Starts:\n")
		if err := writeIndented(&text, rows); err != nil {
			return "", err
		}
	}
	if len(t.Followed) > 0 {
		rows := [][]string{{"UTC", "END OF", "CAME OF IT"}}
		for _, came := range t.Followed {
			what := fmt.Sprintf("no run of %q: %s", came.Task, strings.Join(strings.Fields(came.Why), " "))
			if came.Child > 0 {
				what = fmt.Sprintf("run %s of %q", came.Child, came.Task)
			}
			rows = append(rows, []string{utcText(came.On), "run " + came.Run.String(), inertText(what)})
		}
		text.WriteString("Started:\n")
		if err := writeIndented(&text, rows); err != nil {
			return "", err
		}
	}
	return text.String(), nil
}
