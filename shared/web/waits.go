package web

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/valyala/fasthttp"
)

// DefaultMaxWaiting is how many requests may wait at once where nothing else is said. Each costs about 40 KB, with its connection, and a stream of events 80 KB.
const DefaultMaxWaiting = 1000

// Waits are the requests that wait because their clients prefer that (`Prefer: wait=N`), or follow a run as a stream of
// events, of all services of a process. They are safe for concurrent use.
type Waits struct {
	most    int64
	now     atomic.Int64
	refused prometheus.Counter
}

// NewWaits lets at most so many requests wait at once. Their metrics are registered in registry; nil
// registers them nowhere.
func NewWaits(most int, registry prometheus.Registerer) *Waits {
	factory := promauto.With(registry)
	w := &Waits{most: int64(most), refused: factory.NewCounter(prometheus.CounterOpts{
		Name: "runhook_waits_refused_total", Help: "Requests with Prefer: wait, and event streams, that were answered at once, because --max-waiting others waited.",
	})}
	factory.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "runhook_requests_waiting", Help: "Requests that wait for their run to end, or follow it as a stream of events.",
	}, func() float64 { return float64(w.now.Load()) })
	return w
}

// Wait is the wait of one request. It ends with the time that the client prefers, when the client closes
// the connection, and when the server stops.
type Wait struct {
	// Context lasts as long as the wait. It is nil if the request does not wait.
	context.Context
	length time.Duration
	end    func()
}

// Begin begins the wait that a request prefers, unless it prefers none or too many wait already. The handler
// must End it before it returns.
func (w *Waits) Begin(ctx context.Context, rc *fasthttp.RequestCtx) Wait {
	length := PreferredWait(rc)
	if length == 0 {
		return Wait{}
	}
	lasting, cancel := context.WithTimeout(ctx, length)
	return w.begin(lasting, cancel, rc, length)
}

// Stay begins a wait of a request that has no end of its own, unless too many wait already. It ends as one of Begin
// does. Whoever sends the answer must End it when that is sent.
func (w *Waits) Stay(ctx context.Context, rc *fasthttp.RequestCtx) Wait {
	lasting, cancel := context.WithCancel(ctx)
	return w.begin(lasting, cancel, rc, 0)
}

func (w *Waits) begin(lasting context.Context, cancel func(), rc *fasthttp.RequestCtx, length time.Duration) Wait {
	if w.now.Add(1) > w.most {
		w.now.Add(-1)
		w.refused.Inc()
		cancel()
		return Wait{}
	}
	release := func() {}
	if c, ok := rc.Conn().(*conn); ok {
		release = c.whenLeft(cancel)
	}
	return Wait{lasting, length, func() {
		release()
		cancel()
		w.now.Add(-1)
	}}
}

// Waits reports whether the request waits.
func (w Wait) Waits() bool { return w.Context != nil }

// End ends the wait, if there is one: the handler may answer.
func (w Wait) End() {
	if w.end != nil {
		w.end()
	}
}

// Applied says in the answer that the client's wait was honored, if it was.
func (w Wait) Applied(rc *fasthttp.RequestCtx) { SetWaitApplied(rc, w.length) }
