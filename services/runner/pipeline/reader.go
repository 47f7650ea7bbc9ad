package pipeline

import (
	"cmp"
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"time"

	"runhook/services/runner/connector"
	"runhook/services/runner/row"
)

// aheadBatches is how many batches may be read and not yet be taken by the writer.
const aheadBatches = 2

// patience is how often it is looked whether the source keeps a batch waiting. One that was begun
// before the last look is written as it is, so that what a slow source has given is seen within twice
// that, as often as the live document is written.
var patience = usualPatience // longer in tests

const usualPatience = 125 * time.Millisecond

// proceeds is after how many rows it is looked again whether the source may be read: its connection may be paused.
const proceeds = 500

// cellSize is the memory that a kept cell takes besides what it holds.
const cellSize = 16

// reader reads and maps rows, on a goroutine of its own unless they are at hand.
type reader struct {
	from connector.Source
	// ctx is the source's in every call, until stop.
	ctx  context.Context
	stop context.CancelFunc
	// atHand: no row has to be waited for.
	atHand bool
	// lines is from where that is a recorder, else nil.
	lines connector.Recorder
	// lined is from where its rows stand in lines, else nil.
	lined connector.Lined
	// most is how many rows to be written fill a batch, 0 for as many as a batch has, and bulk how many a batch has, 0 for
	// the usual number.
	most, bulk int
	brake      *brake // nil without a rate
	// prepare is the destination's, nil if it has none.
	prepare func(values []any) *row.Fault
	// proceed returns when the source may be read.
	proceed func(context.Context) error
	rows    *mapper
	meter   *Meter
	// passedOver is how many rows come before the first that is read.
	passedOver int64
	// read has the batches that are to be written, written those that can be used again.
	read, written chan *row.Batch
	// warnings are the source's, once it has ended; repeated is that of them about keys that repeats rows have
	// again.
	warnings []string
	repeats  int64
	repeated string
	// write, when set, is given the batches instead.
	write func(ctx context.Context, batch *row.Batch) error

	// mu guards what follows.
	mu sync.Mutex
	// batch is being filled; passed counts those before it.
	batch  *row.Batch
	passed int
	// total is the source's number of rows, as far as the meter knows it.
	total int64
}

func newReader(ctx context.Context, job Job, from connector.Source, to connector.Destination, rows *mapper, m *Meter) *reader {
	r := &reader{
		from: from, brake: newBrake(job.Task.Rate), rows: rows, meter: m, most: job.Task.Destination.Traits().BatchRows,
	}
	r.ctx, r.stop = context.WithCancel(ctx)
	r.proceed = func(ctx context.Context) error { return proceed(ctx, job, job.Task.Source) }
	if whole, ok := from.(connector.AtHand); ok {
		r.atHand = whole.AtHand() && r.brake == nil
	}
	if preparing, ok := to.(connector.Preparing); ok {
		r.prepare = preparing.Prepare
	}
	if bulk, ok := to.(connector.Bulk); ok {
		r.bulk = bulk.BatchRows()
	}
	if !r.atHand {
		ahead := aheadBatches
		if r.bulk > row.MaxRows {
			ahead = 0 // the one that is read while another is written
		}
		r.read, r.written = make(chan *row.Batch, ahead), make(chan *row.Batch, max(1, ahead))
	}
	r.lines, _ = from.(connector.Recorder)
	r.lined, _ = from.(connector.Lined)
	r.batch = r.empty()
	return r
}

// run fills batches, and passes on those that the source keeps waiting.
func (r *reader) run() error {
	looking, stop := context.WithCancel(r.ctx)
	var relief sync.WaitGroup
	relief.Go(func() { r.relieve(looking) })
	defer relief.Wait()
	defer stop()
	return r.fill()
}

