package bus

import (
	"context"

	"runhook/shared/run"
)

// DeleteRequest removes a stored request, as the retention does.
func (b *Bus) DeleteRequest(ctx context.Context, n run.Number) error {
	return b.runs.DeleteMsg(ctx, uint64(n))
}

// DeleteStore removes the stream of requests.
func (b *Bus) DeleteStore(ctx context.Context) error { return b.js.DeleteStream(ctx, runsStream) }
