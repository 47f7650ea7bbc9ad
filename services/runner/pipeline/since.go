package pipeline

import (
	"cmp"
	"slices"
	"strings"

	"runhook/services/runner/connector"
	"runhook/services/runner/row"
	"runhook/shared/mapping"
	"runhook/shared/nearest"
	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/watermark"
)

// sinceColumn is the place of the column of since among the source's, -1 if these are not known. The error is a
// [*run.Failure] that names the field.
func sinceColumn(def *task.Definition, columns mapping.Columns) (int, error) {
	since := def.Since()
	at := slices.Index(columns.Names, since.Column)
	if at >= 0 || columns.Unknown {
		return at, nil
	}
	hint := cmp.Or(nearest.Hint(since.Column, columns.Names), "; it has "+strings.Join(columns.Names, ", "))
	return at, run.Failf("%s.column: the source has no column %s%s", sinceField(def), since.Column, hint)
}

// sinceField is what messages call the field since of a task.
func sinceField(def *task.Definition) string { return "source." + string(def.Source.Name()) + ".since" }

// highest follows the highest value of the column of since over the rows that the run reaches. It belongs to one
// goroutine.
type highest struct {
	def    *task.Definition
	column int
	// asText: the source compares moments as text, so that all have to be written in one way.
	asText bool
	// like is the value from which the run reads, or else the first that was seen: all others are of its kind.
	like *watermark.Value
	top  *watermark.Value
	// seen are the values of the batch that was looked at last, nil for rows without one.
	seen []*watermark.Value
}

// newHighest returns nil for a task that reads all rows. begin is the highest of the rows before.
func newHighest(job Job, from connector.Source, begin string) (*highest, error) {
	since := job.Task.Since()
	if since == nil {
		return nil, nil
	}
	at, err := sinceColumn(job.Task, from.Columns())
	if err != nil {
		return nil, err
	}
	h := &highest{def: job.Task, column: at}
	if comparing, ok := from.(connector.Comparing); ok && at >= 0 {
		unfit := ""
		if h.asText, unfit = comparing.Compares(since.Column); unfit != "" {
			return nil, run.Failf("%s.column: the column %s %s", sinceField(job.Task), since.Column, unfit)
		}
	}
	for _, text := range []string{job.Task.ExpressionParams(job.Parameters)[task.SinceParam].(string), begin} {
		value, err := watermark.Parse(text)
		if text == "" || err != nil {
			continue
		}
		if h.like == nil {
			h.like = &value
		}
		if text == begin {
			h.top = &value
		}
	}
	return h, nil
}

// look reads the values of a batch's rows, before any of them is written. The error is a [*run.Failure].
func (h *highest) look(batch *row.Batch) error {
	if h == nil || h.column < 0 {
		return nil
	}
	h.seen = h.seen[:0]
	for r := range batch.All() {
		h.seen = append(h.seen, nil)
		cells, ok := r.Record.(row.Cells)
		if !ok || h.column >= len(cells) {
			continue
		}
		value, there, err := watermark.Of(cells[h.column], h.def.Since().Digits)
		if err != nil {
			return h.failf(r.Number, "%v", err)
		}
		if !there {
			continue
		}
		if err := h.fits(r.Number, value); err != nil {
			return err
		}
		h.seen[len(h.seen)-1] = &value
	}
	return nil
}

// fits reports a value that cannot be compared with the others.
func (h *highest) fits(number int64, value watermark.Value) error {
	since := h.def.Since()
	switch {
	case value.IsNumber() && since.Overlap > 0:
		return h.failf(number, "is a number, and overlap is a time; write a number, such as 100")
	case !value.IsNumber() && since.OverlapCount > 0:
		return h.failf(number, "is %s, and overlap is a number; write a time, such as 10m", value.Kind())
	case h.like == nil:
		h.like = &value
		return nil
	}
	if _, err := value.Compare(*h.like); err != nil {
		return h.failf(number, "is %s, and the value before, or that of start, is %s; they cannot be compared: correct start, or set the watermark with `runhook task since`", value.Kind(), h.like.Kind())
	}
	if h.asText && !value.IsNumber() && !value.IsAlike(*h.like) {
		return h.failf(number, "is written in another way than the value before, or start, and the database compares texts by their letters; write all in one way")
	}
	return nil
}

func (h *highest) failf(number int64, format string, args ...any) error {
	return run.Failf("row %d: %s.column: the column %s "+format, append([]any{number, sinceField(h.def), h.def.Since().Column}, args...)...)
}

// reached takes in the rows of the batch that the run has reached, and returns the highest value so far; empty for none.
func (h *highest) reached(batch *row.Batch) string {
	if h == nil {
		return ""
	}
	for i := range min(len(batch.Reached()), len(h.seen)) {
		value := h.seen[i]
		if value == nil {
			continue
		}
		if h.top == nil {
			h.top = value
		} else if order, err := value.Compare(*h.top); err == nil && order > 0 {
			h.top = value
		}
	}
	if h.top == nil {
		return ""
	}
	return h.top.String()
}
