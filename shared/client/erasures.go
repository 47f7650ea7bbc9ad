package client

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/wait"
)

// Receipt says what was removed of runs, and by whom; without DoneOn the erasure is under way.
type Receipt struct {
	// Receipt names it.
	Receipt string
	run.Erasure
	// Text says what was removed, and where else it may be.
	Text string
}

// Erase has a run erased that has ended, and returns the receipt: while the erasure is under way, how far it is.
func (c *Client) Erase(ctx context.Context, n run.Number) (Receipt, error) {
	all, err := c.erase(ctx, "/api/runs/"+n.String())
	if err != nil || len(all) == 0 {
		return Receipt{}, err
	}
	return all[0], nil
}

// EraseBefore has the ended runs of a task erased that were accepted before a moment, and returns a receipt for each id
// that they are stored under; none if there are no such runs.
func (c *Client) EraseBefore(ctx context.Context, id task.ID, before time.Time) ([]Receipt, error) {
	query := url.Values{"task": {string(id)}, "before": {before.UTC().Format(time.RFC3339Nano)}}
	return c.erase(ctx, "/api/runs?"+query.Encode())
}

func (c *Client) erase(ctx context.Context, path string) ([]Receipt, error) {
	var answer struct{ Receipts []Receipt }
	got, err := c.ask(ctx, http.MethodDelete, path, nil, nil)
	if err == nil {
		err = c.decode(got, &answer)
	}
	return answer.Receipts, err
}

// Receipt returns a receipt, or how far its erasure is.
func (c *Client) Receipt(ctx context.Context, name string) (Receipt, error) {
	var receipt Receipt
	err := c.get(ctx, "/api/receipts/"+url.PathEscape(name), &receipt)
	return receipt, err
}

// AwaitErased waits until an erasure is done, and returns its receipt. It goes on while the server is away, for as long as
// ctx lasts.
func (c *Client) AwaitErased(ctx context.Context, receipt Receipt) (Receipt, error) {
	for failed := 0; receipt.DoneOn == nil; {
		if !wait.For(ctx, firstPause) {
			return receipt, context.Cause(ctx)
		}
		now, err := c.Receipt(ctx, receipt.Receipt)
		if err == nil {
			receipt, failed = now, 0
			continue
		}
		least, again := later(err)
		if !again {
			return receipt, err
		}
		failed++
		wait.For(ctx, max(least, wait.Doubled(firstPause, lastPause, failed)))
	}
	return receipt, nil
}
