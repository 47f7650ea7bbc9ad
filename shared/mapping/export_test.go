package mapping

// SetBounds sets the steps and the memory of an evaluation, and a row has twice the steps, until undo is called.
func SetBounds(steps, memory int) (undo func()) {
	oldSteps, oldOfRow, oldMemory := mostSteps, mostOfRow, mostMemory
	mostSteps, mostOfRow, mostMemory = steps, 2*steps, memory
	return func() { mostSteps, mostOfRow, mostMemory = oldSteps, oldOfRow, oldMemory }
}
