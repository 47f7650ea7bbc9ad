package run

import "time"

// Claim is what a runner writes about a run it holds: who it is, how often the run was started, and
// how far it got. It is stored as JSON and outlives the runner.
type Claim struct {
	// Owner is the runner process. Two processes never share one.
	Owner string
	// Hold identifies the holder: a random id that is made when a run is taken and stands in every write of
	// the claim until another runner takes it. By it alone a holder knows a claim as its own, because two
	// takers may write the same of everything else.
	Hold string
	// Executions counts how often the run was started, this time included.
	Executions int
	// StartedOn is when the first attempt began.
	StartedOn time.Time
	// Idle counts takeovers in a row of attempts that got no further than an earlier one had.
	Idle int `json:",omitempty"`
	// Furthest is the last row that any earlier attempt reached.
	Furthest int64 `json:",omitempty"`
	// HandedBack: the holder stopped in an orderly way; the run may be taken at once.
	HandedBack bool `json:",omitempty"`
	// Token is the holder's fencing token, 0 in the first write of a claim, which makes it.
	Token uint64 `json:",omitempty"`
	// Checkpoint is how far the run is, whichever attempt got there.
	Checkpoint Checkpoint
	// EarlierErrors counts the row errors of attempts whose rows were gone through again.
	EarlierErrors int64 `json:",omitempty"`
	// Stood is how long the run stood still because a connection was paused: its timeout counts without.
	Stood time.Duration `json:",omitempty"`
	// Tried counts the attempts that a fault ended which may pass.
	Tried int `json:",omitempty"`
	// Pause is what the run waits for before its next attempt; nil while one is under way.
	Pause *Pause `json:",omitempty"`
	// Since is from where the run reads, of a task that reads incrementally, once that is decided: it is the same for
	// all attempts.
	Since *Since `json:",omitempty"`
	// Erased: the run had ended and was erased. Such a claim keeps others from taking the run, and holds nothing else.
	Erased bool `json:",omitempty"`
}

// Since is from where a run reads incrementally.
type Since struct {
	// Value is empty for the beginning.
	Value string `json:",omitempty"`
	// Set is how often operators had set the task's watermark.
	Set uint64 `json:",omitempty"`
}

// ErasedClaim stays of a run that was erased, until its slice is sealed.
func ErasedClaim() Claim { return Claim{Owner: "nobody", Hold: "erased", Erased: true} }

// Checkpoint is how far a run is known to have got: what its destination has confirmed, and what an
// attempt needs to continue there. All of it is of the same moment.
type Checkpoint struct {
	// Row is the last source row that a confirmed batch reached; an attempt that continues begins with
	// the one after it.
	Row     int64 `json:",omitempty"`
	Counts  Counts
	Percent float64
	Errors  []RowError `json:",omitempty"`
	// Source is what the source was, such as a file's size, time and hash; empty where that cannot be
	// told. Mark is a hash of row Row. Where either is another one, the source has changed.
	Source string `json:",omitempty"`
	Mark   string `json:",omitempty"`
	// Place is where row Row is in the source, in words of its own; empty where that cannot be told.
	Place string `json:",omitempty"`
	// Writing: a batch may have been written. Where a destination cannot be asked what it has, it is
	// set durably before the first one is.
	Writing bool `json:",omitempty"`
	// Length is how long a file is that rows are appended to, with the rows up to Row.
	Length int64 `json:",omitempty"`
	// Highest is the highest value, of the column of since, in the rows up to Row; empty for none.
	Highest string `json:",omitempty"`
	// Rejected names the chunks of rejected rows that are stored, those up to Row.
	Rejected RejectedSet `json:",omitempty"`
}

// MaxIdle is how often a run may be taken over without getting any further before it ends Failed: a
// run that stops its runner must not block its task for ever.
const MaxIdle = 5

// Next is the claim of whoever takes the run over from this one, or tries again what this one did not
// end. It begins where this one got.
func (c Claim) Next(owner string) Claim {
	next := c
	next.Owner, next.Executions = owner, c.Executions+1
	next.Furthest = max(c.Furthest, c.Checkpoint.Row)
	next.HandedBack, next.Token = false, 0
	if c.Pause != nil { // no attempt is under way that could have been interrupted: the taker waits on
		next.Executions = c.Executions
	}
	switch {
	case c.HandedBack, c.Pause != nil:
	case c.Checkpoint.Row > c.Furthest:
		next.Idle = 0
	default:
		next.Idle++
	}
	return next
}
