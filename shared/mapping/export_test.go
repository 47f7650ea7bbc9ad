package mapping

// SetBounds sets the steps and the memory of an evaluation until undo is called.
func SetBounds(steps, memory int) (undo func()) {
	oldSteps, oldMemory := mostSteps, mostMemory
	mostSteps, mostMemory = steps, memory
	return func() { mostSteps, mostMemory = oldSteps, oldMemory }
}
