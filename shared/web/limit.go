package web

import (
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"github.com/valyala/fasthttp"

	"runhook/shared/task"
)

// maxLimited is how many addresses are counted at once, over all tasks; beyond it those that have been silent
// longest begin anew. One takes about 200 bytes.
const maxLimited = 1 << 16

// limits counts the requests of each address to each task. The zero limits is ready.
type limits struct {
	mu sync.Mutex
	// free is when an address will have all of its requests again.
	free *simplelru.LRU[limited, time.Time]
}

// limited is who is counted for a task.
type limited struct {
	id      task.ID
	network netip.Prefix
	// guesses are requests that only read, with what does not fit the task's auth.
	guesses bool
}

// limitedAddr is who is counted for an address: of IPv6 the network, because whoever has an address has all
// those of its network.
func limitedAddr(id task.ID, addr netip.Addr, guesses bool) limited {
	bits := addr.BitLen()
	if addr.Is6() {
		bits = 64
	}
	network, _ := addr.Prefix(bits) // the zero one of no address
	return limited{id, network, guesses}
}

// take takes a request of those that a rate allows: left are how many remain, and reset is when all are there
// again. If none is left it takes none, and wait is when there will be one.
func (l *limits) take(rate task.Rate, who limited, now time.Time) (left int, reset, wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.free == nil {
		l.free, _ = simplelru.NewLRU[limited, time.Time](maxLimited, nil) // only a size below 1 is refused
	}
	interval := rate.Per / time.Duration(rate.Count)
	used := interval
	if free, known := l.free.Get(who); known && free.After(now) {
		used += free.Sub(now)
	}
	if used > interval*time.Duration(rate.Count) {
		return 0, used - interval, used - interval*time.Duration(rate.Count)
	}
	l.free.Add(who, now.Add(used))
	return rate.Count - int((used+interval-1)/interval), used, 0
}

// full reports whether no request of those that a rate allows is left.
func (l *limits) full(rate task.Rate, who limited, now time.Time) (wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.free == nil {
		return 0
	}
	free, known := l.free.Peek(who)
	if !known {
		return 0
	}
	interval := rate.Per / time.Duration(rate.Count)
	return max(0, free.Sub(now)+interval-interval*time.Duration(rate.Count))
}

// tellLimit sets the headers of draft-ietf-httpapi-ratelimit-headers-10.
func tellLimit(rc *fasthttp.RequestCtx, rate task.Rate, left int, reset time.Duration) {
	header := &rc.Response.Header
	header.Set("RateLimit-Policy", fmt.Sprintf(`"default";q=%d;w=%d`, rate.Count, int(rate.Per/time.Second)))
	header.Set("RateLimit", fmt.Sprintf(`"default";r=%d;t=%d`, left, int((reset+time.Second-1)/time.Second)))
}

// errTooMany is the answer to a request above a task's rate_limit.
func errTooMany(rate task.Rate, wait time.Duration) *Problem {
	per := map[time.Duration]string{time.Second: "a second", time.Minute: "a minute", time.Hour: "an hour"}[rate.Per]
	return &Problem{
		Kind: "rate-limit", Status: fasthttp.StatusTooManyRequests, RetryAfter: wait,
		Detail: fmt.Sprintf("This task's limit for one address is %d %s, so nothing was done; send the request again later.", rate.Count, per),
	}
}
