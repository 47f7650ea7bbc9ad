package turn

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/wait"
)

// record is what runners know of each other at a site. Whoever changes it may give places that are free, and those
// of its own, to whoever is next.
type record struct {
	// Served is the tag of the last request that was begun, as far as anybody has said.
	Served int64
	// Rest is when the site may be asked again.
	Rest time.Time `json:",omitzero"`
	// Runners are those that have places or wait for some.
	Runners map[string]*member
}

// member is a runner in the record.
type member struct {
	// Beat changes with each sign of it.
	Beat uint64
	// Holds is how many requests it may have under way.
	Holds int `json:",omitempty"`
	// Waits are its requests that wait.
	Waits []place `json:",omitempty"`
}

// place is a request in the line of a site.
type place struct {
	// ID tells it from others of its runner.
	ID   uint64
	Task task.ID
	Run  run.Number
	// Tag is its place: the lowest is next. Settled: it is that for good.
	Tag     int64
	Settled bool `json:",omitempty"`
	// runner is whose it is; empty in one's own.
	runner string
}

// before orders the places of a line.
func (p place) before(other place) bool { return p.compare(other) < 0 }

func (p place) compare(other place) int {
	return cmp.Or(cmp.Compare(p.Tag, other.Tag), cmp.Compare(p.ID, other.ID), cmp.Compare(p.runner, other.runner))
}

// first is the place that is next, nil if there is none.
func first(places []place) (next *place) {
	for i := range places {
		if next == nil || places[i].before(*next) {
			next = &places[i]
		}
	}
	return next
}

// The bounds of a record, which anybody who may write to the store can overwrite.
const (
	mostRunners = 1000
	mostWaits   = 10_000
	mostRest    = time.Hour
)

// decode reads a record; nothing is an empty one.
func decode(data []byte) (r record, err error) {
	if len(data) > 0 {
		err = json.Unmarshal(data, &r)
	}
	if r.Runners == nil {
		r.Runners = map[string]*member{}
	}
	if err == nil && len(r.Runners) > mostRunners {
		err = fmt.Errorf("it has %d runners", len(r.Runners))
	}
	for id, m := range r.Runners {
		if err == nil && (m == nil || m.Holds < 0 || len(m.Waits) > mostWaits) {
			err = fmt.Errorf("what it says of runner %q cannot be", id)
		}
	}
	if err != nil {
		return record{Runners: map[string]*member{}}, fmt.Errorf("decode the turn at a site: %w", err)
	}
	return r, nil
}

// waits are the places of all that wait but those of one runner.
func (r *record) waits(but string) (all []place) {
	for id, m := range r.Runners {
		if id != but {
			for _, p := range m.Waits {
				p.runner = id
				all = append(all, p)
			}
		}
	}
	return all
}

// holds is how many requests all but one runner may have under way.
func (r *record) holds(but string) (sum int) {
	for id, m := range r.Runners {
		if id != but {
			sum += m.Holds
		}
	}
	return sum
}

// give gives a place to a request that waits.
func (r *record) give(to place) {
	m := r.Runners[to.runner]
	m.Holds++
	m.Waits = slices.DeleteFunc(m.Waits, func(p place) bool { return p.ID == to.ID })
	r.Served = max(r.Served, to.Tag)
}

// keeping keeps the record as long as this runner has places or wants some, or until all ends.
func (t *Turn) keeping() {
	pause := wait.Backoff{Least: 10 * time.Millisecond, Most: 200 * time.Millisecond}
	for {
		woken := t.all.store.WokenSite(t.key)
		ok, err := t.sync(t.all.ctx)
		if err == nil && ok {
			pause.Reset()
		}
		t.mu.Lock()
		if t.all.ctx.Err() != nil || err == nil && ok && len(t.waiting) == 0 && t.held == 0 && t.busy == 0 {
			stopped := t.all.ctx.Err() != nil
			t.kept = false
			t.mu.Unlock()
			if stopped {
				t.giveBack()
			}
			return
		}
		next := renewed
		if len(t.others) > 0 || len(t.waiting) > 0 {
			next = looks
		} else if t.busy == 0 {
			next = keeps
		}
		t.mu.Unlock()
		if err != nil || !ok {
			if pause.First() && err != nil {
				t.all.log.Debug().Err(err).Msg("the turn at a site cannot be looked at now")
			}
			pause.Wait(t.all.ctx)
			continue
		}
		select {
		case <-t.all.ctx.Done():
		case <-t.kick:
		case <-woken:
		case <-time.After(next):
		}
	}
}

// giveBack takes this runner out of the record, so that nobody has to wait for its lease.
func (t *Turn) giveBack() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.all.ctx), 2*time.Second)
	defer cancel()
	for range 5 {
		data, revision, err := t.all.store.ReadSite(ctx, t.key)
		if err != nil {
			return
		}
		r, err := decode(data)
		if _, there := r.Runners[t.all.runner]; err != nil || !there {
			return
		}
		delete(r.Runners, t.all.runner)
		if data, err = json.Marshal(r); err != nil {
			return
		}
		if ok, err := t.all.store.WriteSite(ctx, t.key, data, revision); ok || err != nil {
			t.all.store.TellSite(t.key)
			return
		}
	}
}

