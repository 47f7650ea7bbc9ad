package connectortest

import "context"

// Ending is ctx until its Err has been asked left times, and then a context whose deadline is over. It is for
// what looks at its context now and then, and waits for nothing.
func Ending(ctx context.Context, left *int) context.Context { return ending{ctx, left} }

type ending struct {
	context.Context
	left *int
}

func (e ending) Err() error {
	if *e.left--; *e.left < 0 {
		return context.DeadlineExceeded
	}
	return nil
}
