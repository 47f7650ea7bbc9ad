package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"runhook/shared/client"
	"runhook/shared/run"
	"runhook/shared/task"
)

type runsShowCommand struct {
	RunArg
	JSONFlag
	UTCFlag
}

// Run shows the run.
func (c *runsShowCommand) Run(ctx context.Context, p *program) error {
	number, err := c.number()
	if err != nil {
		return err
	}
	server, err := c.client()
	if err != nil {
		return err
	}
	defer server.Close()
	doc, err := server.Run(ctx, number)
	if err != nil {
		return err
	}
	if c.JSON {
		return p.printJSON(doc)
	}
	request, err := server.Request(ctx, number)
	if err != nil { // the server of another version, or a run that goes at this moment
		request = client.Request{}
	}
	if err := p.printRun(ctx, server, doc, request, c.zone()); err != nil {
		return err
	}
	chain, err := server.Chain(ctx, number)
	if err != nil { // as above
		return nil
	}
	p.printChain(chain, number)
	return nil
}

// printRun prints a run for people: how it stands, what became of the rows, when, and what to do next. request is what it
// was started with, the zero one where that is not known.
func (p *program) printRun(ctx context.Context, server *client.Client, doc run.Document, request client.Request, zone *time.Location) error {
	clock := func(t run.Time) string { return time.Time(t).In(zone).Format(time.DateTime) }
	p.printf("Run %s of %q: %s\n%s\n\n", doc.ImportID, doc.TaskName, standing(doc), doc.Message)
	facts := [][]string{{"Rows", client.Rows(doc)}, {"Started by", starter(doc, request)}, {"Accepted", clock(doc.CreatedOn)}}
	if doc.ScheduledFor != nil {
		facts = append(facts, []string{"Due", clock(*doc.ScheduledFor)})
	}
	if doc.RunAt != nil {
		facts = append(facts, []string{"To start at", clock(*doc.RunAt)})
	}
	if doc.StartedBy > 0 {
		facts = append(facts, []string{"Follows", "run " + doc.StartedBy.String()})
	}
	switch {
	case doc.RepeatOf > 0 && doc.Trigger == run.Corrections:
		facts = append(facts, []string{"Corrects", "run " + doc.RepeatOf.String()})
	case doc.RepeatOf > 0:
		facts = append(facts, []string{"Repeats", "run " + doc.RepeatOf.String()})
	}
	if doc.StartedOn != nil {
		queued := time.Time(doc.CreatedOn)
		if doc.RunAt != nil && time.Time(*doc.RunAt).After(queued) { // it waits in no queue until then
			queued = time.Time(*doc.RunAt)
		}
		waited := time.Time(*doc.StartedOn).Sub(queued)
		facts = append(facts, []string{"Started", clock(*doc.StartedOn) + ", after " + length(waited) + " in the queue"})
	}
	ran := time.Duration(doc.DurationMs) * time.Millisecond
	switch {
	case doc.CompletedOn != nil:
		facts = append(facts, []string{"Ended", clock(*doc.CompletedOn) + ", after " + length(ran)})
	case doc.StartedOn != nil:
		facts = append(facts, []string{"Last seen", clock(doc.UpdatedOn) + ", after " + length(ran)})
	}
	if doc.ExecutionCount > 1 {
		facts = append(facts, []string{"Attempts", strconv.Itoa(doc.ExecutionCount) + ": each but the last was interrupted or met a temporary fault"})
	}
	heading := "Parameters"
	for _, name := range slices.Sorted(maps.Keys(doc.Parameters)) {
		said := name + ": " + origins[doc.Parameters[name].From]
		if values := request.Parameters[name].Values; len(values) > 0 {
			said = name + ": " + shown(strings.Join(values, ", ")) + " (" + origins[doc.Parameters[name].From] + ")"
		}
		facts = append(facts, []string{heading, said})
		heading = ""
	}
	if request.Hidden && len(doc.Parameters) > 0 {
		facts = append(facts, []string{heading, "a token that only reads does not see the values"})
	}
	if doc.CorrelationID != "" {
		facts = append(facts, []string{"Correlation", shown(doc.CorrelationID)})
	}
	facts = append(facts, []string{"Task", string(doc.ExecuteID)}, []string{"Status URL", doc.PollingURL})
	if err := p.printTable(facts); err != nil {
		return err
	}
	if len(doc.Errors) > 0 {
		p.printf("\n%s failed:\n", plural(doc.TotalErrorCount, "row"))
	}
	p.printErrors(ctx, server, doc)
	if next := nextStep(doc); next != "" {
		p.printf("\n%s\n", next)
	}
	return nil
}

