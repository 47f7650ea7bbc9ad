package run

import (
	"time"

	"runhook/shared/task"
)

// Wanted is a run that an operator asks for on the page.
type Wanted struct {
	Task task.ID
	// Given are the values of its parameters, as the body of a POST has them.
	Given []task.Given
	// Operator is the name of the operator, and Address where they ask from.
	Operator, Address string
	// Once names the form that was sent, so that a form sent twice starts one run; empty for a form without a name.
	Once string
	// RepeatOf is the run whose values these are; 0 if it is no repeat.
	RepeatOf Number
	// Correction is what the run reads instead of the task's source; nil for that.
	Correction *Correction
	DryRun     bool
	// RunAt is when the run is to start; the zero time for at once.
	RunAt time.Time
	// Base is scheme and host of the address that the page has, as that of a POST.
	Base string
}
