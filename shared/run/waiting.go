package run

import (
	"fmt"
	"time"
)

// Waiting is what keeps a run that is accepted from going on, at one moment.
type Waiting struct {
	Kind WaitKind
	// Since is when it began to wait for that; nil if it is not known.
	Since *Time `json:",omitempty"`
	// Run is the run of the same task that has to end first, the oldest one of the Open that are under way.
	Run  Number `json:",omitempty"`
	Open int    `json:",omitempty"`
	// Ahead is how many runs come first: those of the same task that are queued, or those that wait for the same site.
	Ahead int `json:",omitempty"`
	// Pool is the pool of runners that the run is for. Held is whether runners of it are up, all of which are held: they
	// take no run.
	Pool string `json:",omitempty"`
	Held bool   `json:",omitempty"`
	// Connection is what the tasks call the site, or whatever else it waits for.
	Connection string `json:",omitempty"`
	// Attempt is the next attempt, which begins at Until. Of a run that is to start at a time Until is that.
	Attempt int   `json:",omitempty"`
	Until   *Time `json:",omitempty"`
	// By is who has paused the connection, and Why the reason given.
	By  string `json:",omitempty"`
	Why string `json:",omitempty"`
}

// WaitKind is the kind of what a run waits for.
type WaitKind string

// What a run can wait for.
const (
	ForRun        WaitKind = "run"        // another run of its task
	ForSlot       WaitKind = "slot"       // a free slot of a runner
	ForRunner     WaitKind = "runner"     // a runner of its pool: none is up, or they are held
	ForAttempt    WaitKind = "attempt"    // the time of its next attempt
	ForTime       WaitKind = "time"       // the time at which it is to start
	ForSite       WaitKind = "site"       // its turn at a site
	ForConnection WaitKind = "connection" // somebody to resume the connection
)

// String is the wait in words, as a document has it in WaitingFor.
func (w Waiting) String() string {
	switch w.Kind {
	case ForRun:
		text := "run " + w.Run.String() + " of this task"
		if w.Open > 1 {
			text = fmt.Sprintf("run %s or another of the %d runs of this task under way", w.Run, w.Open)
		}
		return text + w.behind()
	case ForSlot:
		text := "a free slot"
		if w.Pool != "" {
			text += " in pool " + w.Pool
		}
		return text + w.behind()
	case ForRunner:
		if w.Held {
			return "pool " + w.Pool + " is held (--hold)"
		}
		return "no runner of pool " + w.Pool
	case ForAttempt:
		text := fmt.Sprintf("attempt %d", w.Attempt)
		if w.Until != nil {
			text += " at " + time.Time(*w.Until).UTC().Format("15:04:05Z")
		}
		return text
	case ForTime:
		if w.Until == nil {
			return "its time"
		}
		return time.Time(*w.Until).UTC().Format(time.RFC3339)
	case ForSite:
		return "the site " + w.Connection + w.behind()
	case ForConnection:
		text := "connection " + w.Connection + " is paused by " + w.By
		if w.Why != "" {
			text += ": " + w.Why
		}
		return text
	}
	return ""
}

func (w Waiting) behind() string {
	switch {
	case w.Ahead == 1:
		return ", 1 run before it"
	case w.Ahead > 1:
		return fmt.Sprintf(", %d runs before it", w.Ahead)
	}
	return ""
}

// message is the wait as a sentence.
func (w Waiting) message() string {
	switch {
	case w.Kind == ForRunner && w.Held:
		return "Waiting: " + w.String() + ", so its runners take no run"
	case w.Kind == ForRunner:
		return "Waiting: " + w.String() + " is up"
	case w.Kind == ForConnection:
		return "Waiting: " + w.String()
	}
	return "Waiting for " + w.String()
}

// WaitFor has the document say what its run waits for, in Message too unless that says more already.
func (d *Document) WaitFor(w Waiting) {
	d.Waiting, d.WaitingFor = &w, w.String()
	if w.Kind != ForAttempt { // whose message has why the attempt before it failed
		d.Message = w.message()
	}
}
