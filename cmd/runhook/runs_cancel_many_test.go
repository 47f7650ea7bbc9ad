package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"runhook/shared/client"
)

// between has what is asked of a server pass by a handler first.
func (i *instance) between(handler func(w http.ResponseWriter, r *http.Request, pass http.Handler)) (server string) {
	i.t.Helper()
	to, err := url.Parse(i.url)
	if err != nil {
		i.t.Fatal(err)
	}
	pass := httputil.NewSingleHostReverseProxy(to)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler(w, r, pass) }))
	i.t.Cleanup(front.Close)
	authorities.Store(front.URL, i.authority())
	return front.URL
}

// queue starts runs of the site's task on a server that holds them.
func (i *instance) queue(s *site, n int) {
	i.t.Helper()
	for range n {
		i.start(s.copy, nil)
	}
}

// canceled is how many runs are Canceled.
func (i *instance) canceled() int {
	i.t.Helper()
	var list client.List
	eventually(i.t, i, "the history has all runs", func() bool {
		var err error
		if list, err = i.client.Runs(i.t.Context(), client.Filter{Outcome: "canceled"}, 500); err != nil {
			i.t.Fatal(err)
		}
		return list.History == nil
	})
	return len(list.Runs)
}

// Many runs are canceled at the same time, but not all of them at once, and what is said of them is counted.
func TestCancelMany(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	i := begin(t, s.args("--hold")...).listening()
	const runs = 100
	i.queue(s, runs)
	var under, most, ended atomic.Int64
	together := make(chan struct{})
	server := i.between(func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
		if strings.HasSuffix(r.URL.Path, "/cancel") {
			n := under.Add(1)
			defer under.Add(-1)
			for most := &most; ; {
				if was := most.Load(); n <= was || most.CompareAndSwap(was, n) {
					break
				}
			}
			if n == 2 { // none goes on before a second one is there
				select {
				case <-together:
				default:
					close(together)
				}
			}
			<-together
			defer ended.Add(1)
		}
		pass.ServeHTTP(w, r)
	})
	said := mustCall(t, "runs", "cancel", "--task", "Copy", "--queued", "--server", server)
	if said != fmt.Sprintf("Canceled %d of %d runs.\n", runs, runs) || i.canceled() != runs || ended.Load() != runs {
		t.Errorf("said %q of %d, asked for %d", said, i.canceled(), ended.Load())
	}
	if most.Load() > cancelAtOnce {
		t.Errorf("%d were asked for at once", most.Load())
	}
}

// Somebody who stops a cancel of many runs is told how many are canceled, exactly, and so is who meets a server that
// stops. The same command goes on then.
func TestCancelOfManyStops(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	i := begin(t, s.args("--hold")...).listening()
	i.queue(s, 300)
	before := 0
	for what, c := range map[string]struct {
		at   func(w http.ResponseWriter, stop func()) (answered bool)
		says string
	}{
		"Ctrl-C": {
			func(_ http.ResponseWriter, stop func()) bool { stop(); return false },
			`interrupted: canceled (\d+) of \d+ runs, and the others go on; the same command cancels the rest`,
		},
		"a server that stops": {
			func(w http.ResponseWriter, _ func()) bool { w.WriteHeader(http.StatusBadGateway); return true },
			`canceled (\d+) of \d+ runs, and then stopped: run \d+: the server answered 502 Bad Gateway`,
		},
	} {
		var asked atomic.Int64
		var command atomic.Pointer[instance]
		begun := make(chan struct{})
		server := i.between(func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
			if strings.HasSuffix(r.URL.Path, "/cancel") && asked.Add(1) == 50 {
				<-begun
				if c.at(w, command.Load().stop) {
					return
				}
			}
			pass.ServeHTTP(w, r)
		})
		command.Store(begin(t, "runs", "cancel", "--queued", "--server", server))
		close(begun)
		code, out, messages := command.Load().said()
		found := regexp.MustCompile(c.says).FindStringSubmatch(messages)
		now := i.canceled()
		if code != exitFailed || out != "" || found == nil || found[1] != fmt.Sprint(now-before) || now-before < 49 || now-before > 50+cancelAtOnce {
			t.Errorf("%s: exit code %d, %s%s; %d are canceled", what, code, out, messages, now-before)
		}
		before = now
	}
	if said := mustCall(t, "runs", "cancel", "--queued", "--server", i.url); said != fmt.Sprintf("Canceled %d of %[1]d runs.\n", 300-before) {
		t.Errorf("the rest: %s", said)
	}
}
