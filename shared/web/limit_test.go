package web

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"runhook/shared/task"
)

func TestLimitsOfAddresses(t *testing.T) {
	var l limits
	rate := task.Rate{Count: 3, Per: time.Minute}
	who := limitedAddr("a", netip.MustParseAddr("192.0.2.1"), false)
	now := time.Now()
	for i, want := range []struct {
		after       time.Duration
		left        int
		reset, wait time.Duration
	}{
		{0, 2, 20 * time.Second, 0},
		{0, 1, 40 * time.Second, 0},
		{0, 0, time.Minute, 0},
		{0, 0, time.Minute, 20 * time.Second},
		{5 * time.Second, 0, 55 * time.Second, 15 * time.Second}, // what is refused takes nothing
		{15 * time.Second, 0, time.Minute, 0},
		{30 * time.Second, 0, 50 * time.Second, 0},
		{time.Hour, 2, 20 * time.Second, 0},
	} {
		now = now.Add(want.after)
		full := l.full(rate, who, now)
		if left, reset, wait := l.take(rate, who, now); left != want.left || reset != want.reset || wait != want.wait || full != want.wait {
			t.Errorf("%d: %d left, reset %v, wait %v, %v", i, left, reset, wait, full)
		}
	}
	if wait := l.full(rate, limitedAddr("b", netip.MustParseAddr("192.0.2.9"), true), now); wait != 0 {
		t.Errorf("who was never seen waits %v", wait)
	}
	for _, other := range []limited{limitedAddr("b", netip.MustParseAddr("192.0.2.1"), false), limitedAddr("a", netip.MustParseAddr("192.0.2.2"), false), limitedAddr("a", netip.MustParseAddr("192.0.2.1"), true)} {
		if left, _, _ := l.take(rate, other, now); left != 2 {
			t.Errorf("%v is counted with another: %d left", other, left)
		}
	}
	one, same, other := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::ffff"), netip.MustParseAddr("2001:db8:0:1::1")
	if limitedAddr("a", one, false) != limitedAddr("a", same, false) || limitedAddr("a", one, false) == limitedAddr("a", other, false) {
		t.Error("an address of IPv6 is not counted with its network, or with another")
	}
	for want := range 2 { // no address is one too
		if left, _, _ := l.take(rate, limitedAddr("a", netip.Addr{}, false), now); left != 2-want {
			t.Errorf("no address: %d left", left)
		}
	}
}

func TestLimitsOfAddressesAreBounded(t *testing.T) {
	var l limits
	rate, now := task.Rate{Count: 1, Per: time.Hour}, time.Now()
	addr := netip.MustParseAddr("10.0.0.0")
	for range maxLimited + 100 {
		addr = addr.Next()
		l.take(rate, limitedAddr("a", addr, false), now)
	}
	if n := l.free.Len(); n != maxLimited {
		t.Errorf("%d addresses are kept", n)
	}
	if l.full(rate, limitedAddr("a", addr, false), now) == 0 {
		t.Error("the last one is not counted")
	}
}

// The address that is counted is the client's, which only a trusted proxy may name.
func TestClientOfARequest(t *testing.T) {
	trusting, err := NewLocator("", []string{"10.0.0.0/8", "::1"}, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		locator *Locator
		peer    string
		headers []string
		want    string
	}{
		{nil, "192.0.2.1", []string{"X-Forwarded-For", "203.0.113.9"}, "192.0.2.1"},
		{new(Locator), "10.0.0.1", []string{"X-Forwarded-For", "203.0.113.9"}, "10.0.0.1"},
		{trusting, "192.0.2.1", []string{"X-Forwarded-For", "203.0.113.9"}, "192.0.2.1"},
		{trusting, "10.0.0.1", nil, "10.0.0.1"},
		{trusting, "::ffff:10.0.0.1", []string{"X-Forwarded-For", "203.0.113.9"}, "203.0.113.9"},
		{trusting, "::1", []string{"X-Forwarded-For", "6.6.6.6, 203.0.113.9"}, "203.0.113.9"},
		{trusting, "10.0.0.1", []string{"X-Forwarded-For", "6.6.6.6, 203.0.113.9, 10.1.1.1"}, "203.0.113.9"},
		{trusting, "10.0.0.1", []string{"X-Forwarded-For", "6.6.6.6", "X-Forwarded-For", "203.0.113.9:4711"}, "203.0.113.9"},
		{trusting, "10.0.0.1", []string{"X-Forwarded-For", "unknown"}, "10.0.0.1"},
		{trusting, "10.0.0.1", []string{"Forwarded", `for=6.6.6.6, for="[2001:db8::1]:4711";proto=https`}, "2001:db8::1"},
		{trusting, "10.0.0.1", []string{"Forwarded", "for=6.6.6.6", "X-Forwarded-For", "203.0.113.9"}, "203.0.113.9"},
	} {
		var rc fasthttp.RequestCtx
		rc.Init(&fasthttp.Request{}, &net.TCPAddr{IP: net.ParseIP(c.peer), Port: 1}, nil)
		for i := 0; i < len(c.headers); i += 2 {
			rc.Request.Header.Add(c.headers[i], c.headers[i+1])
		}
		if got := c.locator.Client(&rc); got.String() != c.want {
			t.Errorf("%s with %q is %s, want %s", c.peer, c.headers, got, c.want)
		}
	}
}

func BenchmarkLimits(b *testing.B) {
	var l limits
	rate := task.Rate{Count: 1 << 30, Per: time.Hour}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		addr := netip.MustParseAddr("10.0.0.0")
		for pb.Next() {
			addr = addr.Next()
			l.take(rate, limitedAddr("a", addr, false), time.Now())
		}
	})
}
