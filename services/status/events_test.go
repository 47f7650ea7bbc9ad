package status_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"runhook/services/status"
	"runhook/shared/proctest"
	"runhook/shared/run"
	"runhook/shared/web"
)

// event is one of a stream; a comment has neither id nor data.
type event struct{ id, data, retry string }

// stream is an answer that is read event by event.
type stream struct {
	*http.Response
	t    testing.TB
	from *bufio.Scanner
}

// listen asks for a run's events.
func (s *site) listen(path string, headers ...string) *stream {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.url+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	request.Header.Set("Accept", "text/event-stream")
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = response.Body.Close() })
	from := bufio.NewScanner(response.Body)
	from.Buffer(nil, 1<<20)
	return &stream{response, s.t, from}
}

// next is the next event, or comment; ok is false at the stream's clean end.
func (s *stream) next() (e event, ok bool) {
	s.t.Helper()
	for s.from.Scan() {
		name, value, _ := strings.Cut(s.from.Text(), ": ")
		switch ok = true; name {
		case "":
			return e, true
		case "id":
			e.id = value
		case "data":
			e.data += value
		case "retry":
			e.retry = value
		}
	}
	if err := s.from.Err(); err != nil {
		s.t.Fatal(err)
	}
	return e, false
}

// document is that of the next event.
func (s *stream) document() (run.Document, string) {
	s.t.Helper()
	e, ok := s.next()
	if !ok || e.data == "" {
		s.t.Fatalf("no event comes, but %+v", e)
	}
	return answer{body: []byte(e.data)}.document(s.t), e.id
}

// over fails the test if something comes.
func (s *stream) over() {
	s.t.Helper()
	if e, ok := s.next(); ok {
		s.t.Fatalf("after the end %+v comes", e)
	}
}

// quick has streams send each change at once.
func quick(o *status.Options) { o.Pace(time.Nanosecond, 0, 0) }

// A stream has the document at once, each change, and ends with the run. What a client has is not sent again.
func TestStreamOfARun(t *testing.T) {
	t.Parallel()
	s := open(t, quick)
	r := s.submit(s.apply("Refresh", "failed_status: 422"))
	live := s.listen(r.path(), "Origin", "https://pages.example.org")
	for name, want := range map[string]string{
		"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no", "Access-Control-Allow-Origin": "*", "Location": "", "Retry-After": "", "ETag": "",
	} {
		if got := live.Header.Get(name); got != want {
			t.Errorf("%s is %q", name, got)
		}
	}
	if doc, id := live.document(); live.StatusCode != 200 || doc.Status != run.Queued || id == "" {
		t.Errorf("%d %+v", live.StatusCode, doc)
	}
	seen := ""
	r.begin(0)
	for _, percent := range []float64{10, 20} {
		r.reach(percent)
		doc, id := live.document()
		if doc.PercentComplete != percent || id == seen {
			t.Errorf("%v%% as %s after %s", doc.PercentComplete, id, seen)
		}
		seen = id
	}
	again := s.listen(r.path(), "Last-Event-ID", seen)
	if e, ok := again.next(); !ok || e != (event{}) {
		t.Errorf("what the client has comes again: %+v", e)
	}
	old := s.listen(r.path(), "Last-Event-ID", "another")
	if doc, id := old.document(); doc.PercentComplete != 20 || id != seen {
		t.Errorf("%v%% as %s, not %s", doc.PercentComplete, id, seen)
	}
	r.end(run.Failed, "it failed")
	poll := s.get(r.path()).expect(t, 422)
	final := strings.Trim(poll.Header.Get("ETag"), `"`)
	for _, each := range []*stream{live, again, old, s.listen(r.path()), s.listen(r.path(), "Last-Event-ID", seen)} {
		e, _ := each.next()
		if each.StatusCode != 200 || e.id != final || e.data != string(poll.body) {
			t.Errorf("at the end comes %d %+v", each.StatusCode, e)
		}
		each.over()
	}
	if done := s.listen(r.path(), "Last-Event-ID", final); done.StatusCode != 204 {
		t.Errorf("who has the end gets %s", done.Status)
	}
}

// Only who prefers events gets them, and nobody who may not read the status.
func TestWhoGetsAStream(t *testing.T) {
	t.Parallel()
	keys := runKeys(t)
	s := open(t, func(o *status.Options) { o.Keys, o.Links = keys, keys })
	def := s.apply("Refresh")
	r := s.submit(def).begin(0).end(run.Success, "done")
	path := r.path() + keys.Query(web.ReadRun, s.StoreID(), def.ID, r.number, time.Now().Add(time.Hour))
	for accept, want := range map[string]bool{
		"text/event-stream": true, "Text/Event-Stream": true, "text/event-stream, application/json;q=0.5": true, "text/event-stream, */*": true,
		"": false, "*/*": false, "text/*": false, "application/json": false, "application/json, text/event-stream": false, "text/event-stream;q=0": false,
	} {
		got := s.get(path, "Accept", accept).expect(t, 200)
		if is := got.Header.Get("Content-Type") == "text/event-stream"; is != want {
			t.Errorf("Accept: %s gets %s", accept, got.Header.Get("Content-Type"))
		}
	}
	if head := s.do(http.MethodHead, path, nil, "Accept", "text/event-stream"); head.Header.Get("ETag") == "" {
		t.Errorf("%v", head.Header)
	}
	events := []string{"Accept", "text/event-stream"}
	s.get(r.path(), events...).problem(t, 403)
	s.get(run.StatusPath(def.ID, 999)+"?sig=x", events...).problem(t, 403)
	if log := s.get(path, events...); !strings.HasPrefix(string(log.body), "id: ") {
		t.Errorf("%s", log.body)
	}
}

