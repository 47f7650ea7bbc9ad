package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"runhook/shared/client"
	"runhook/shared/run"
)

type runsDeleteCommand struct {
	ServerFlags
	JSONFlag
	UTCFlag
	Runs   []string `arg:"" optional:"" name:"run" help:"The runs' numbers."`
	Task   string   `placeholder:"TASK" help:"With --before: the ended runs of this task, instead of numbers: its id, or a unique part of its name."`
	Before string   `placeholder:"WHEN" help:"With --task: the runs accepted before then: 30d ago, today, a date, or a moment like 2026-01-31T12:00."`
	Yes    bool     `short:"y" help:"With --before: do not ask."`
}

// Help says what is removed.
func (*runsDeleteCommand) Help() string {
	return `Erases runs that have ended: failed rows, events, result, values and history. Their status answers 410, and nothing brings them back but a backup. A receipt says what was removed.

Examples:

    runhook runs delete 41 42
    runhook runs delete --task "Refresh lapsed" --before 2026-01-01
    runhook runs delete --task "Refresh lapsed" --before 90d --yes

A run that has not ended is not deleted: runhook runs cancel ends it.`
}

func (c *runsDeleteCommand) check() error {
	switch {
	case len(c.Runs) > 0 && (c.Task != "" || c.Before != ""):
		return errors.New("--task and --before delete all runs that they name: leave them out, or the numbers")
	case len(c.Runs) == 0 && (c.Task == "" || c.Before == ""):
		return errors.New("name the runs to delete, or pass --task TASK and --before WHEN for the older ones of a task")
	}
	return nil
}

// Run deletes the runs.
func (c *runsDeleteCommand) Run(ctx context.Context, p *program) error {
	if err := c.check(); err != nil {
		return err
	}
	server, err := c.client()
	if err != nil {
		return err
	}
	defer server.Close()
	if len(c.Runs) == 0 {
		return c.deleteBefore(ctx, p, server)
	}
	var numbers []run.Number
	for _, text := range c.Runs {
		number, err := parseRun(text)
		if err != nil {
			return err
		}
		numbers = append(numbers, number)
	}
	var receipts []client.Receipt
	var refused []error
	for _, number := range numbers {
		var receipt client.Receipt
		err := whileAway(ctx, func() (err error) {
			receipt, err = server.Erase(ctx, number)
			return err
		})
		if err == nil {
			receipt, err = c.await(ctx, p, server, receipt)
		}
		if _, isProblem := errors.AsType[*client.Problem](err); isProblem {
			refused = append(refused, err) // the others may go for all that
			continue
		}
		if err != nil {
			return fmt.Errorf("run %s may not be deleted yet, after %s had been: %w", number, plural(len(receipts), "run"), err)
		}
		receipts = append(receipts, receipt)
	}
	if err := c.print(p, receipts); err != nil {
		return err
	}
	if len(refused) > 0 {
		return &exit{exitFailed, errors.Join(refused...)}
	}
	return nil
}

// deleteBefore deletes the older runs of a task.
func (c *runsDeleteCommand) deleteBefore(ctx context.Context, p *program, server *client.Client) error {
	now := time.Now().In(c.zone())
	before, _, err := parseWhen(c.Before, now)
	if err != nil {
		return fmt.Errorf("--before: %w", err)
	}
	if before.After(now) {
		return fmt.Errorf("--before %s is in the future, so nothing was deleted: pass a time that has passed", c.Before)
	}
	id, err := find(ctx, server, c.Task)
	if err != nil {
		return err
	}
	found, err := taskOf(ctx, server, id)
	if err != nil {
		return err
	}
	at := before.In(c.zone()).Format("2006-01-02 15:04 MST")
	if err := c.confirm(ctx, p, fmt.Sprintf("all ended runs of %q that were accepted before %s", found.Name, at)); err != nil {
		return err
	}
	var receipts []client.Receipt
	err = whileAway(ctx, func() (err error) {
		receipts, err = server.EraseBefore(ctx, id, before)
		return err
	})
	if err != nil {
		return err
	}
	for i := range receipts {
		if receipts[i], err = c.await(ctx, p, server, receipts[i]); err != nil {
			return err
		}
	}
	if len(receipts) == 0 && !c.JSON {
		p.printf("No ended run of %q was accepted before %s.\n", found.Name, at)
		return nil
	}
	return c.print(p, receipts)
}

// confirm asks before anything is deleted.
func (c *runsDeleteCommand) confirm(ctx context.Context, p *program, what string) error {
	if c.Yes {
		return nil
	}
	answer, err := p.ask(ctx, fmt.Sprintf("Delete %s? Nothing but a backup brings it back. Type yes: ", what))
	if errors.Is(err, errNoTerminal) {
		return fmt.Errorf("this would delete %s: add --yes", what)
	}
	if err != nil {
		return err
	}
	if answer != "yes" {
		return errors.New("nothing was deleted")
	}
	return nil
}

// await waits until an erasure is done.
func (c *runsDeleteCommand) await(ctx context.Context, p *program, server *client.Client, receipt client.Receipt) (client.Receipt, error) {
	if receipt.DoneOn == nil {
		p.notef("The server goes on with it; Ctrl-C ends the waiting, not the erasure.\n")
	}
	return server.AwaitErased(ctx, receipt)
}

// print prints receipts.
func (c *runsDeleteCommand) print(p *program, receipts []client.Receipt) error {
	if c.JSON {
		if receipts == nil {
			receipts = []client.Receipt{}
		}
		return p.printJSON(receipts)
	}
	for _, receipt := range receipts {
		which := fmt.Sprintf("Run %s of %q is", receipt.First, receipt.TaskName)
		if receipt.First != receipt.Last {
			which = fmt.Sprintf("%s of %q, with numbers from %s to %s, are", plural(receipt.Removed.Runs, "run"), receipt.TaskName, receipt.First, receipt.Last)
		}
		p.printf("%s deleted, on %s: %s.\n", which, receipt.DoneOn.In(c.zone()).Format("2006-01-02 15:04:05 MST"), removedText(receipt.Removed))
		if stay := leftText(receipt.Erasure); stay != "" {
			p.printf("%s\n", stay)
		}
	}
	if len(receipts) > 0 {
		p.printf("%s\n", receipts[0].Text)
	}
	return nil
}

// mostNamed is how many of the runs that stay are named; --json names the others.
const mostNamed = 10

// leftText names the runs that stay because they had not ended; it is empty if there are none.
func leftText(e run.Erasure) string {
	count := len(e.Left) + e.MoreLeft
	if count == 0 {
		return ""
	}
	verb := "stay"
	if count == 1 {
		verb = "stays"
	}
	var named []string
	for _, n := range e.Left[:min(len(e.Left), mostNamed)] {
		named = append(named, n.String())
	}
	list := strings.Join(named, ", ")
	if more := count - len(named); more > 0 {
		list += fmt.Sprintf(" and %d more", more)
	}
	return fmt.Sprintf("%s had not ended and %s: %s.", plural(count, "run"), verb, list)
}

// removedText counts what was removed.
func removedText(removed run.Removed) string {
	return strings.Join([]string{
		plural(removed.Requests, "request"), plural(removed.FinalDocuments, "result"), plural(removed.Events, "event"), plural(removed.RejectedChunks, "part") + " of failed rows",
	}, ", ")
}