// sync looks at the record, and changes it if there is something to say. ok is false if another runner was faster.
func (t *Turn) sync(ctx context.Context) (ok bool, err error) {
	data, revision, err := t.all.store.ReadSite(ctx, t.key)
	if err != nil {
		return false, err
	}
	r, foreign := decode(data)
	if foreign != nil {
		t.all.log.Warn().Err(foreign).Msg("the turn at a site was overwritten by another program; it begins anew")
	}
	t.mu.Lock()
	t.apply(r)
	tell := t.change(&r)
	next, err := json.Marshal(r)
	if err != nil {
		t.mu.Unlock()
		return false, fmt.Errorf("encode the turn at a site: %w", err)
	}
	me, there := r.Runners[t.all.runner]
	if string(next) == string(data) && (!there || time.Since(t.proven) < renewed) {
		t.mu.Unlock()
		return true, nil
	}
	if there {
		me.Beat++
		if next, err = json.Marshal(r); err != nil {
			t.mu.Unlock()
			return false, fmt.Errorf("encode the turn at a site: %w", err)
		}
	}
	t.mu.Unlock()
	began := time.Now()
	if ok, err = t.all.store.WriteSite(ctx, t.key, next, revision); err != nil || !ok {
		return ok, err
	}
	if tell {
		t.all.store.TellSite(t.key)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.proven = began
	t.apply(r)
	return true, nil
}

// apply takes what a record says, and begins what may be begun; the caller holds mu.
func (t *Turn) apply(r record) {
	mine := r.Runners[t.all.runner]
	t.held = 0
	if mine != nil {
		t.held = mine.Holds
		for _, p := range mine.Waits {
			for _, w := range t.waiting {
				if w.ID == p.ID {
					w.Tag, w.Settled = p.Tag, p.Settled
				}
			}
		}
	}
	t.others, t.theirs = r.waits(t.all.runner), r.holds(t.all.runner)
	t.served = max(t.served, r.Served)
	if until := r.Rest; until.After(t.rest) && time.Until(until) < mostRest {
		t.rest = until
	}
	for id, m := range r.Runners {
		if known, ok := t.seen[id]; !ok || known.beat != m.Beat {
			t.seen[id] = seen{m.Beat, time.Now()}
		}
	}
	maps.DeleteFunc(t.seen, func(id string, _ seen) bool { return r.Runners[id] == nil })
	t.dispatch()
}

// change says in a record that was applied what this runner wants, takes out those who are gone, and gives places to
// those who are next. tell is whether another runner has to hear of it soon. The caller holds mu.
func (t *Turn) change(r *record) (tell bool) {
	for id := range r.Runners {
		if id == t.all.runner {
			continue
		}
		if known := t.seen[id]; time.Since(known.since) >= lease || t.all.gone != nil && t.all.gone(id) {
			t.all.log.Info().Str("runner", id).Msg("a runner gives no sign any more, and has lost its turn at a site")
			delete(r.Runners, id)
		}
	}
	r.Served = max(r.Served, t.served)
	if t.rest.After(r.Rest) {
		r.Rest = t.rest
	}
	t.settle(r)
	me := r.Runners[t.all.runner]
	if me == nil {
		me = &member{}
		r.Runners[t.all.runner] = me
	}
	before := len(me.Waits)
	me.Holds, me.Waits = t.held, nil
	for _, w := range t.waiting {
		me.Waits = append(me.Waits, w.place)
	}
	slices.SortFunc(me.Waits, place.compare)
	tell = len(me.Waits) > before
	for t.held > t.busy {
		mine, other := first(me.Waits), first(r.waits(t.all.runner))
		switch {
		case other != nil && (mine == nil || other.before(*mine)):
			r.give(*other)
			tell = true
		case t.held > t.limit, mine == nil && time.Since(t.used) >= keeps:
			tell = true
		default:
			return tell
		}
		t.held-- // at once: no request may be begun with it
		me.Holds--
	}
	for sum := r.holds(""); sum < t.limit; sum++ {
		next := first(r.waits(""))
		if next == nil {
			break
		}
		r.give(*next)
		tell = tell || next.runner != t.all.runner
	}
	if me.Holds == 0 && len(me.Waits) == 0 {
		delete(r.Runners, t.all.runner)
	}
	return tell
}

// settle settles the tags of requests of other runners, once: those that came with a tag from before what this runner,
// which has a place, has begun last are put behind that, those of a task one behind the other. Whoever had not heard of
// it would get more than a share. The caller holds mu.
func (t *Turn) settle(r *record) {
	if t.held == 0 {
		return
	}
	last := map[task.ID]int64{}
	for _, w := range t.waiting {
		w.Settled = true
		last[w.Task] = max(last[w.Task], w.Tag)
	}
	var unsettled []*place
	for id, m := range r.Runners {
		for i := range m.Waits {
			switch p := &m.Waits[i]; {
			case id == t.all.runner:
			case p.Settled:
				last[p.Task] = max(last[p.Task], p.Tag)
			default:
				p.runner = id
				unsettled = append(unsettled, p)
			}
		}
	}
	slices.SortFunc(unsettled, func(a, b *place) int { return a.compare(*b) })
	for _, p := range unsettled {
		if p.Settled = true; p.Tag <= t.served {
			p.Tag = max(t.served, last[p.Task]) + 1
		}
		last[p.Task] = max(last[p.Task], p.Tag)
	}
}
