package main

import (
	"context"
	"errors"
	"fmt"

	"runhook/shared/client"
)

type taskSinceCommand struct {
	TaskArg
	JSONFlag
	Value string `arg:"" optional:"" help:"The value from which the next run reads: a number, a date, or a moment."`
	Reset bool   `help:"Forget what runs have read: the next one begins as the first one did."`
}

// Help says what is set.
func (*taskSinceCommand) Help() string {
	return `A task whose source has since reads what is new. The highest value that a successful run has seen is its watermark: the next run reads from there, less the overlap.

With VALUE the watermark is set, also back, and with --reset there is none. Runs that are under way then do not move it. To read all rows once, and keep the watermark, take runhook run TASK --full.

Examples:

    runhook task since members
    runhook task since members 2026-01-31T12:00:00Z
    runhook task since members --reset`
}

// Run shows the watermark, or sets it.
func (c *taskSinceCommand) Run(ctx context.Context, p *program) error {
	if c.Value != "" && c.Reset {
		return errors.New("a value and --reset exclude each other; pass one of them")
	}
	return c.on(ctx, func(server *client.Client, found client.Task) error {
		if found.Since == nil {
			return fmt.Errorf("the source of %q has no since: each of its runs reads all rows", found.Name)
		}
		now := *found.Since
		if c.Value != "" || c.Reset {
			err := whileAway(ctx, func() (err error) {
				now, err = server.SetSince(ctx, found.ID, c.Value)
				return err
			})
			if err != nil {
				return err
			}
		}
		if c.JSON {
			return p.printJSON(now)
		}
		p.printf("%s\n", watermarkText(now))
		return nil
	})
}

// sinceText is a line of how far a task has read; empty for one that reads all rows.
func sinceText(t client.Task) string {
	if t.Since == nil {
		return ""
	}
	return "Reads incrementally:    " + watermarkText(*t.Since) + "\n"
}

// watermarkText is how far a task has read, in words.
func watermarkText(s client.Since) string {
	switch {
	case s.Fault != "":
		return s.Fault
	case s.Value == "" && s.Start == "":
		return fmt.Sprintf("from the first %s on: there is no watermark", s.Column)
	case s.Value == "":
		return fmt.Sprintf("from %s %s on (start): there is no watermark", s.Column, s.Start)
	}
	text := fmt.Sprintf("from %s %s on", s.Column, s.Value)
	if s.Overlap != "" {
		text += ", less " + s.Overlap
	}
	switch {
	case s.On == nil:
	case s.Run > 0:
		text += fmt.Sprintf(" (run %s, %s)", s.Run, utcText(*s.On))
	default:
		text += fmt.Sprintf(" (set by %s, %s)", s.By, utcText(*s.On))
	}
	return text
}
