package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"runhook/shared/client"
	"runhook/shared/task"
)

// TaskArg is the task that a command works on.
type TaskArg struct {
	ServerFlags
	Task string `arg:"" help:"The task's id, or a unique part of its name."`
}

// on finds the task and works on it.
func (c *TaskArg) on(ctx context.Context, work func(server *client.Client, found client.Task) error) error {
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
	return work(server, found)
}

// whereHelp says where the commands that change a task change it.
const whereHelp = `The one line of the task's file is changed, and everything else stays as it was written: in the file itself where the server follows a folder (--tasks), else in the text that was applied, which ` + "`runhook task show`" + ` prints.`

type taskEnableCommand struct{ TaskArg }

// Help says what is changed.
func (*taskEnableCommand) Help() string {
	return whereHelp + `

Example:

    runhook task enable "Refresh lapsed"`
}

// Run enables the task.
func (c *taskEnableCommand) Run(ctx context.Context, p *program) error {
	return c.enable(ctx, p, true, "enabled")
}

type taskDisableCommand struct{ TaskArg }

// Help says what is changed.
func (*taskDisableCommand) Help() string {
	return `Callers are answered 409. ` + whereHelp + `

Example:

    runhook task disable "Refresh lapsed"`
}

// Run disables the task.
func (c *taskDisableCommand) Run(ctx context.Context, p *program) error {
	return c.enable(ctx, p, false, "disabled")
}

func (c *TaskArg) enable(ctx context.Context, p *program, enabled bool, word string) error {
	return c.on(ctx, func(server *client.Client, found client.Task) error {
		changed, err := server.Enable(ctx, found.ID, enabled)
		if err != nil {
			return err
		}
		if !changed {
			word += " already"
		}
		p.printf("%s is %s.\n", found.Name, word)
		return nil
	})
}

type taskRotateCommand struct {
	TaskArg
	Until moment `default:"30d" placeholder:"WHEN" help:"Until when the present id still starts runs: now, a length of time such as 30d or 12h, a date, or a moment (${default})."`
}

// Help says what becomes of the present id.
func (*taskRotateCommand) Help() string {
	return `The present id goes into the file's former_ids. Until the time given, POSTs to it start runs of the new id, and their answers show the new id: where the present one has come to the wrong people, use --until now. After that they are answered 410. The addresses of earlier runs keep working.

` + whereHelp + `

Examples:

    runhook task rotate "Refresh lapsed"
    runhook task rotate "Refresh lapsed" --until now
    runhook task rotate "Refresh lapsed" --until 2031-01-31`
}

// Run gives the task a new id.
func (c *taskRotateCommand) Run(ctx context.Context, p *program) error {
	return c.on(ctx, func(server *client.Client, found client.Task) error {
		until := c.Until.after(time.Now())
		rotated, err := server.Rotate(ctx, found.ID, until)
		if err != nil {
			return err
		}
		p.printf("%s has the new id %s.\n\nStart a run:            POST %s\nStart one and poll it:  POST %s\n\n", rotated.Name, rotated.ID, rotated.ExecuteURL, rotated.ExecutePollingURL)
		if time.Now().Before(until) {
			p.printf("The former id %s starts runs until %s.\n", found.ID, until.Format("2006-01-02 15:04 MST"))
		} else {
			p.printf("The former id %s starts no more runs.\n", found.ID)
		}
		return nil
	})
}

// moment is a moment on the command line, fixed or counted from now.
type moment struct {
	from time.Duration
	at   time.Time
}

// UnmarshalText reads now, a length of time, a date or a moment.
func (m *moment) UnmarshalText(text []byte) error {
	var length span
	switch {
	case string(text) == "now":
		*m = moment{}
		return nil
	case length.UnmarshalText(text) == nil:
		*m = moment{from: time.Duration(length)}
		return nil
	}
	at, err := task.ParseMoment(string(text))
	if err != nil {
		return fmt.Errorf("%q is neither now, nor a length of time such as 30d, nor a date such as 2031-01-31", text)
	}
	*m = moment{at: at}
	return nil
}

func (m moment) after(now time.Time) time.Time {
	if m.at.IsZero() {
		return now.Add(m.from)
	}
	return m.at
}

type taskDeleteCommand struct {
	TaskArg
	Yes bool `short:"y" help:"Do not ask."`
}

// Help says what stays.
func (*taskDeleteCommand) Help() string {
	return `The task's webhooks are answered 404 from then on, and its file is removed where the server follows a folder (--tasks). Its runs can still be looked at. A task with runs that have not ended is not deleted.

Example:

    runhook task delete "Refresh lapsed" --yes`
}

// Run deletes the task.
func (c *taskDeleteCommand) Run(ctx context.Context, p *program) error {
	return c.on(ctx, func(server *client.Client, found client.Task) error {
		if !c.Yes {
			answer, err := p.ask(ctx, fmt.Sprintf("Delete %s (%s)? Type yes: ", found.Name, found.ID))
			if errors.Is(err, errNoTerminal) {
				return fmt.Errorf("this would delete %s (%s): add --yes", found.Name, found.ID)
			}
			if err != nil {
				return err
			}
			if answer != "yes" {
				return errors.New("nothing was deleted")
			}
		}
		if err := server.Delete(ctx, found.ID); err != nil {
			return err
		}
		p.printf("%s (%s) is deleted.\n", found.Name, found.ID)
		return nil
	})
}

type taskFieldsCommand struct{}

// Run prints the page.
func (taskFieldsCommand) Run(p *program) error {
	_, err := p.stdout.Write(task.Reference())
	return err
}

type taskSchemaCommand struct{}

// Help says how editors use it.
func (*taskSchemaCommand) Help() string {
	return `Editors that know the YAML language server (VS Code with the YAML extension, Neovim, JetBrains and others) complete fields and mark mistakes when a task file begins with

    # yaml-language-server: $schema=task.schema.json

Example:

    runhook task schema > tasks/task.schema.json`
}

// Run prints the schema.
func (*taskSchemaCommand) Run(p *program) error {
	schema, err := task.Schema()
	if err != nil {
		return err
	}
	_, err = p.stdout.Write(schema)
	return err
}
