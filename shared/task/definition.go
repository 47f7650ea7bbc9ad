// Package task holds what a task is: its definition, the parameters callers may pass, and how a
// parameter gets its value. It knows neither NATS nor HTTP nor YAML: shared/taskfile reads a task's file.
package task

import (
	"cmp"
	"slices"
	"time"
)

// Definition is one task, as taskfile.Parse makes it of one file. It is immutable: a change of the
// file makes another Definition with another Hash.
type Definition struct {
	ID          ID
	Name        string
	Description string
	// Enabled is the file's own word; a task whose file was removed is disabled by its record.
	Enabled    bool
	Parameters []Parameter
	Source     Source
	// Rate is a brake on how fast the source's rows are read; its zero value is none.
	Rate Rate
	// Where is an expression; rows for which it is false are skipped. Empty keeps every row.
	Where string
	// WhereLine is where it stands in the file, for error messages; 0 without one.
	WhereLine   int
	Mapping     []Column
	Destination Destination
	OnRowError  RowErrorPolicy
	// MaxRowErrors is the number of failed rows above which the run fails. Default 1000.
	MaxRowErrors int
	Expect       Expect
	// Concurrency is how many runs of the task may be under way over all runners. Default 1.
	Concurrency int
	// Overlap is empty for QueueOverlap. Another one comes with a Concurrency of 1.
	Overlap Overlap
	// MaxQueued is how many runs may wait with QueueOverlap. Default 10,000; 0 is no limit, in a definition that no
	// file made.
	MaxQueued int
	// DisableAfterFailures is after how many failed runs in a row the task is held; 0 for never.
	DisableAfterFailures int
	// Pool is which runners may take its runs. Default DefaultPool.
	Pool string
	// Timeout is how long a run may take from its first start, over all attempts. Default 2 h; 0 is no
	// limit, in a definition that no file made.
	Timeout time.Duration
	// StartWithin is how long a run may wait for a runner before it ends Failed; 0 for ever.
	StartWithin time.Duration
	Retry       Retry
	// RetryAfter is what pollers are asked to wait between polls, whole seconds; 0, the default, is as long as the
	// task's pace says ([run.Pace]).
	RetryAfter time.Duration
	// FailedStatus is the HTTP status of a poll that finds the run failed. Default 200.
	FailedStatus int
	// Auth are the ways for a caller to show who it is, of which one must fit; none lets in everybody who
	// knows the id.
	Auth []Auth
	// Keep is how long a run is kept, from its end; 0 for as long as the store keeps runs.
	Keep time.Duration
	// RejectedRows says what is kept of the rows that fail.
	RejectedRows RejectedRows
	// RateLimit is how many POSTs the task takes from one address; its zero value is any number.
	RateLimit Rate
	// AllowOrigins lists the origins that browsers may call from. Default ["*"].
	AllowOrigins []string
	// Webhook says by which id callers start runs; its zero value is the task's own.
	Webhook Webhook
	// Schedules are when the task is due by itself, in file order.
	Schedules []Schedule
	// Then are the tasks of which a run is started when one of this task has ended, in file order.
	Then []Then
	// FormerIDs are ids that the task itself had before, in file order.
	FormerIDs []FormerID

	// Text is the file's bytes as they were read; Hash is their SHA-256 in hex. Both name the
	// definition for ever: a run executes the Hash that was accepted with it.
	Text []byte
	Hash string
}

// Retry says how a run is attempted again after a fault that may pass.
type Retry struct {
	// Attempts is how often the run is attempted at most. Default 3.
	Attempts int
	// Backoff is the wait before the second attempt, which doubles with each further one. Default 30 s.
	Backoff time.Duration
}

// RowErrorPolicy says what a failed row does to its run.
type RowErrorPolicy string

// The values of on_row_error.
const (
	ContinueOnRowError RowErrorPolicy = "continue"
	StopOnRowError     RowErrorPolicy = "stop"
)

// Parameter is one optional or required prompt of a task.
type Parameter struct {
	// Name is the unqualified column name, the caller's usual key ("FirstName").
	Name string
	// Filter is the qualified column ("CsContact.FirstName"), empty when the file gave a name only.
	Filter string
	// Required: a run without any value is refused before anything starts.
	Required bool
	// Default is the task's own value, used when the request has none. Empty means none.
	Default []string
	// SourceDefault is the source's default, for sources that cannot apply one themselves.
	SourceDefault []string
	// Multiple: the value is a list of strings, and a request may send an array.
	Multiple bool
	// MaxBytes is how long a request's value may be, all of its strings together. Default 4096; 0 is no limit,
	// in a definition that no file made.
	MaxBytes int
	// Segment: the value becomes a part of the path of an http source, and has to stay one segment of it, unless
	// AnyPath.
	Segment bool
	// AnyPath: a value there may be several segments.
	AnyPath     bool
	Description string
}

// Column is one entry of mapping, in file order: the destination's column and the expression
// over the source's row that makes its value.
type Column struct {
	Name       string
	Expression string
	// Line is where the entry stands in the file, for error messages.
	Line int
}

// Webhook is the GUID in the URL that starts runs of a task, and those that were there before. The task's id, by
// which runs, events and consumers are named, stays as it is.
type Webhook struct {
	// ID is empty where it is the task's.
	ID ID
	// Former are in file order.
	Former []FormerID
}

// FormerID is an id that callers of a task used before it was rotated.
type FormerID struct {
	ID ID
	// Until is the moment up to which a POST to the id still starts a run.
	Until time.Time
}

// WebhookID is the id by which callers start runs.
func (d *Definition) WebhookID() ID { return cmp.Or(d.Webhook.ID, d.ID) }

// Former are all ids by which callers started runs before.
func (d *Definition) Former() []FormerID { return slices.Concat(d.Webhook.Former, d.FormerIDs) }

// FormerUntil is the moment up to which id, a former one, still starts runs of the task; the zero
// time where the task does not list it.
func (d *Definition) FormerUntil(id ID) time.Time {
	for _, former := range d.Former() {
		if former.ID == id {
			return former.Until
		}
	}
	return time.Time{}
}

// Starts reports whether a POST to called, an id that leads to the task, starts runs now.
func (d *Definition) Starts(called ID, now time.Time) bool {
	return called == d.WebhookID() || now.Before(d.FormerUntil(called))
}

// WebhookIDs are the ids that the task's webhook has and had.
func (d *Definition) WebhookIDs() []ID {
	ids := []ID{d.WebhookID()}
	for _, former := range d.Webhook.Former {
		ids = append(ids, former.ID)
	}
	return ids
}

// Rate is a number of things in a time. The zero Rate is no limit.
type Rate struct {
	Count int
	Per   time.Duration
}
