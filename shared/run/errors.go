package run

// Failure is an error that ends a run Failed. Message goes into the status document, the events
// and the logs, so it holds no cell value, no secret and not a driver's own words.
type Failure struct {
	Message string
}

func (f *Failure) Error() string { return f.Message }
