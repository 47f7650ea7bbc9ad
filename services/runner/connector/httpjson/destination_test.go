package httpjson

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"runhook/services/runner/connection"
	"runhook/services/runner/row"
	"runhook/shared/outward"
	"runhook/shared/proctest"
	"runhook/shared/run"
	"runhook/shared/task"
)

// receiver is a web service that notes what it is sent.
type receiver struct {
	*httptest.Server
	mu       sync.Mutex
	requests []*http.Request
	bodies   []string
	// answer answers the request of that index.
	answer func(n int, w http.ResponseWriter, body string)
}

func receive(t *testing.T, answer func(n int, w http.ResponseWriter, body string)) *receiver {
	t.Helper()
	r := &receiver{answer: answer}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		body, err := io.ReadAll(request.Body)
		if err != nil {
			return
		}
		r.mu.Lock()
		n := len(r.requests)
		r.requests, r.bodies = append(r.requests, request), append(r.bodies, string(body))
		r.mu.Unlock()
		if r.answer != nil {
			r.answer(n, w, string(body))
		}
	}))
	t.Cleanup(r.Close)
	return r
}

// sent returns what has come so far.
func (r *receiver) sent() (requests []*http.Request, bodies []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.requests), slices.Clone(r.bodies)
}

// open opens a destination at the receiver's url with /v1 behind it.
func (r *receiver) open(t *testing.T, to task.HTTPDestination) *Destination {
	t.Helper()
	set, err := connection.Parse([]byte(`partner: {http: {private: true, url: "`+r.URL+`/v1", headers: {Authorization: "Bearer secret-token-1"}}}`), "connections.yaml")
	if err != nil {
		t.Fatal(err)
	}
	to.Connection = "partner"
	if to.Path == "" {
		to.Path = "/members?dry=no"
	}
	if to.Method == "" {
		to.Method = http.MethodPost
	}
	to.Batch = max(to.Batch, 1)
	d, err := openDestination(set, &to, "task.7", []string{"id", "name"}, patience{attempts: 3, first: time.Millisecond, most: 2 * time.Second, silence: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// batch is rows with the ids 1 to count and a name.
func batch(count int, name any) *row.Batch {
	b := row.NewBatch(2)
	for i := range count {
		r := b.Add(int64(i + 1))
		r.Values[0], r.Values[1] = json.Number(fmt.Sprint(i+1)), name
	}
	return b
}

func anyTime(int64) error { return nil }

// outcomes is a letter for each row: i for inserted, f for failed.
func outcomes(b *row.Batch) (text string) {
	for _, r := range b.Reached() {
		text += map[row.Outcome]string{row.Inserted: "i", row.Failed: "f"}[r.Outcome]
	}
	return text
}

// An answer that goes beyond a bound leaves open whether the rows were taken: they are not sent again.
func TestAnswersWithoutBound(t *testing.T) {
	for want, answer := range map[string]func(w http.ResponseWriter){
		"is answered with more than 256 KiB of headers; the request with row 1 may have arrived all the same": func(w http.ResponseWriter) { fill(w, outward.MaxHeader) },
		"is answered with more than 16 MiB; the request with row 1 may have arrived all the same":             func(w http.ResponseWriter) { _, _ = w.Write(make([]byte, maxReply+1)) },
	} {
		r := receive(t, func(_ int, w http.ResponseWriter, _ string) { answer(w) })
		err := r.open(t, task.HTTPDestination{}).Write(t.Context(), batch(1, nil), anyTime)
		failure, ok := errors.AsType[*run.Failure](err)
		if requests, _ := r.sent(); !ok || failure.Passing || !strings.HasSuffix(failure.Message, want) || len(requests) != 1 {
			t.Errorf("got %v after %d requests, want %s", err, len(requests), want)
		}
	}
}

func TestRowsAreSentAsJSON(t *testing.T) {
	r := receive(t, nil)
	for _, c := range []struct {
		to   task.HTTPDestination
		rows *row.Batch
		body string
	}{
		{task.HTTPDestination{}, batch(1, "Zoë <b>"), `{"id":1,"name":"Zoë <b>"}`},
		{task.HTTPDestination{Method: http.MethodPut, Batch: 10}, batch(2, nil), `[{"id":1,"name":null},{"id":2,"name":null}]`},
		{task.HTTPDestination{Method: http.MethodPatch, Batch: 10}, batch(1, []any{json.Number("12345678901234567890.10")}), `[{"id":1,"name":[12345678901234567890.10]}]`},
	} {
		before := len(r.bodies)
		if err := r.open(t, c.to).Write(t.Context(), c.rows, anyTime); err != nil {
			t.Fatal(err)
		}
		if len(r.bodies) != before+1 || r.bodies[before] != c.body {
			t.Errorf("sent %q, want %q", r.bodies[before:], c.body)
		}
		sent := r.requests[before]
		if method := c.to.Method; method != "" && sent.Method != method || sent.URL.Path != "/v1/members" || sent.URL.RawQuery != "dry=no" ||
			sent.Header.Get("Authorization") != "Bearer secret-token-1" || sent.Header.Get("Content-Type") != "application/json" {
			t.Errorf("sent %s %s %v", sent.Method, sent.URL, sent.Header)
		}
		if got := outcomes(c.rows); strings.Trim(got, "i") != "" || got == "" {
			t.Errorf("outcomes %s", got)
		}
	}
	dry := r.open(t, task.HTTPDestination{})
	dry.dry = true
	before := len(r.bodies)
	if err := dry.Write(t.Context(), batch(1, ""), anyTime); err != nil || len(r.bodies) != before {
		t.Errorf("a dry run sent %d, %v", len(r.bodies)-before, err)
	}
}

// What a service says of rows goes to them, its words beside the class of the fault.
func TestRowsThatAreRefused(t *testing.T) {
	for _, c := range []struct {
		name        string
		count       int
		status      int
		body        string
		outcomes    string
		first       string // the message of the first failed row
		words       string
		failure     string
		column      string
		contentType string
	}{
		{name: "one", count: 1, status: 422, body: "the e-mail of Ann is taken", outcomes: "f", first: "was refused with status 422", words: "the e-mail of Ann is taken"},
		{name: "one, and the token", count: 1, status: 400, body: "Bearer secret-token-1 or secret-token-1 may not", outcomes: "f", first: "was refused with status 400", words: "… or … may not"},
		{name: "the whole batch", count: 3, status: 400, body: "no", outcomes: "fff", first: "was refused with its batch, with status 400", words: "no"},
		{name: "the whole batch, one named", count: 2, status: 409, body: `{"errors":[{"index":0,"message":"is there","column":"id"}]}`, outcomes: "ff", first: "was refused with status 409", words: "is there", column: "id"},
		{name: "two of a batch", count: 4, status: 200, body: `{"errors":[{"index":1,"message":"m1"},{"index":3,"message":"m3"}]}`, outcomes: "ifif", first: "was refused by the service", words: "m1"},
		{name: "a column that is none", count: 1, status: 200, body: `{"errors":[{"index":0,"message":"m","column":"Ann Lee"}]}`, outcomes: "f", first: "was refused by the service", words: "m"},
		{name: "207", count: 2, status: 207, body: `{"errors":[{"index":0}]}`, outcomes: "fi", first: "was refused by the service"},
		{name: "no errors", count: 2, status: 200, body: `{"errors":[]}`, outcomes: "ii"},
		{name: "another shape", count: 2, status: 201, body: `[{"errors":1}]`, failure: "is answered with status 201 and something at errors that names no row by its index; the 2 rows were sent, and it is not known which were taken: set destination.http.batch to 1"},
		{name: "errors of another shape", count: 2, status: 200, body: `{"errors":[{"code":7}]}`, failure: "is answered with status 200 and errors that name no row by its index; the 2 rows were sent"},
		{name: "errors as texts", count: 3, status: 201, body: `{"errors":["row 1 is bad"]}`, failure: "errors that name no row"},
		{name: "an index as text", count: 3, status: 200, body: `{"errors":[{"index":0},{"index":"2"}]}`, outcomes: "fif", first: "was refused by the service"},
		{name: "an index that is none", count: 2, status: 200, body: `{"errors":[{"index":0},{"index":{}}]}`, failure: "errors that name no row"},
		{name: "errors that are no list", count: 2, status: 200, body: `{"errors":{"email":["is taken"]}}`, failure: "something at errors that names no row"},
		{name: "errors of one row", count: 1, status: 200, body: `{"errors":[{"message":"is taken"}]}`, outcomes: "f", first: "was refused by the service", words: `{"errors":[{"message":"is taken"}]}`},
		{name: "no success", count: 2, status: 200, body: `{"success":false,"error":"nothing stored"}`, outcomes: "ff", first: "was refused with its batch, by the service", words: `{"success":false,"error":"nothing stored"}`},
		{name: "not ok", count: 1, status: 201, body: `{"ok":"false"}`, outcomes: "f", first: "was refused by the service", words: `{"ok":"false"}`},
		{name: "no success of one", count: 2, status: 200, body: `{"success":false,"errors":[{"index":1}]}`, outcomes: "if", first: "was refused by the service"},
		{name: "success", count: 2, status: 200, body: `{"success":true,"ok":1,"errors":null}`, outcomes: "ii"},
		{name: "a status each", count: 2, status: 207, body: `[{"status":201},{"status":409}]`, outcomes: "if", first: "was refused with status 409", words: `{"status":409}`},
		{name: "no JSON", count: 2, status: 200, body: `{"id":`, outcomes: "ii"},
		{name: "an index outside", count: 2, status: 200, body: `{"errors":[{"index":2}]}`, failure: "index 2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := receive(t, func(_ int, w http.ResponseWriter, _ string) {
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, c.body)
			})
			rows := batch(c.count, "Ann")
			err := r.open(t, task.HTTPDestination{Batch: c.count}).Write(t.Context(), rows, anyTime)
			if c.failure != "" {
				if _, ok := errors.AsType[*run.Failure](err); !ok || !strings.Contains(err.Error(), c.failure) {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil || outcomes(rows) != c.outcomes {
				t.Fatalf("%s, %v; want %s", outcomes(rows), err, c.outcomes)
			}
			for _, failed := range rows.Reached() {
				if failed.Outcome != row.Failed {
					continue
				}
				if f := failed.Fault; f.Message != c.first || f.Words != c.words || f.Column != c.column {
					t.Errorf("the fault is %+v", f)
				}
				break
			}
			if len(r.bodies) != 1 {
				t.Errorf("%d requests", len(r.bodies))
			}
		})
	}
}

// Some answers are about the task, not the row: the run ends at once, and shows nothing of the body.
func TestAnswersThatEndTheRun(t *testing.T) {
	other := receive(t, func(int, http.ResponseWriter, string) { t.Error("rows were sent to another host") })
	for status, want := range map[int]string{
		401: "answered 401 Unauthorized; correct the credentials", 403: "correct the credentials", 404: "correct path", 405: "405", 415: "415",
		302: "302", 303: "303", 307: "out of the url of the connection", 308: "out of the url of the connection",
	} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			r := receive(t, func(_ int, w http.ResponseWriter, _ string) {
				location := other.URL + "/v1/members"
				if status == 302 || status == 303 {
					location = "/v1/elsewhere"
				}
				w.Header().Set("Location", location)
				w.WriteHeader(status)
				_, _ = io.WriteString(w, "canary")
			})
			err := r.open(t, task.HTTPDestination{}).Write(t.Context(), batch(1, "Ann"), anyTime)
			failure, ok := errors.AsType[*run.Failure](err)
			if !ok || !strings.Contains(failure.Message, want) || strings.Contains(failure.Message, "canary") || strings.Contains(failure.Message, r.URL) {
				t.Errorf("got %v, want %q", err, want)
			}
			if len(r.bodies) != 1 {
				t.Errorf("%d requests", len(r.bodies))
			}
		})
	}
}

