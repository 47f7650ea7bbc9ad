//go:build bench

package main

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/valyala/fasthttp"

	"runhook/shared/proctest"
)

// The crowd that normal POSTs are measured beside, how it is spread, and how long that takes.
const (
	crowdSlow      = 10_000
	crowdPolls     = 5000
	crowdProcesses = 4
	crowdRate      = 100 // POSTs a second
	crowdLoad      = 20 * time.Second
	crowdCalm      = time.Minute
	// slowByte is the pause between two bytes of a slow client.
	slowByte = 2 * time.Second
)

// TestBenchCrowd measures that part of TestBench alone. BENCH_CROWD=100,50 sets how many slow clients and long polls
// there are.
func TestBenchCrowd(t *testing.T) {
	b := &bench{t: t, out: tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)}
	b.row("FIGURE", "RUNHOOK", "LIMIT", "RATIO", "THE LIMIT IS")
	b.crowd()
	_ = b.out.Flush()
}

// crowd: how long normal POSTs take beside clients that send slowly and such that wait for a run's end, and what memory
// is left when those have gone.
func (b *bench) crowd() {
	slow, polls := b.crowdSize()
	b.t.Setenv("RUNHOOK_MAX_WAITING", strconv.Itoa(polls+1))
	s := b.serve("interval", "noop", "slow")
	defer s.stop()
	location := s.post(b, s.task("slow"))
	b.steady(s) // so that the program has the memory that it works with
	alone := b.steady(s)
	before := s.memory(b, "VmRSS:")

	var clients []*proctest.Process
	for i := range crowdProcesses {
		share := func(of int) string { return strconv.Itoa(of/crowdProcesses + min(1, of%crowdProcesses/(i+1))) }
		clients = append(clients, proctest.Start(b.t, proctest.Self("crowd", "RUNHOOK_BENCH_HTTP="+s.url, "RUNHOOK_BENCH_LOCATION="+location,
			"RUNHOOK_BENCH_TASK="+s.task("noop"), "RUNHOOK_BENCH_SLOW="+share(slow), "RUNHOOK_BENCH_POLLS="+share(polls))))
	}
	for _, client := range clients {
		client.Await("open")
	}
	waiting := 0
	proctest.Eventually(b.t, "the polls wait", func() bool {
		waiting = s.gauge(b, "runhook_requests_waiting")
		return waiting >= polls*99/100
	})
	beside := b.steady(s)
	during := s.memory(b, "VmRSS:")
	if now := s.gauge(b, "runhook_requests_waiting"); now < waiting*99/100 {
		b.t.Errorf("%d of %d polls have stopped waiting", waiting-now, waiting)
	}
	for _, client := range clients {
		client.Kill()
	}
	proctest.Eventually(b.t, "the polls have gone", func() bool { return s.gauge(b, "runhook_requests_waiting") == 0 })
	time.Sleep(crowdCalm)
	after := s.memory(b, "VmRSS:")

	who := fmt.Sprintf("%s slow clients and %s long polls", figure(float64(slow)), figure(float64(polls)))
	for _, p := range []int{50, 99} {
		b.compare(fmt.Sprintf("POST beside %s, p%d", who, p), percentile(beside, p), percentile(alone, p), " ms",
			fmt.Sprintf("the same %d POSTs a second without them; the p99 is to be below 50 ms", crowdRate))
	}
	b.compare("memory a minute after they have gone", float64(after), float64(before), " MB",
		fmt.Sprintf("before they came; it is to be at most 120 %%, and was %d MB with them", during))
}

// crowdSize is how many slow clients and long polls there are: fewer if this machine lets no process have so many
// descriptors.
func (b *bench) crowdSize() (slow, polls int) {
	slow, polls = crowdSlow, crowdPolls
	if text := os.Getenv("BENCH_CROWD"); text != "" {
		if n, err := fmt.Sscanf(text, "%d,%d", &slow, &polls); n != 2 || err != nil {
			b.t.Fatalf("BENCH_CROWD is how many slow clients and long polls, like 100,50, and not %q", text)
		}
	}
	needed := uint64(2*(slow+polls) + 2000) // half of them are for connections
	var limit syscall.Rlimit
	b.check(syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit))
	if limit.Max < needed { // root may
		_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: needed, Max: needed})
		b.check(syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit))
	}
	if limit.Max < needed {
		part := float64(limit.Max) / float64(needed)
		slow, polls = int(float64(slow)*part), int(float64(polls)*part)
		fmt.Printf("a process may have %d descriptors, and %d are needed for all (ulimit -Hn): there are fewer clients\n", limit.Max, needed)
	}
	return slow, polls
}

