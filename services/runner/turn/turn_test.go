package turn

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"runhook/shared/run"
	"runhook/shared/task"
)

// memory is a store that takes a moment for each read and write, and counts them.
type memory struct {
	mu            sync.Mutex
	data          []byte
	revision      uint64
	woken         chan struct{}
	reads, writes int
	// deaf: nobody is told of anything.
	deaf bool
}

func newMemory() *memory { return &memory{woken: make(chan struct{})} }

const latency = time.Millisecond

func (m *memory) ReadSite(context.Context, string) ([]byte, uint64, error) {
	time.Sleep(latency)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reads++
	return m.data, m.revision, nil
}

func (m *memory) WriteSite(_ context.Context, _ string, data []byte, revision uint64) (bool, error) {
	time.Sleep(latency)
	m.mu.Lock()
	defer m.mu.Unlock()
	if revision != m.revision {
		return false, nil
	}
	m.writes++
	m.data = data
	m.revision++
	return true, nil
}

func (m *memory) TellSite(string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.deaf {
		close(m.woken)
		m.woken = make(chan struct{})
	}
}

func (m *memory) WokenSite(string) <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.woken
}

func (m *memory) now() (data []byte, writes, reads int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.data, m.writes, m.reads
}

// cut is a store that one runner is cut off from.
type cut struct {
	*memory
	mu  sync.Mutex
	off bool
}

func (c *cut) set(off bool) { c.mu.Lock(); defer c.mu.Unlock(); c.off = off }

func (c *cut) is() bool { c.mu.Lock(); defer c.mu.Unlock(); return c.off }

func (c *cut) ReadSite(ctx context.Context, key string) ([]byte, uint64, error) {
	if c.is() {
		time.Sleep(latency)
		return nil, 0, context.DeadlineExceeded
	}
	return c.memory.ReadSite(ctx, key)
}

func (c *cut) WriteSite(ctx context.Context, key string, data []byte, revision uint64) (bool, error) {
	if c.is() {
		time.Sleep(latency)
		return false, context.DeadlineExceeded
	}
	return c.memory.WriteSite(ctx, key, data, revision)
}

// site notes who asks it, and fails the test if more ask at once than it takes.
type site struct {
	t     *testing.T
	limit int
	page  time.Duration

	mu    sync.Mutex
	busy  int
	asked []string
}

// ask is one request of a run.
func (s *site) ask(turn *Turn, who Who) {
	end, err := turn.Begin(s.t.Context(), who, nil)
	if err != nil {
		s.t.Error(err)
		return
	}
	defer end()
	s.mu.Lock()
	if s.busy++; s.busy > s.limit {
		s.t.Errorf("%d requests at once, run %s of task %s is one too many", s.busy, who.Run, who.Task)
	}
	s.asked = append(s.asked, string(who.Task))
	s.mu.Unlock()
	time.Sleep(s.page)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy--
}

// reads has a run ask for so many pages, one after the other.
func (s *site) reads(turn *Turn, who Who, pages int) {
	for range pages {
		s.ask(turn, who)
		time.Sleep(s.page / 10) // what it does with the page
	}
}

func turns(t *testing.T, store Store, names ...string) (all []*Turns) {
	t.Helper()
	for _, name := range names {
		one := New(store, name, nil, zerolog.Nop())
		t.Cleanup(one.Close)
		all = append(all, one)
	}
	return all
}

// However many runs of how many runners there are, a site gets one request at a time, or as many as it takes, and it
// is asked all the time.
func TestOneAtATimeOverAllRunners(t *testing.T) {
	for _, limit := range []int{1, 3} {
		for _, deaf := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d, deaf %t", limit, deaf), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					store := newMemory()
					store.deaf = deaf
					s := &site{t: t, limit: limit, page: 100 * time.Millisecond}
					var runs sync.WaitGroup
					const pages = 30
					begun := time.Now()
					all := turns(t, store, "a", "b", "c")
					for i := range 12 {
						turn := all[i%3].At("site", limit)
						runs.Go(func() { s.reads(turn, Who{Task: task.ID(fmt.Sprint("task", i)), Run: run.Number(i + 1)}, pages) })
					}
					runs.Wait()
					took, least := time.Since(begun), 12*pages/time.Duration(limit)*s.page
					if most := least * 11 / 10; !deaf && took > most {
						t.Errorf("it took %s, and the pages alone %s", took, least)
					}
					if len(s.asked) != 12*pages {
						t.Errorf("%d requests", len(s.asked))
					}
					for _, one := range all {
						one.Close()
					}
				})
			})
		}
	}
}

