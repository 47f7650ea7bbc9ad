package status_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"runhook/services/status"
	"runhook/shared/proctest"
	"runhook/shared/run"
	"runhook/shared/web"
)

// crowd is a service whose waiting polls are counted.
type crowd struct {
	*site
	metrics *prometheus.Registry
	waits   *web.Waits
}

// openCrowd starts a service on which at most so many polls wait.
func openCrowd(t *testing.T, most int) *crowd {
	t.Helper()
	c := &crowd{metrics: prometheus.NewRegistry()}
	c.waits = web.NewWaits(most, c.metrics)
	c.site = open(t, func(o *status.Options) { o.Waits = c.waits })
	return c
}

// metric is the value of a gauge or a counter.
func (c *crowd) metric(name string) float64 {
	c.t.Helper()
	families, err := c.metrics.Gather()
	if err != nil {
		c.t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == name {
			return family.GetMetric()[0].GetGauge().GetValue() + family.GetMetric()[0].GetCounter().GetValue()
		}
	}
	c.t.Fatalf("there is no metric %s", name)
	return 0
}

// until waits until so many polls wait, and so many runs are followed.
func (c *crowd) until(polls, runs int) {
	c.t.Helper()
	proctest.Until(c.t, func() error {
		if now := c.metric("runhook_requests_waiting"); int(now) != polls {
			return fmt.Errorf("%v polls wait, not %d", now, polls)
		}
		followed, err := c.Following()
		if err != nil {
			return err
		}
		if followed != runs {
			return fmt.Errorf("%d subscriptions follow runs, not %d", followed, runs)
		}
		return nil
	})
}

// wait sends a long poll on a connection of its own.
func (c *crowd) wait(path string) net.Conn {
	c.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(c.url, "http://"))
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = conn.Close() })
	if _, err := io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: a\r\nPrefer: wait=100\r\n\r\n"); err != nil {
		c.t.Fatal(err)
	}
	return conn
}

// However many poll a run, one subscription follows it, and its final document reaches all of them.
func TestManyLongPollsOfARun(t *testing.T) {
	t.Parallel()
	c := openCrowd(t, 100)
	def := c.apply("Refresh")
	r, other := c.submit(def).begin(0), c.submit(def).begin(0)
	const polls = 40
	answers := make(chan answer, polls)
	for range polls {
		go func() {
			got, err := c.send(http.MethodGet, r.path(), nil, "Prefer", "wait=100")
			if err != nil {
				t.Error(err)
			}
			answers <- got
		}()
	}
	c.wait(other.path())
	c.until(polls+1, 2)
	r.reach(50)
	r.end(run.Success, "done")
	want := ""
	for range polls {
		got := within(t, unwaited, answers)
		if got.Response == nil {
			continue
		}
		got.expect(t, http.StatusOK)
		if want == "" {
			want = string(got.body)
		}
		if string(got.body) != want || got.Header.Get("Preference-Applied") != "wait=100" {
			t.Errorf("%v %s", got.Header, got.body)
		}
	}
	c.until(1, 1)
}

// A poll whose client has left costs nothing any more, nor does its run.
func TestLongPollEndsWhenItsClientLeaves(t *testing.T) {
	t.Parallel()
	c := openCrowd(t, 100)
	def := c.apply("Refresh")
	var conns []net.Conn
	r := c.submit(def).begin(0)
	for range 10 {
		conns = append(conns, c.wait(r.path()))
	}
	conns = append(conns, c.wait(c.submit(def).begin(0).path()), c.wait(c.submit(def).path()))
	c.until(12, 3)
	for _, conn := range conns[1:] {
		if err := conn.Close(); err != nil {
			t.Fatal(err)
		}
	}
	c.until(1, 1)
	if err := conns[0].Close(); err != nil {
		t.Fatal(err)
	}
	c.until(0, 0)
}

// Where enough wait, a poll is answered as one that does not ask for a wait.
func TestLongPollsAreBounded(t *testing.T) {
	t.Parallel()
	c := openCrowd(t, 2)
	r := c.submit(c.apply("Refresh", "retry_after: 7")).begin(30)
	first := c.wait(r.path())
	c.wait(r.path())
	c.until(2, 1)
	plain := c.get(r.path()).expect(t, http.StatusAccepted)
	got := c.get(r.path(), "Prefer", "wait=100").expect(t, http.StatusAccepted)
	if got.Header.Get("Preference-Applied") != "" || got.Header.Get("Retry-After") != "7" ||
		got.Header.Get("Location") != plain.Header.Get("Location") || string(got.body) != string(plain.body) {
		t.Errorf("%v %s\nand without a wait\n%v %s", got.Header, got.body, plain.Header, plain.body)
	}
	if n := c.metric("runhook_waits_refused_total"); n != 1 {
		t.Errorf("%v polls are counted", n)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	c.until(1, 1)
	c.wait(r.path())
	c.until(2, 1)
	r.end(run.Success, "done")
	c.until(0, 0)
	if again := c.get(r.path(), "Prefer", "wait=100").expect(t, http.StatusOK); again.Header.Get("Preference-Applied") != "wait=100" {
		t.Errorf("%v", again.Header)
	}
}

// A stop answers all who wait.
func TestStopAnswersEveryLongPoll(t *testing.T) {
	t.Parallel()
	c := openCrowd(t, 100)
	def := c.apply("Refresh")
	answers := make(chan answer, 20)
	for i := range 4 {
		r := c.submit(def).begin(float64(10 * i))
		for range 5 {
			go func() {
				got, err := c.send(http.MethodGet, r.path(), nil, "Prefer", "wait=100")
				if err != nil {
					t.Error(err)
				}
				answers <- got
			}()
		}
	}
	c.until(20, 4)
	c.stop()
	for range 20 {
		if got := within(t, unwaited, answers); got.Response != nil {
			got.expect(t, http.StatusAccepted).document(t)
		}
	}
	c.until(0, 0)
}
