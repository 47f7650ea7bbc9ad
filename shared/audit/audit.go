// Package audit says who did what. A line holds no secret and no value of a parameter.
package audit

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"runhook/shared/nearest"
	"runhook/shared/run"
	"runhook/shared/task"
)

// What was done.
const (
	TaskApply   = "task-apply"
	TaskEnable  = "task-enable"
	TaskDisable = "task-disable"
	TaskRotate  = "task-rotate"
	// TaskSince is that somebody has set the watermark of a task.
	TaskSince  = "task-since"
	TaskDelete = "task-delete"
	// TaskHeld is that a task is held, because too many of its runs failed in a row.
	TaskHeld   = "task-held"
	RunsCancel = "runs-cancel"
	RunsAgain  = "runs-again"
	// RunsDelete is that somebody has asked for an erasure, and RunsDeleted that it is done: that is its receipt.
	RunsDelete       = "runs-delete"
	RunsDeleted      = "runs-deleted"
	ConnectionPause  = "connection-pause"
	ConnectionResume = "connection-resume"
	SignIn           = "sign-in"
	SignOut          = "sign-out"
	// Link is that somebody has made a link that signs in to the page.
	Link = "link"
	// Tokens is that a process has read its admin tokens again.
	Tokens = "tokens"
)

// whats are all that a line says was done.
var whats = []string{
	TaskApply, TaskEnable, TaskDisable, TaskRotate, TaskSince, TaskDelete, TaskHeld, RunsCancel, RunsAgain, RunsDelete, RunsDeleted,
	ConnectionPause, ConnectionResume, SignIn, SignOut, Link, Tokens,
}

// Words are what a Query can have for What: what was done, and what several of those begin with.
func Words() []string {
	words := slices.Clone(whats)
	for _, what := range whats {
		if kind, _, several := strings.Cut(what, "-"); several && !slices.Contains(words, kind) {
			words = append(words, kind)
		}
	}
	slices.Sort(words)
	return words
}

// CheckWhat says why no line has a word for what was done, nil if one can.
func CheckWhat(what string) error {
	words := Words()
	if slices.Contains(words, what) {
		return nil
	}
	return fmt.Errorf("%q is nothing that the audit has%s", what, cmp.Or(nearest.Hint(what, words), "; it has "+strings.Join(words, ", ")))
}

// ByFailures is who has a task held: its own disable_after_failures.
const ByFailures = "failures"

// Line is one thing that somebody did.
type Line struct {
	// Number is the line's place: later ones have higher numbers. 0 before it is stored.
	Number uint64 `json:",omitempty"`
	// On is when, by the clock of the process that did it.
	On time.Time
	// By is who: the name of an admin token, link for whoever has a run's CancelUrl, keep and failures for a task's own keep
	// and disable_after_failures, folder for the files of --tasks, or SIGHUP.
	By string
	// Via is page where it was done there, and Address where the request came from, where there was one.
	Via     string `json:",omitempty"`
	Address string `json:",omitempty"`
	What    string
	// TaskID is the id of a task, and Task its name at that time. Run and Last are the number of a run, or the first and last
	// of many.
	TaskID task.ID    `json:"ExecuteId,omitempty"`
	Task   string     `json:",omitempty"`
	Run    run.Number `json:",omitempty"`
	Last   run.Number `json:",omitempty"`
	// Before and After are how a task was and is: the hash of its definition.
	Before string `json:",omitempty"`
	After  string `json:",omitempty"`
	// Detail says more, in words, and Why is the reason that an operator gave.
	Detail string `json:",omitempty"`
	Why    string `json:",omitempty"`
	// Removed counts what an erasure has removed, of a line of RunsDeleted; nil for any other.
	Removed *run.Removed `json:",omitempty"`
}

// Keeper keeps lines. It never fails: a line that cannot be stored is in the log.
type Keeper func(ctx context.Context, line Line)

// Keep keeps a line, if there is a keeper.
func (k Keeper) Keep(ctx context.Context, line Line) {
	if k != nil {
		k(ctx, line)
	}
}

// word is what a What looks like: it is a part of a subject.
var word = regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`)

// mostText is how long a text of a line may be.
const mostText = 1000

// Check says why a line cannot be kept.
func (l *Line) Check() error {
	switch {
	case !word.MatchString(l.What):
		return fmt.Errorf("%q is no word for what was done", l.What)
	case l.On.IsZero():
		return errors.New("the line does not say when it was done")
	}
	for _, text := range []string{l.By, l.Via, l.Address, l.Task, l.Before, l.After, l.Detail, l.Why} {
		if len(text) > mostText {
			return errors.New("a text of the line is too long")
		}
	}
	return nil
}

// Decode reads a line as it is stored, without its number.
func Decode(data []byte) (Line, error) {
	var l Line
	if err := json.Unmarshal(data, &l); err != nil {
		return l, fmt.Errorf("decode a line of the audit: %w", err)
	}
	return l, l.Check()
}

// OfReceipt is the line of a receipt.
func OfReceipt(e run.Erasure) Line {
	l := Line{
		On: e.On, By: e.By, What: RunsDeleted, TaskID: e.Task, Task: e.TaskName, Run: e.First, Removed: &e.Removed,
	}
	if e.DoneOn != nil {
		l.On = *e.DoneOn
	}
	if e.Last != e.First {
		l.Last, l.Detail = e.Last, fmt.Sprintf("%d of them", e.Removed.Runs)
	}
	return l
}

// OfHeld is the line of a task that is held.
func OfHeld(e run.HeldEvent) Line {
	detail := fmt.Sprintf("%d runs failed in a row", e.Failures)
	if e.Failures == 1 {
		detail = "it failed"
	}
	return Line{On: time.Time(e.HeldSince), By: ByFailures, What: TaskHeld, TaskID: e.ExecuteID, Task: e.TaskName, Run: e.ImportID, Detail: detail}
}

// Query says which lines are wanted. The zero Query is all.
type Query struct {
	// Since and Until bound when it was done: Since is in it, Until is not. Zero is no bound.
	Since, Until time.Time
	// Who is the whole of By, and What the whole of what was done, or what it begins with, such as task; empty is any.
	Who, What string
	// Task is the id of a task, and Named what its name has in it, in any letter case; empty is any.
	Task  task.ID
	Named string
	// Before has only lines with a lower number; 0 is all.
	Before uint64
}

// Wants reports whether a line is wanted, whatever its number.
func (q *Query) Wants(l Line) bool {
	return (q.Since.IsZero() || !l.On.Before(q.Since)) && (q.Until.IsZero() || l.On.Before(q.Until)) && (q.Who == "" || l.By == q.Who) &&
		(q.What == "" || l.What == q.What || strings.HasPrefix(l.What, q.What+"-")) && (q.Task == "" || l.TaskID == q.Task) &&
		(q.Named == "" || strings.Contains(strings.ToLower(l.Task), strings.ToLower(q.Named)))
}