// Each task gets as many pages as any other, however many of its runs wait, and on however many runners.
func TestTasksGetTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		s := &site{t: t, limit: 1, page: 100 * time.Millisecond}
		all := turns(t, store, "a", "b", "c")
		ctx, stop := context.WithCancel(t.Context())
		var runs sync.WaitGroup
		begin := func(name string, number int, of *Turns) {
			turn := of.At("site", 1)
			runs.Go(func() {
				for ctx.Err() == nil {
					s.ask(turn, Who{Task: task.ID(name), Run: run.Number(number)})
				}
			})
		}
		for i := range 15 {
			begin("crowd", i, all[0])
		}
		begin("alone here", 20, all[0])
		begin("alone there", 21, all[1])
		begin("crowd", 22, all[2])
		time.Sleep(time.Minute)
		stop()
		runs.Wait()
		count := map[string]int{}
		for _, name := range s.asked[30:] {
			count[name]++
		}
		total := len(s.asked) - 30
		for _, name := range []string{"crowd", "alone here", "alone there"} {
			if share := float64(count[name]) / float64(total); share < 0.25 || share > 0.42 {
				t.Errorf("task %s has %d of %d pages", name, count[name], total)
			}
		}
		for _, one := range all {
			one.Close()
		}
	})
}

// While nobody else waits, the requests of a runner cost no message but a sign now and then.
func TestAloneItIsCheap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		s := &site{t: t, limit: 1, page: 10 * time.Millisecond}
		one := turns(t, store, "a")[0]
		s.reads(one.At("site", 1), Who{Task: "task", Run: 1}, 2000) // 22 s
		if _, writes, reads := store.now(); writes > 15 || reads > 30 {
			t.Errorf("%d writes and %d reads for 2,000 pages in 22 s", writes, reads)
		}
		// A while later it has left nothing behind.
		time.Sleep(2 * keeps)
		synctest.Wait()
		data, _, _ := store.now()
		if r, err := decode(data); err != nil || len(r.Runners) != 0 {
			t.Errorf("left is %s", data)
		}
		one.Close()
	})
}

// A runner that dies or is cut off loses its place, and does not begin another request although it is told nothing.
func TestARunnerThatIsCutOffLosesItsPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		off := &cut{memory: store}
		lost, other := New(off, "lost", nil, zerolog.Nop()), turns(t, store, "other")[0]
		t.Cleanup(lost.Close)
		s := &site{t: t, limit: 1, page: 100 * time.Millisecond}
		ctx, stop := context.WithCancel(t.Context())
		var runs sync.WaitGroup
		loop := func(of *Turns, name string) {
			turn := of.At("site", 1)
			runs.Go(func() {
				for ctx.Err() == nil {
					s.ask(turn, Who{Task: task.ID(name), Run: 1})
				}
			})
		}
		loop(lost, "lost")
		time.Sleep(time.Second)
		off.set(true)
		cutOff := time.Now()
		loop(other, "other")
		last := func(name string) (n int) {
			s.mu.Lock()
			defer s.mu.Unlock()
			return strings.Count(strings.Join(s.asked, " "), name)
		}
		for last("other") == 0 {
			time.Sleep(10 * time.Millisecond)
		}
		if took := time.Since(cutOff); took > lease+time.Second {
			t.Errorf("the other runner began after %s", took)
		}
		before := last("lost")
		time.Sleep(time.Minute)
		if now := last("lost"); now != before {
			t.Errorf("who was cut off began %d requests", now-before)
		}
		off.set(false) // it comes back, and they share again
		before = last("other")
		time.Sleep(10 * time.Second)
		if share := last("other") - before; share < 30 || share > 70 {
			t.Errorf("the other runner had %d of about 100 pages", share)
		}
		stop()
		runs.Wait()
		lost.Close()
		other.Close()
	})
}

// A place that was got before this process stood still for longer than its sign counts begins no request, neither one
// that it was given to nor another.
func TestAPlaceOfBeforeAStandstillBeginsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		off := &cut{memory: newMemory()}
		one := New(off, "a", nil, zerolog.Nop())
		defer one.Close()
		turn := one.At("site", 1)
		given := turn.join(Who{Task: "task", Run: 1})
		<-given.granted
		off.set(true)
		time.Sleep(lease)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := turn.await(ctx, given, nil); err == nil {
			t.Error("the request that was given the place begins")
		}
		late := turn.join(Who{Task: "task", Run: 2})
		select {
		case <-late.granted:
			t.Error("another request is given the place")
		default:
		}
		turn.leave(late)
	})
}