// fill reads until the source ends. The rows before the end, or before a failure of the source, are
// still written.
func (r *reader) fill() error {
	ctx := r.ctx
	for number := r.passedOver + 1; ; number++ {
		if (number-r.passedOver)%proceeds == 1 {
			if err := r.proceed(ctx); err != nil {
				return err
			}
		}
		size, err := r.next()
		fault, own := row.Own(err)
		if err != nil && !own {
			if flushErr := r.flush(ctx); flushErr != nil || !errors.Is(err, io.EOF) {
				return cmp.Or(flushErr, err)
			}
			r.meter.total(number - 1)
			r.warnings = connector.Warnings(r.from)
			r.repeats, r.repeated = connector.Repeats(r.from)
			return nil
		}
		if r.brake != nil {
			// Before the row is passed on, and not before it is read: the end needs no wait.
			if err := r.brake.wait(ctx); err != nil {
				return err
			}
		}
		if err := r.add(ctx, number, size, fault, own && fault == nil); err != nil {
			return err
		}
	}
}

// next reads a row into the scope.
func (r *reader) next() (size int, err error) {
	cells := r.rows.scope.Row
	if r.lines == nil {
		// A row that cannot be read must not be kept with the cells of the one before.
		clear(cells)
		size = len(cells) * cellSize
	}
	read, err := r.from.Next(r.ctx, cells)
	return size + read, err
}

// add puts the row that was read last into the batch: mapped, with its fault, or as blank.
func (r *reader) add(ctx context.Context, number int64, size int, fault *row.Fault, blank bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	read := r.batch.Add(number)
	read.Record = r.record()
	if r.lined != nil {
		read.Line = r.lined.Line()
	}
	switch {
	case fault != nil:
		read.Reject(fault)
	case blank:
		read.Skip()
	default:
		mapped, err := r.rows.apply(ctx, read)
		if err != nil {
			r.batch = r.empty() // nobody may pass a row on that has no values
			return err
		}
		size += mapped
		if r.prepare != nil && read.Outcome == row.Ready {
			if fault := r.prepare(read.Values); fault != nil {
				read.Reject(fault)
			}
			read.Prepared = true
		}
	}
	r.batch.Grow(size)
	var total int64
	if r.batch.Progress, total = r.from.Progress(); total != r.total {
		r.total = total
		r.meter.total(total)
	}
	if r.batch.Full() {
		return r.pass(ctx)
	}
	return nil
}

// record keeps the row that was read last.
func (r *reader) record() row.Record {
	if r.lines != nil {
		return r.lines.Record()
	}
	return row.Cells(slices.Clone(r.rows.scope.Row))
}

// flush passes on what is left.
func (r *reader) flush(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.batch.Len() == 0 {
		return nil
	}
	return r.pass(ctx)
}

// pass hands the batch to the writer and begins another; r.mu is held.
func (r *reader) pass(ctx context.Context) error {
	if r.write != nil {
		err := r.write(ctx, r.batch)
		r.batch.Reset()
		return err
	}
	select {
	case r.read <- r.batch:
		r.batch = r.empty()
		r.passed++
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// relieve passes batches on that the source keeps waiting, while the writer has nothing to do.
func (r *reader) relieve(ctx context.Context) {
	look := time.NewTicker(patience)
	defer look.Stop()
	for seen := -1; ; {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
			seen = r.relieveBatch(seen)
		}
	}
}

// relieveBatch passes the batch on if it is the one that was begun at the last look, seen, and returns
// the one that is begun now, -1 for none.
func (r *reader) relieveBatch(seen int) (begun int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.batch.Len() == 0:
		return -1
	case seen != r.passed:
		return r.passed
	}
	select {
	case r.read <- r.batch:
		r.batch = r.empty()
		r.passed++
		return -1
	default:
		return seen
	}
}

// empty returns an empty batch.
func (r *reader) empty() *row.Batch {
	select {
	case batch := <-r.written:
		return batch
	default:
		batch := row.NewBatch(len(r.rows.columns))
		batch.Most, batch.Rows = r.most, r.bulk
		return batch
	}
}

// recycle hands a batch that was written back, emptied, so that what it held takes no memory.
func (r *reader) recycle(batch *row.Batch) {
	batch.Reset()
	select {
	case r.written <- batch:
	default:
	}
}