func TestRedirectsThatKeepTheRowsAreFollowed(t *testing.T) {
	r := receive(t, func(n int, w http.ResponseWriter, _ string) {
		if n == 0 {
			w.Header().Set("Location", "/v1/people")
			w.WriteHeader(http.StatusPermanentRedirect)
		}
	})
	rows := batch(1, "Ann")
	if err := r.open(t, task.HTTPDestination{}).Write(t.Context(), rows, anyTime); err != nil || outcomes(rows) != "i" {
		t.Fatal(err)
	}
	if len(r.bodies) != 2 || r.bodies[0] != r.bodies[1] || r.requests[1].Method != http.MethodPost || r.requests[1].URL.Path != "/v1/people" {
		t.Errorf("sent %q", r.bodies)
	}
}

func TestPassingFaultsAreTriedAgain(t *testing.T) {
	drop := func(w http.ResponseWriter) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			conn.Close()
		}
	}
	for _, c := range []struct {
		name    string
		answers []int // 0 drops the connection
		after   string
		failure string
	}{
		{"429", []int{429, 200}, "0", ""},
		{"503 twice", []int{503, 503, 200}, "", ""},
		{"dropped", []int{0, 200}, "", ""},
		{"500 for ever", []int{500, 500, 500}, "", "answered 500 Internal Server Error, asked 3 times; the request with row 1 may have arrived"},
		{"dropped for ever", []int{0, 0, 0}, "", "asked 3 times"},
		{"for longer than we wait", []int{503}, "3600", "answered 503 Service Unavailable; the request with row 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := receive(t, func(n int, w http.ResponseWriter, _ string) {
				if c.answers[n] == 0 {
					drop(w)
					return
				}
				w.Header().Set("Retry-After", c.after)
				w.WriteHeader(c.answers[n])
			})
			rows := batch(1, "Ann")
			err := r.open(t, task.HTTPDestination{}).Write(t.Context(), rows, anyTime)
			if c.failure == "" && (err != nil || outcomes(rows) != "i") || c.failure != "" && (err == nil || !strings.Contains(err.Error(), c.failure)) {
				t.Errorf("%s, %v", outcomes(rows), err)
			}
			if failure, ok := errors.AsType[*run.Failure](err); ok && (!failure.Passing || c.after == "3600" && failure.RetryAfter != time.Hour) {
				t.Errorf("passing: %v, after %s", failure.Passing, failure.RetryAfter)
			}
			requests, _ := r.sent()
			if len(requests) != len(c.answers) {
				t.Errorf("%d requests, want %d", len(requests), len(c.answers))
			}
			var keys []string
			for _, sent := range requests {
				keys = append(keys, sent.Header.Get("Idempotency-Key"))
			}
			if keys[0] == "" || len(slices.Compact(keys)) != 1 {
				t.Errorf("idempotency keys %q", keys)
			}
		})
	}
}