// steady sends POSTs at a steady rate and returns how many milliseconds each took.
func (b *bench) steady(s *server) (took []float64) {
	client := &fasthttp.Client{MaxConnsPerHost: 1000, ReadTimeout: crowdLoad, WriteTimeout: crowdLoad}
	defer client.CloseIdleConnections()
	address := s.url + "/task/execute/" + s.task("noop")
	var mu sync.Mutex
	var all sync.WaitGroup
	tick := time.NewTicker(time.Second / crowdRate)
	defer tick.Stop()
	for began := time.Now(); time.Since(began) < crowdLoad; <-tick.C {
		all.Go(func() {
			request, response := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
			defer fasthttp.ReleaseRequest(request)
			defer fasthttp.ReleaseResponse(response)
			request.Header.SetMethod("POST")
			request.SetRequestURI(address)
			sent := time.Now()
			err := client.Do(request, response)
			needed := float64(time.Since(sent).Microseconds()) / 1000
			mu.Lock()
			defer mu.Unlock()
			if took = append(took, needed); err != nil || response.StatusCode() != 200 {
				b.t.Errorf("POST, %.0f ms: %v %d %s", needed, err, response.StatusCode(), response.Body())
			}
		})
	}
	all.Wait()
	return took
}

// gauge is a metric of the server without labels.
func (s *server) gauge(b *bench, name string) int {
	_, body, err := fasthttp.Get(nil, s.url+"/metrics")
	b.check(err)
	for line := range strings.Lines(string(body)) {
		if text, ok := strings.CutPrefix(line, name+" "); ok {
			value, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
			b.check(err)
			return int(value)
		}
	}
	b.t.Fatal("no metric " + name)
	return 0
}

// playCrowd is a process of slow clients and long polls. It says when all are there, and goes on until it is killed.
func playCrowd() error {
	to, err := url.Parse(os.Getenv("RUNHOOK_BENCH_HTTP"))
	if err != nil {
		return err
	}
	location, err := url.Parse(os.Getenv("RUNHOOK_BENCH_LOCATION"))
	if err != nil {
		return err
	}
	slow, slowErr := strconv.Atoi(os.Getenv("RUNHOOK_BENCH_SLOW"))
	polls, pollsErr := strconv.Atoi(os.Getenv("RUNHOOK_BENCH_POLLS"))
	if err := errors.Join(slowErr, pollsErr); err != nil {
		return err
	}
	send := fmt.Sprintf("POST /task/execute/%s HTTP/1.1\r\nHost: %s\r\nContent-Length: 1000\r\n\r\n", os.Getenv("RUNHOOK_BENCH_TASK"), to.Host)
	wait := fmt.Sprintf("GET %s HTTP/1.1\r\nHost: %s\r\nPrefer: wait=100\r\n\r\n", location.RequestURI(), to.Host)
	var faults atomic.Pointer[error]
	var opening, ended sync.WaitGroup
	several := make(chan struct{}, 100) // dial at once
	begin := func(request string, goOn func(net.Conn) error) {
		opening.Add(1)
		ended.Go(func() {
			opened := sync.OnceFunc(opening.Done)
			defer opened()
			for failures := 0; failures < 10; {
				several <- struct{}{}
				conn, err := net.DialTimeout("tcp", to.Host, 10*time.Second)
				if err == nil {
					_, err = io.WriteString(conn, request)
				}
				<-several
				if err != nil {
					failures++
					faults.Store(&err)
					time.Sleep(100 * time.Millisecond)
					continue
				}
				opened()
				if err := goOn(conn); err != nil { // the server ends it; it comes again
					_ = conn.Close()
				}
			}
		})
	}
	for range slow {
		begin(send, func(conn net.Conn) error {
			time.Sleep(rand.N(slowByte))
			for {
				if _, err := conn.Write([]byte(" ")); err != nil {
					return err
				}
				_ = conn.SetReadDeadline(time.Now().Add(slowByte))
				if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
					return cmp.Or(err, io.EOF) // it is answered, with 408 mostly
				}
			}
		})
	}
	for range polls {
		begin(wait, func(conn net.Conn) error {
			answer := bufio.NewReaderSize(conn, 1<<10)
			for {
				response, err := http.ReadResponse(answer, nil)
				if err != nil {
					return err
				}
				_, _ = io.Copy(io.Discard, response.Body)
				if _, err := io.WriteString(conn, wait); err != nil {
					return err
				}
			}
		})
	}
	opening.Wait()
	fmt.Println("open")
	ended.Wait()
	if fault := faults.Load(); fault != nil {
		return *fault
	}
	return nil
}
