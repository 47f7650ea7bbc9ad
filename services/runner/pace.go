package runner

import (
	"context"
	"sync"
	"time"

	"runhook/shared/run"
	"runhook/shared/task"
)

// paces gathers how long the runs of tasks took, for the paces that are stored: of a task whose first run has ended at
// once, later at most every paceEvery. Nothing waits for it, and what is lost of it costs pollers some seconds. It is
// safe for concurrent use.
type paces struct {
	mu    sync.Mutex
	tasks map[task.ID]*gathered
	// due are the tasks whose paces are to be stored, and wake has something in it while there are some.
	due  []task.ID
	wake chan struct{}
}

// gathered is what is known of one task's pace.
type gathered struct {
	// stored is the pace as it was seen last, and lastMs are the runs since then.
	stored run.Pace
	lastMs []int64
	// next is when the next look at them is worth while; the zero time before the first.
	next time.Time
}

// paceEvery is how often the pace of a task is looked at.
const paceEvery = 10 * time.Second

func newPaces() *paces {
	return &paces{tasks: map[task.ID]*gathered{}, wake: make(chan struct{}, 1)}
}

// add adds a run that has ended.
func (p *paces) add(doc run.Document) {
	if !doc.CountsForPace() {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	of := p.tasks[doc.ExecuteID]
	if of == nil {
		of = new(gathered)
		p.tasks[doc.ExecuteID] = of
	}
	if len(of.lastMs) == run.MaxPace {
		of.lastMs = append(of.lastMs[:0], of.lastMs[1:]...)
	}
	of.lastMs = append(of.lastMs, doc.DurationMs)
	now := time.Now()
	if now.Before(of.next) {
		return
	}
	of.next = now.Add(paceEvery)
	if !of.stored.With(of.lastMs...).Differs(of.stored) {
		return
	}
	p.due = append(p.due, doc.ExecuteID)
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// take returns the next task whose pace is to be stored, and its runs since; ok is false if there is none.
func (p *paces) take() (id task.ID, lastMs []int64, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.due) == 0 {
		return "", nil, false
	}
	id, p.due = p.due[0], p.due[1:]
	of := p.tasks[id]
	lastMs, of.lastMs = of.lastMs, nil
	return id, lastMs, true
}

// store stores the paces that are due, one after the other, until ctx ends.
func (p *paces) store(ctx context.Context, r *Runner) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.wake:
		}
		for ctx.Err() == nil {
			id, lastMs, ok := p.take()
			if !ok {
				break
			}
			stored, err := r.options.Work.AddToPace(ctx, id, lastMs)
			if err != nil {
				r.options.Log.Debug().Err(err).Msg("how long the runs of a task took is not stored now")
				continue
			}
			p.mu.Lock()
			p.tasks[id].stored = stored
			p.mu.Unlock()
		}
	}
}