// One key is for one request: other rows, a later place in the run and another run have others.
func TestIdempotencyKeysDiffer(t *testing.T) {
	r := receive(t, nil)
	first, other := r.open(t, task.HTTPDestination{}), r.open(t, task.HTTPDestination{})
	other.run = "task.8"
	later := row.NewBatch(2)
	later.Add(2).Values = []any{json.Number("1"), "Ann"} // the same in another row
	for _, write := range []struct {
		to   *Destination
		rows *row.Batch
	}{{first, batch(1, "Ann")}, {first, batch(1, "Ben")}, {first, later}, {other, batch(1, "Ann")}} {
		if err := write.to.Write(t.Context(), write.rows, anyTime); err != nil {
			t.Fatal(err)
		}
	}
	requests, _ := r.sent()
	keys := map[string]bool{}
	for _, sent := range requests {
		keys[sent.Header.Get("Idempotency-Key")] = true
	}
	if len(keys) != 4 {
		t.Errorf("4 requests have %d keys: %v", len(keys), keys)
	}
}

// A request that is repeated asks again whether it may: the run may be another runner's by then.
func TestARepeatAsksForLeave(t *testing.T) {
	r := receive(t, func(_ int, w http.ResponseWriter, _ string) { w.WriteHeader(http.StatusServiceUnavailable) })
	lost, asked := errors.New("lost"), 0
	err := r.open(t, task.HTTPDestination{}).Write(t.Context(), batch(1, "Ann"), func(int64) error {
		if asked++; asked > 1 {
			return lost
		}
		return nil
	})
	if requests, _ := r.sent(); !errors.Is(err, lost) || len(requests) != 1 {
		t.Errorf("%d requests, %v", len(requests), err)
	}
}

