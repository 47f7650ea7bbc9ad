//go:build chaos

package chaos

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"syscall"
	"time"

	"runhook/services/runner/connector/imis/imissite"
	"runhook/services/runner/connector/imis/imissite/sitetest"
	"runhook/shared/bustest"
)

// fault is one way to break something. It returns when what it broke has been started or joined
// again, though not yet ready.
type fault struct {
	name string
	// weight is how often it is drawn against the others.
	weight int
	do     func(m *mischief) error
}

// mischief breaks a house, in an order that its seed decides.
type mischief struct {
	house   *house
	ledger  *ledger
	witness *witness
	rand    *rand.Rand
	faults  []fault
	// first are those that have not been drawn.
	first []fault
	// done counts the faults by name; story has each with its time.
	done  map[string]int
	story []string
}

func newMischief(h *house, l *ledger, w *witness, seed uint64, faults []fault) *mischief {
	m := &mischief{house: h, ledger: l, witness: w, rand: rand.New(rand.NewPCG(seed, 1)), faults: faults, done: map[string]int{}}
	m.first = slices.Clone(faults)
	m.rand.Shuffle(len(m.first), func(i, j int) { m.first[i], m.first[j] = m.first[j], m.first[i] })
	return m
}

// run breaks things until ctx ends.
func (m *mischief) run(ctx context.Context) {
	for m.pause(ctx, m.between(500*time.Millisecond, 4*time.Second)) {
		f := m.draw()
		began := time.Now()
		m.story = append(m.story, began.Format("15:04:05.000 ")+f.name)
		if err := f.do(m); err != nil {
			m.ledger.wrong(0, "%s: %v", f.name, err)
		}
		m.done[f.name]++
		// Half of the faults hit a house that has not recovered from the one before.
		if m.rand.IntN(2) == 0 {
			if err := m.house.awaitReady(); err != nil {
				m.ledger.wrong(0, "after %s: %v", f.name, err)
			}
		}
		for _, p := range append(m.house.servers, m.house.services...) {
			p.mu.Lock()
			if p.died != "" {
				m.ledger.wrong(0, "%s", p.died)
				p.died = ""
			}
			p.mu.Unlock()
		}
	}
}

func (m *mischief) pause(ctx context.Context, wait time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(wait):
		return true
	}
}

func (m *mischief) between(least, most time.Duration) time.Duration {
	return least + time.Duration(m.rand.Int64N(int64(most-least)))
}

// draw takes each kind once, so that a short run has as many as it can, and then by weight.
func (m *mischief) draw() fault {
	if last := len(m.first) - 1; last >= 0 {
		f := m.first[last]
		m.first = m.first[:last]
		return f
	}
	sum := 0
	for _, f := range m.faults {
		sum += f.weight
	}
	at := m.rand.IntN(sum)
	for _, f := range m.faults {
		if at -= f.weight; at < 0 {
			return f
		}
	}
	panic("the weights do not add up")
}

// one draws a process by the beginning of its name.
func (m *mischief) one(kind string) *process {
	var some []*process
	for _, p := range append(m.house.services, m.house.servers...) {
		if len(p.name) >= len(kind) && p.name[:len(kind)] == kind {
			some = append(some, p)
		}
	}
	return some[m.rand.IntN(len(some))]
}

// kill ends processes with SIGKILL and starts them again after a while.
func (m *mischief) kill(processes ...*process) error {
	for _, p := range processes {
		p.kill()
	}
	return m.startLater(processes...)
}

func (m *mischief) startLater(processes ...*process) error {
	if m.rand.IntN(3) == 0 {
		time.Sleep(m.between(0, 3*time.Second))
	}
	for _, p := range processes {
		if err := p.start(); err != nil {
			return err
		}
	}
	return nil
}

// stop ends a process as a service manager does, and wants a clean end in time.
func (m *mischief) stop(p *process) error {
	err := m.end(p)
	if started := m.startLater(p); err == nil {
		err = started
	}
	return err
}

func (m *mischief) end(p *process) error {
	ready := p.isReady()
	code, took, err := p.end(syscall.SIGTERM, 0)
	if err == nil && ready && code != 0 {
		err = fmt.Errorf("%s ended with the exit code %d, %s after SIGTERM", p.name, code, took)
	}
	return err
}