// A process of the same home that is gone is not waited for.
func TestWhoIsKnownToBeGoneIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		store.data, store.revision = []byte(`{"Served":7,"Runners":{"home/before":{"Beat":3,"Holds":1}}}`), 1
		one := New(store, "home/now", func(runner string) bool { return strings.HasPrefix(runner, "home/") }, zerolog.Nop())
		defer one.Close()
		begun := time.Now()
		end, err := one.At("site", 1).Begin(t.Context(), Who{Task: "task", Run: 1}, nil)
		if err != nil {
			t.Fatal(err)
		}
		end()
		if took := time.Since(begun); took > time.Second {
			t.Errorf("it took %s", took)
		}
	})
}

// Who waits is told how many runs come before, and may leave; a rest that a site asks for holds for all runners.
func TestWhoWaitsKnowsItsPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		all := turns(t, store, "a", "b")
		here, there := all[0].At("site", 1), all[1].At("site", 1)
		end, err := here.Begin(t.Context(), Who{Task: "first", Run: 1}, nil)
		if err != nil {
			t.Fatal(err)
		}
		places := map[int]func() int{}
		var mu sync.Mutex
		var waiting sync.WaitGroup
		ctx, cancel := context.WithCancel(t.Context())
		for i, turn := range []*Turn{here, there, here} {
			waiting.Go(func() {
				_, err := turn.Begin(ctx, Who{Task: task.ID(fmt.Sprint(i)), Run: run.Number(i + 2)}, func(ahead func() int) func() {
					mu.Lock()
					defer mu.Unlock()
					places[i] = ahead
					return func() {}
				})
				if err == nil {
					t.Error("it had a place")
				}
			})
			time.Sleep(time.Second)
		}
		var before []int
		mu.Lock()
		for _, ahead := range places {
			before = append(before, ahead())
		}
		if slices.Sort(before); !slices.Equal(before, []int{1, 2, 3}) {
			t.Errorf("%v runs come before those that wait", before)
		}
		mu.Unlock()
		cancel()
		waiting.Wait()
		rest := time.Now().Add(30 * time.Second)
		here.Rest(rest)
		end()
		told := false
		end, err = there.Begin(t.Context(), Who{Task: "first", Run: 9}, func(func() int) func() { told = true; return func() {} })
		if err != nil || time.Now().Before(rest) || !told {
			t.Errorf("the other runner begins %s too early, %v; it says that it waits: %t", time.Until(rest), err, told)
		}
		end()
		for _, one := range all {
			one.Close()
		}
	})
}

// Requests of another runner that came with tags of before are put behind what was begun last, in their order, by who
// has the place: their runner had not heard of it, and would get more than a share.
func TestTagsOfBeforeAreSettled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		one := turns(t, store, "a")[0]
		turn := one.At("site", 1)
		for i := range 10 {
			end, err := turn.Begin(t.Context(), Who{Task: "task", Run: run.Number(i)}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if i < 9 {
				end()
			}
		}
		for written := false; !written; { // the runner writes it too
			data, revision, err := store.ReadSite(t.Context(), "site")
			if err != nil {
				t.Fatal(err)
			}
			r, err := decode(data)
			r.Runners["b"] = &member{Beat: 1, Waits: []place{{ID: 1, Task: "other", Run: 1, Tag: 1}, {ID: 2, Task: "other", Run: 2, Tag: 2}}}
			if err == nil {
				data, err = json.Marshal(r)
			}
			if err != nil {
				t.Fatal(err)
			}
			written, _ = store.WriteSite(t.Context(), "site", data, revision)
		}
		store.TellSite("site")
		time.Sleep(time.Second)
		data, _, _ := store.now()
		r, err := decode(data)
		if err != nil || r.Runners["b"] == nil {
			t.Fatalf("%s, %v", data, err)
		}
		if waits := r.Runners["b"].Waits; len(waits) != 2 || waits[0].Tag != 11 || waits[1].Tag != 12 || !waits[0].Settled || !waits[1].Settled {
			t.Errorf("behind ten requests wait %+v", waits)
		}
		one.Close()
	})
}

// Without a store there is nobody else.
func TestWithoutAStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &site{t: t, limit: 2, page: time.Second}
		turn := New(nil, "alone", nil, zerolog.Nop()).At("site", 2)
		begun := time.Now()
		var runs sync.WaitGroup
		for i := range 10 {
			runs.Go(func() { s.ask(turn, Who{Task: "task", Run: run.Number(i)}) })
		}
		runs.Wait()
		if took := time.Since(begun); took != 5*time.Second {
			t.Errorf("ten pages of a second, two at once, took %s", took)
		}
	})
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"Served":7,"Runners":{"home/before":{"Beat":3,"Holds":1,"Waits":[{"ID":1,"Task":"a","Run":2,"Tag":3}]}}}`))
	f.Add([]byte(`{"Runners":{"a":null}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, _ := decode(data)
		if r.Runners == nil || r.holds("") < 0 {
			t.Error("it cannot be used")
		}
	})
}