// printChain prints the chain that a run is part of, as a tree. It prints nothing of a run alone.
func (p *program) printChain(chain client.Chain, shown run.Number) {
	if len(chain.Runs) < 2 && len(chain.None) == 0 {
		return
	}
	p.printf("\nChain:\n")
	depths := map[run.Number]int{}
	for _, l := range chain.Runs {
		depth, below := depths[l.StartedBy]
		if below {
			depth++
		}
		depths[l.ImportID] = depth
		indent, mark := strings.Repeat("  ", depth+1), ""
		if l.ImportID == shown {
			mark = ", this run"
		}
		p.printf("%srun %s of %q: %s%s\n", indent, l.ImportID, l.TaskName, l.StatusDescription, mark)
		for _, none := range chain.None {
			if none.Run == l.ImportID {
				p.printf("%s  no run of %q: %s\n", indent, none.Task, strings.ReplaceAll(inertText(none.Why), "\n", "\n"+indent+"    "))
			}
		}
	}
	if chain.More {
		p.printf("  and more\n")
	}
	p.noteHistory(chain.History)
}

// starter says what has started a run, and who if there is a name.
func starter(doc run.Document, request client.Request) string {
	if request.Operator == "" {
		return string(doc.Trigger)
	}
	return string(doc.Trigger) + ", by " + shown(request.Operator)
}

// origins say where a parameter's value came from.
var origins = map[task.Origin]string{
	task.FromRequest: "from the request",
	task.FromTask:    "the task's default",
	task.FromSource:  "none given, so the source's own default",
}

// length is a length of time as people say it.
func length(d time.Duration) string {
	switch {
	case d < 10*time.Second:
		return fmt.Sprintf("%.2f s", max(0, d.Seconds()))
	case d < time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	}
	return strings.TrimSuffix(d.Round(time.Second).String(), "0s")
}

// nextStep is what somebody who looks at the run may want to do, empty for nothing.
func nextStep(doc run.Document) string {
	again := fmt.Sprintf("runhook run %q", doc.TaskName)
	if len(doc.Parameters) > 0 {
		again += " -p NAME=VALUE"
	}
	switch doc.Outcome() {
	case run.Success:
		if doc.Trigger == run.DryRun {
			return "To write: " + again
		}
	case run.Failed:
		return "When that is corrected, start it again: runhook runs again " + doc.ImportID.String()
	case "":
		if doc.Waiting != nil {
			if next := waitedFor(*doc.Waiting); next != "" {
				return next
			}
		}
		if doc.Status == run.Queued {
			return "It waits for a runner: an earlier run of the task may be under way (runhook runs list), or no runner is up."
		}
		return "It goes on. To wait for its end: curl -H 'Prefer: wait=60' '" + doc.PollingURL + "'"
	}
	return ""
}

// waitedFor is what somebody may want to do about what a run waits for, empty for nothing.
func waitedFor(on run.Waiting) string {
	switch on.Kind {
	case run.ForRun:
		return "It starts when that has ended: runhook runs show " + on.Run.String()
	case run.ForRunner:
		if on.Held {
			return "A start of its runners without --hold runs it, and so does another one: runhook runner --pool " + on.Pool
		}
		return "Start one: runhook runner --pool " + on.Pool
	case run.ForSlot:
		return "All slots of the runners of its pool are taken. More: --slots, or another runhook runner --pool " + on.Pool
	case run.ForTime:
		return "It starts then. To cancel it: runhook runs cancel, with its number"
	case run.ForConnection:
		return "It goes on once somebody resumes that: runhook connections resume " + on.Connection
	}
	return ""
}