// freeze stops a process from running for a while.
func (m *mischief) freeze(p *process, least, most time.Duration) error {
	p.pause()
	time.Sleep(m.between(least, most))
	p.resume()
	return nil
}

// siteFaults are what the stand-in site does for its next requests.
var siteFaults = map[string]imissite.Fault{
	"throttles": sitetest.Throttle("1"), "answers 503": sitetest.Status(503), "drops": sitetest.Drop, "cuts short": sitetest.CutShort,
}

func failSite(m *mischief) error {
	names := slices.Sorted(maps.Keys(siteFaults))
	name := names[m.rand.IntN(len(names))]
	m.done["site "+name]++
	m.done["site"]--
	m.house.site.Fail(sitetest.Times(1+m.rand.IntN(3), siteFaults[name])...)
	return nil
}

// embeddedFaults break `runhook serve` and its data directory.
func embeddedFaults() []fault {
	all := []fault{
		{"kill serve", 6, func(m *mischief) error { return m.kill(m.one("serve")) }},
		{"stop serve", 2, func(m *mischief) error { return m.stop(m.one("serve")) }},
		{"stop serve twice", 1, func(m *mischief) error {
			p := m.one("serve")
			if _, _, err := p.end(syscall.SIGTERM, m.between(0, 300*time.Millisecond)); err != nil {
				return err
			}
			return m.startLater(p)
		}},
		{"pause serve", 2, func(m *mischief) error { return m.freeze(m.one("serve"), time.Second, lease+3*time.Second) }},
		{"torn write", 3, tearWrites},
		{"disable and enable a task", 2, disable},
		{"let a held task go", 2, letGo},
		{"pause and resume a connection", 2, pauseConnection},
		{"foreign messages", 2, (*mischief).intrude},
		{"restore", 1, restore},
		{"site", 2, failSite},
	}
	if canFill {
		all = append(all, fault{"disk full", 2, fullDisk})
	}
	return append(all, databaseFaults()...)
}

// clusterFaults break the services, the NATS servers, and the wires between them.
func clusterFaults() []fault {
	all := databaseFaults()
	for _, kind := range []string{"ingress", "status", "runner"} {
		weight := 2
		if kind == "runner" {
			weight = 4
		}
		all = append(all,
			fault{"kill " + kind, weight, func(m *mischief) error { return m.kill(m.one(kind)) }},
			fault{"stop " + kind, 1, func(m *mischief) error { return m.stop(m.one(kind)) }})
	}
	return append(all,
		fault{"pause runner", 4, func(m *mischief) error { return m.freeze(m.one("runner"), lease/2, 2*lease) }},
		fault{"pause runner and stop another", 3, pauseAndStop},
		fault{"pause ingress or status", 1, func(m *mischief) error {
			return m.freeze(m.one([]string{"ingress", "status"}[m.rand.IntN(2)]), time.Second, lease)
		}},
		fault{"kill leader", 4, func(m *mischief) error { return m.kill(m.leader()) }},
		fault{"kill follower", 3, func(m *mischief) error { return m.kill(m.follower()) }},
		fault{"stop leader", 2, func(m *mischief) error { return m.stop(m.leader()) }},
		fault{"pause leader", 2, func(m *mischief) error { return m.freeze(m.leader(), time.Second, 2*lease) }},
		fault{"pause follower", 2, func(m *mischief) error { return m.freeze(m.follower(), time.Second, 2*lease) }},
		fault{"cut leader off", 2, func(m *mischief) error { return m.cutOff(m.leader()) }},
		fault{"cut follower off", 2, func(m *mischief) error { return m.cutOff(m.follower()) }},
		fault{"kill two servers", 1, func(m *mischief) error {
			kept := m.rand.IntN(len(m.house.servers))
			return m.kill(slices.Concat(m.house.servers[:kept], m.house.servers[kept+1:])...)
		}},
		fault{"kill all servers", 1, func(m *mischief) error { return m.kill(m.house.servers...) }},
		fault{"drop clients' connections", 3, func(m *mischief) error {
			m.house.wires[m.rand.IntN(len(m.house.wires))].Drop()
			return nil
		}},
		fault{"silence clients' wire", 4, silence},
		fault{"disable and enable a task", 2, disable},
		fault{"let a held task go", 2, letGo},
		fault{"pause and resume a connection", 3, pauseConnection},
		fault{"foreign messages", 2, (*mischief).intrude},
		fault{"site", 3, failSite},
	)
}

