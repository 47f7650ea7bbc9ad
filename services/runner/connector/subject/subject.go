// Package subject publishes rows as JSON messages, one each, to a NATS subject. It does not know NATS:
// whoever holds the connection gives it a function.
package subject

import (
	"context"
	"strconv"

	"runhook/services/runner/connector"
	"runhook/services/runner/row"
	"runhook/shared/run"
	"runhook/shared/task"
)

// Destination publishes the rows of one run. It belongs to one goroutine.
type Destination struct {
	publish connector.Publish
	subject string
	// run is what a message's id begins with: the same for every attempt at the run, so that a stream
	// drops a row that is published again.
	run     string
	columns []string

	rows     []*row.Row
	ids      []string
	messages [][]byte
}

// Open prepares to publish. runID names the run in messages' ids, columns are the mapping's.
func Open(to *task.NATSDestination, publish connector.Publish, runID string, columns []string) (*Destination, error) {
	if publish == nil {
		return nil, run.Failf("this process has no NATS to publish to")
	}
	return &Destination{publish: publish, subject: to.Subject, run: runID, columns: columns}, nil
}

// Try is Open for a dry run: every row becomes a message, and none is published.
func Try(to *task.NATSDestination, columns []string) (*Destination, error) {
	nowhere := func(context.Context, string, []string, [][]byte) (map[int]string, error) { return nil, nil }
	return Open(to, nowhere, "", columns)
}

// Write publishes the batch's rows. After an error, unlike what a destination promises elsewhere, some
// of them may have arrived.
func (d *Destination) Write(ctx context.Context, batch *row.Batch, before func(row int64) error) error {
	d.rows, d.ids, d.messages = d.rows[:0], d.ids[:0], d.messages[:0]
	for r := range batch.Pending() {
		message, fault := row.AppendObject(nil, d.columns, r.Values)
		if fault != nil {
			r.Fail(fault)
			continue
		}
		r.Outcome = row.Inserted
		d.rows = append(d.rows, r)
		d.ids = append(d.ids, d.run+"."+strconv.FormatInt(r.Number, 10))
		d.messages = append(d.messages, message)
	}
	if len(d.messages) == 0 {
		return nil
	}
	if err := before(batch.Last()); err != nil {
		return err
	}
	tooLarge, err := d.publish(ctx, d.subject, d.ids, d.messages)
	for i, words := range tooLarge {
		d.rows[i].Fail(row.Faultf("", "is too large for a message").Saying(words))
	}
	return err
}

// Finish has nothing left to do: every batch has arrived.
func (d *Destination) Finish(context.Context) error { return nil }

// Close leaves what was published.
func (d *Destination) Close() (kept bool) { return true }
