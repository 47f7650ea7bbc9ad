package run

import "time"

// Claim is what a runner writes about a run it holds: who it is, how often the run was started, and
// how far it got. It is stored as JSON and outlives the runner.
type Claim struct {
	// Owner is the runner process. Two processes never share one.
	Owner string
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
	Checkpoint Checkpoint
	// EarlierErrors counts the row errors of the attempts before this one.
	EarlierErrors int64 `json:",omitempty"`
}

// Checkpoint is how far a run is known to have got.
type Checkpoint struct {
	Counts  Counts
	Percent float64
	Errors  []RowError `json:",omitempty"`
	// Writing: a batch may have been written. It is set durably before the first one is.
	Writing bool `json:",omitempty"`
	// Row is the last source row that a confirmed batch reached.
	Row int64 `json:",omitempty"`
	// Rejected names the chunks of rejected rows that are stored.
	Rejected RejectedSet `json:",omitzero"`
}

// MaxIdle is how often a run may be taken over without getting any further before it ends Failed: a
// run that stops its runner must not block its task for ever.
const MaxIdle = 5

// Next is the claim of whoever takes the run over from this one.
func (c Claim) Next(owner string) Claim {
	next := Claim{
		Owner: owner, Executions: c.Executions + 1, StartedOn: c.StartedOn,
		Idle: c.Idle, Furthest: max(c.Furthest, c.Checkpoint.Row),
		EarlierErrors: c.EarlierErrors + c.Checkpoint.Counts.Failed,
	}
	// The percentage that was shown stays, because it never goes backwards; whether rows may have
	// been written stays, because that is still true.
	next.Checkpoint = Checkpoint{Percent: c.Checkpoint.Percent, Writing: c.Checkpoint.Writing}
	switch {
	case c.HandedBack:
	case c.Checkpoint.Row > c.Furthest:
		next.Idle = 0
	default:
		next.Idle++
	}
	return next
}