// pauseAndStop lets a runner hand its runs back while another one that waits for some does not run, for
// longer than its lease: the server sends it what it cannot take, and sends it again.
func pauseAndStop(m *mischief) error {
	paused := m.one("runner")
	stopped := m.one("runner")
	for stopped == paused {
		stopped = m.one("runner")
	}
	paused.pause()
	err := m.end(stopped)
	time.Sleep(m.between(lease, 2*lease))
	paused.resume()
	return errors.Join(err, m.startLater(stopped))
}

// silence keeps what clients and a server send each other, or what one side sends, for 3 to 40 s.
func silence(m *mischief) error {
	wire := m.house.wires[m.rand.IntN(len(m.house.wires))]
	directions := [][]bustest.Direction{nil, {bustest.There}, {bustest.Back}}[m.rand.IntN(3)]
	most := 12 * time.Second
	if m.rand.IntN(4) == 0 {
		most = 40 * time.Second
	}
	wire.Silence(true, directions...)
	time.Sleep(m.between(3*time.Second, most))
	wire.Silence(false, directions...)
	return nil
}

// disable disables a task under its clients, who repeat the keys of accepted runs meanwhile, and enables
// it again.
func disable(m *mischief) error {
	w := m.house.works[m.rand.IntN(len(m.house.works))]
	m.ledger.disable(w, true)
	err := m.house.tell("task", "disable", string(w.id), "--server", m.house.polls[0], "--token-file", m.house.token)
	time.Sleep(m.between(0, 3*time.Second))
	err = errors.Join(err, m.house.tell("task", "enable", string(w.id), "--server", m.house.polls[0], "--token-file", m.house.token))
	// An ingress may learn of it a moment later.
	return errors.Join(err, m.house.enabled(w), m.ledger.disable(w, false))
}

// letGo lets the task go whose runs all fail.
func letGo(m *mischief) error {
	for _, w := range m.house.works {
		if w.fails {
			return m.house.tell("task", "enable", string(w.id), "--server", m.house.polls[0], "--token-file", m.house.token)
		}
	}
	return nil
}

// pauseConnection has the runs that use a connection wait for a while, whatever they are at. Half of the time a process
// is killed meanwhile.
func pauseConnection(m *mischief) error {
	name := []string{"here", "upsert", "insert", "site"}[m.rand.IntN(4)]
	as := []string{"--server", m.house.polls[0], "--token-file", m.house.token}
	err := m.house.tell(append([]string{"connections", "pause", name, "--why", "chaos"}, as...)...)
	if m.rand.IntN(2) == 0 {
		err = errors.Join(err, m.kill(m.house.services[m.rand.IntN(len(m.house.services))]))
	}
	time.Sleep(m.between(0, 5*time.Second))
	return errors.Join(err, m.house.tell(append([]string{"connections", "resume", name}, as...)...))
}

// leader is the server that leads one of the streams, drawn anew each time.
func (m *mischief) leader() *process {
	stream := []string{"RUNS", m.witness.newestSlice(context.Background()), "EVENTS"}[m.rand.IntN(3)]
	other := m.rand.IntN(len(m.house.servers))
	if place, ok := m.house.leader(m.witness, stream); ok {
		return m.house.servers[place]
	}
	return m.house.servers[other]
}

// follower is a server that leads none of the runs.
func (m *mischief) follower() *process {
	step := 1 + m.rand.IntN(len(m.house.servers)-1)
	place, _ := m.house.leader(m.witness, m.witness.newestSlice(context.Background()))
	return m.house.servers[(place+step)%len(m.house.servers)]
}

// cutOff keeps a server from the others for a while; its clients still reach it.
func (m *mischief) cutOff(p *process) error {
	place := slices.Index(m.house.servers, p)
	silent := m.rand.IntN(2) == 0
	m.house.cutOff(place, true, silent)
	time.Sleep(m.between(time.Second, 2*lease))
	m.house.cutOff(place, false, silent)
	return nil
}