func TestRetryAfterIsKept(t *testing.T) {
	var times []time.Time
	r := receive(t, func(n int, w http.ResponseWriter, _ string) {
		times = append(times, time.Now())
		if n == 0 {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
		}
	})
	if err := r.open(t, task.HTTPDestination{}).Write(t.Context(), batch(1, "Ann"), anyTime); err != nil {
		t.Fatal(err)
	}
	if wait := times[1].Sub(times[0]); wait < time.Second {
		t.Errorf("asked again after %s", wait)
	}
}

func TestTheWaitForAServiceCanBeEnded(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	r := receive(t, func(_ int, w http.ResponseWriter, _ string) {
		cancel()
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	if err := r.open(t, task.HTTPDestination{}).Write(ctx, batch(1, "Ann"), anyTime); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// Rows that are under way when the run ends are still let come to their answer, for a moment, and then count.
func TestRowsUnderWayGetTheirAnswer(t *testing.T) {
	for name, c := range map[string]struct {
		linger time.Duration
		slow   bool
	}{"in time": {proctest.Limit, false}, "not in time": {100 * time.Millisecond, true}} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			never := make(chan struct{})
			defer close(never)
			r := receive(t, func(_ int, w http.ResponseWriter, _ string) {
				cancel()
				if c.slow {
					<-never
				}
				w.WriteHeader(http.StatusNoContent)
			})
			d := r.open(t, task.HTTPDestination{})
			d.client.patience.linger = c.linger
			rows := batch(1, "Ann")
			err := d.Write(ctx, rows, anyTime)
			if c.slow && !errors.Is(err, context.Canceled) || !c.slow && (err != nil || rows.Reached()[0].Outcome != row.Inserted) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestNothingIsSentWithoutLeave(t *testing.T) {
	r := receive(t, nil)
	no := errors.New("no")
	if err := r.open(t, task.HTTPDestination{}).Write(t.Context(), batch(1, "Ann"), func(int64) error { return no }); !errors.Is(err, no) {
		t.Errorf("got %v", err)
	}
	rows := row.NewBatch(2)
	rows.Add(1).Skip()
	if err := r.open(t, task.HTTPDestination{}).Write(t.Context(), rows, anyTime); err != nil || len(r.bodies) != 0 {
		t.Errorf("%d requests, %v", len(r.bodies), err)
	}
}

func TestPathsThatLeaveTheConnection(t *testing.T) {
	set, err := connection.Parse([]byte(`partner: {http: {url: "https://api.example.org/v1"}}`), "connections.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/../admin", "/a/../../admin", "/%2e%2e/admin"} {
		_, err := OpenDestination(set, &task.HTTPDestination{Connection: "partner", Path: path, Method: "POST", Batch: 1}, "task.1", nil)
		if err == nil || !strings.Contains(err.Error(), "destination.http.path") {
			t.Errorf("%s: %v", path, err)
		}
	}
}
