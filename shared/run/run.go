// Package run holds what a run is: the request that starts it, the document that tells how it
// went, the counts, and the ways it can end. It knows neither NATS nor HTTP.
package run

import (
	"cmp"
	"fmt"
	"strconv"
	"time"

	"runhook/shared/task"
)

// Number is a run's number: the stream sequence of its request, unique over all tasks of a
// store and never 0.
type Number uint64

// ParseNumber reads a run number as it stands in a URL: decimal digits only.
func ParseNumber(text string) (Number, error) {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n == 0 || text[0] == '+' {
		return 0, fmt.Errorf("%q is not a run number", text)
	}
	return Number(n), nil
}

func (n Number) String() string { return strconv.FormatUint(uint64(n), 10) }

// Trigger says what started a run.
type Trigger string

// The triggers. A run that only tries its task has DryRun, whatever started it.
const (
	Webhook  Trigger = "webhook"
	CLI      Trigger = "cli"
	Page     Trigger = "page"
	Schedule Trigger = "schedule"
	Chain    Trigger = "chain"
	Again    Trigger = "again"
	// Corrections: the run reads just the rows of another one that failed, corrected.
	Corrections Trigger = "correction"
	DryRun      Trigger = "dry run"
)

// The headers in which the command line and the page say of a POST how it comes about. They count with an admin token
// only.
const (
	// TriggerHeader has cli or page.
	TriggerHeader = "Runhook-Trigger"
	// RepeatHeader has the number of the run whose values the new one has.
	RepeatHeader = "Runhook-Repeat-Of"
	// FullHeader is true if the run reads from the start, whatever the task's runs have read.
	FullHeader = "Runhook-Full"
)

// Request is the one message that makes a run: everything a runner needs to execute it and
// everything a status answer needs before a runner took it. It is stored as JSON.
type Request struct {
	Task task.ID
	// CalledAs is the former id of the task that the caller used; empty where it used Task.
	CalledAs task.ID `json:",omitempty"`
	TaskName string
	// DryRun: the run does everything but write to the destination.
	DryRun bool `json:",omitempty"`
	// Full: the run reads from the start, of a task that reads incrementally.
	Full bool `json:",omitempty"`
	// Definition is the hash of the accepted definition; the run executes exactly that one.
	Definition string
	Parameters task.Values `json:",omitempty"`
	// ParameterHash tells two requests under one idempotency key apart.
	ParameterHash string `json:",omitempty"`
	// Base is scheme and host of the POST ("https://hooks.example.org"), without a trailing
	// slash; empty makes PollingUrl relative.
	Base    string `json:",omitempty"`
	Trigger Trigger
	// Operator is the name of the admin token that the run was started with; empty if there was none.
	Operator string `json:",omitempty"`
	// RepeatOf is the run whose values the run has; 0 if it is no repeat.
	RepeatOf Number `json:",omitempty"`
	// Correction is what the run reads instead of its task's source; nil for that.
	Correction *Correction `json:",omitempty"`
	// Overlap is that of the task, empty for task.QueueOverlap. With one that is Alone, each earlier run of the task
	// had ended when the request was stored, unless SkippedFor names one that had not: then the run is never started, and
	// up to the run AloneUpTo no other one was open.
	Overlap       task.Overlap `json:",omitempty"`
	SkippedFor    Number       `json:",omitempty"`
	AloneUpTo     Number       `json:",omitempty"`
	CorrelationID string       `json:",omitempty"`
	TraceParent   string       `json:",omitempty"`
	WorkflowRunID string       `json:",omitempty"`
	// RetryAfter is the seconds between polls, as the task had it.
	RetryAfter int
	// StartWithin is how many seconds the run may wait for a runner, as the task had it; 0 for ever.
	StartWithin int `json:",omitempty"`
	// ScheduledFor is when a schedule had the run due; the zero time if no schedule started it.
	ScheduledFor time.Time `json:",omitzero"`
	// StartedBy is the run whose end has started this one, and Link how many runs of the chain came before; 0 if no end
	// of a run has started it.
	StartedBy Number `json:",omitempty"`
	Link      int    `json:",omitempty"`
	// RunAt is when the run is to start; the zero time for at once. Until then it holds nothing, and no other run of the
	// task waits for it.
	RunAt     time.Time `json:",omitzero"`
	CreatedOn time.Time
}

// Called is the id that the caller used.
func (r Request) Called() task.ID { return cmp.Or(r.CalledAs, r.Task) }

// StatusPath is the path of a run's status URL.
func StatusPath(id task.ID, n Number) string { return statusURL("", id, n) }

// CancelPath is the path that cancels a run.
func CancelPath(id task.ID, n Number) string {
	return "/task/executepolling/" + string(id) + "/" + n.String() + "/cancel"
}

// PollingURL is the status URL as it stands in every document of the run, without a signature.
func (r Request) PollingURL(n Number) string { return statusURL(r.Base, r.Task, n) }

func statusURL(base string, id task.ID, n Number) string {
	return base + "/task/executepolling/" + string(id) + "/" + n.String() + "/status"
}