// A stream has no more than its events a second, but the last one comes at once; a silent one has comments.
func TestPaceOfAStream(t *testing.T) {
	t.Parallel()
	s := open(t, func(o *status.Options) { o.Pace(time.Hour, 50*time.Millisecond, 0) })
	r := s.submit(s.apply("Refresh")).begin(0)
	live := s.listen(r.path())
	live.document()
	for range 2 {
		if e, ok := live.next(); !ok || e != (event{}) {
			t.Errorf("not a comment: %+v", e)
		}
	}
	r.reach(10).reach(20)
	for range 3 {
		if e, ok := live.next(); !ok || e != (event{}) {
			t.Errorf("a change comes before its time: %+v", e)
		}
	}
	r.end(run.Success, "done")
	for {
		e, ok := live.next()
		if !ok {
			t.Fatal("it ends without the final document")
		}
		if e.data != "" {
			if doc := (answer{body: []byte(e.data)}).document(t); doc.Outcome() != run.Success {
				t.Errorf("%+v", doc)
			}
			break
		}
	}
	live.over()

	// And those that came in between come together.
	s = open(t, func(o *status.Options) { o.Pace(100*time.Millisecond, 0, 0) })
	r = s.submit(s.apply("Refresh")).begin(0)
	live = s.listen(r.path())
	live.document()
	for percent := range 50 {
		r.reach(float64(percent + 1))
	}
	events := 0
	for {
		events++
		if doc, _ := live.document(); doc.PercentComplete == 50 {
			break
		}
	}
	if events >= 50 {
		t.Error("each change comes alone")
	}
}

// However many follow a run, one subscription hears of it; those for whom there is no room ask again after a while.
func TestManyStreams(t *testing.T) {
	t.Parallel()
	c := openCrowd(t, 40)
	r := c.submit(c.apply("Refresh")).begin(0).reach(10)
	var streams []*stream
	for range 40 {
		streams = append(streams, c.listen(r.path()))
		streams[len(streams)-1].document()
	}
	c.until(40, 1)
	more := c.listen(r.path())
	e, _ := more.next()
	if e.retry != "10000" || e.data == "" {
		t.Errorf("beyond the bound: %+v", e)
	}
	more.over()
	more = c.listen(r.path(), "Last-Event-ID", e.id)
	if e, ok := more.next(); !ok || e.retry != "10000" || e.data != "" {
		t.Errorf("beyond the bound again: %+v", e)
	}
	more.over()
	// Whoever leaves is noticed at once, before anything is sent.
	for _, each := range streams[20:] {
		_ = each.Body.Close()
	}
	c.until(20, 1)
	r.end(run.Success, "done")
	for _, each := range streams[:20] {
		if doc, _ := each.document(); doc.Outcome() != run.Success {
			t.Errorf("%+v", doc)
		}
		each.over()
	}
	c.until(0, 0)
}

// Who does not read is let go; the others hear of each change meanwhile.
func TestSlowReaderOfAStream(t *testing.T) {
	t.Parallel()
	c := openCrowd(t, 10)
	c.stop()
	c.site = openOn(t, c.Store, func(o *status.Options) { o.Pace(time.Nanosecond, 0, 300*time.Millisecond); o.Waits = c.waits })
	r := c.submit(c.apply("Refresh")).begin(0)
	slow, err := net.Dial("tcp", strings.TrimPrefix(c.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	if err := slow.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(slow, "GET %s HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n", r.path())
	live := c.listen(r.path())
	live.document()
	c.until(2, 1)
	for range 20 {
		r.doc.Errors = append(r.doc.Errors, run.RowError{Row: 1, Column: "Email", Message: strings.Repeat("is too long ", 2000)})
	}
	percent := 0.0
	proctest.Until(t, func() error {
		percent += 0.01
		r.reach(percent)
		if doc, _ := live.document(); doc.PercentComplete != percent {
			t.Fatalf("%v%%, not %v%%", doc.PercentComplete, percent)
		}
		if waiting := c.metric("runhook_requests_waiting"); waiting != 1 {
			return fmt.Errorf("%v wait", waiting)
		}
		return nil
	})
}

// A stop ends all streams, and so does the loss of the store, of which a client hears when it asks again.
func TestStreamsEndWithTheServer(t *testing.T) {
	t.Parallel()
	s := open(t, quick)
	r := s.submit(s.apply("Refresh")).begin(0).reach(10)
	live := s.listen(r.path())
	_, seen := live.document()
	s.Broker.Stop()
	live.over()
	again := s.listen(r.path(), "Last-Event-ID", seen)
	e, _ := again.next()
	if doc := (answer{body: []byte(e.data)}).document(t); e.retry != "10000" || doc.PercentComplete != 10 || !strings.Contains(doc.Message, "cannot be reached") {
		t.Errorf("%+v", e)
	}
	again.over()

	s = open(t, quick)
	r = s.submit(s.apply("Refresh")).begin(0).reach(10)
	live = s.listen(r.path())
	live.document()
	s.stop()
	live.over()
}
