package pipeline

import (
	"context"

	"runhook/services/runner/connector"
)

// Columns opens the job's source and returns the names of its columns. Of the job's task it needs no
// more than the source. Errors are as in Run.
func Columns(ctx context.Context, kinds connector.Kinds, job connector.Job) (names []string, err error) {
	defer func() { err = sentence(err) }()
	defer catchPanic(&err)
	from, err := openSource(ctx, kinds, job)
	if err != nil {
		return nil, err
	}
	defer from.Close()
	return from.Columns().Names, nil
}
