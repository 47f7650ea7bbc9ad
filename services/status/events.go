package status

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/valyala/fasthttp"

	"runhook/shared/bus"
	"runhook/shared/task"
	"runhook/shared/web"
)

const eventsType = "text/event-stream"

// pace is how fast streams of events are. Tests have it otherwise.
type pace struct {
	// every is the shortest time between two events of a stream, but for the last one. Default 250 ms.
	every time.Duration
	// comment is how long a stream is silent, so that no proxy ends it. Default 15 s.
	comment time.Duration
	// slow is how long a client may leave unread what was sent to it; then its connection is cut. Default 10 s.
	slow time.Duration
}

func (p *pace) setDefaults() {
	p.every = cmp.Or(p.every, 250*time.Millisecond)
	p.comment = cmp.Or(p.comment, 15*time.Second)
	p.slow = cmp.Or(p.slow, 10*time.Second)
}

// askAgain is when the client of a stream that ends early is to ask again.
const askAgain = 10 * time.Second

// events is the body of an answer that follows a run: a stream of server-sent events. Each is the run's document, and
// its id the revision. It holds nothing but the next event, so whoever reads slowly misses what is between two of them,
// and holds up nobody.
type events struct {
	service *Service
	at      target
	conn    net.Conn
	// storedAs is the id under which the run is stored.
	storedAs task.ID
	// following is nil where the stream ends with its first event; wait lasts as long as it does.
	following *bus.Following
	wait      web.Wait

	// has is the revision that the client has, since sentOn.
	has    string
	sentOn time.Time
	// ready is what was not yet sent, and ended says that nothing comes after it.
	ready bytes.Buffer
	ended bool
}

// wantsEvents reports whether a poll asks for a stream of events, and not rather for JSON.
func wantsEvents(rc *fasthttp.RequestCtx) bool {
	return rc.IsGet() && prefers(rc.Request.Header.Peek(fasthttp.HeaderAccept), eventsType, "application/json")
}

// follow reads a run as look does, and goes on following it, unless too many wait already.
func (e *events) follow(ctx context.Context, rc *fasthttp.RequestCtx, _ target) (bus.Status, error) {
	s := e.service
	wait := s.options.Waits.Stay(ctx, rc)
	status, err := s.stored(ctx, e.at, func(id task.ID) (status bus.Status, err error) {
		if !wait.Waits() {
			return s.options.Runs.Lookup(context.WithoutCancel(ctx), id, e.at.number)
		}
		e.following, err = s.options.Runs.Follow(wait, id, e.at.number)
		if err == nil {
			status, _, err = e.following.Last()
		}
		e.storedAs = id
		return status, err
	})
	e.wait = wait
	if err != nil {
		_ = e.Close()
	}
	return status, err
}

// answer begins the stream with what is known of the run. Upon 204 browsers stop asking: the client has the final
// document. Where nothing follows although the run has not ended, it asks again after a while.
func (e *events) answer(rc *fasthttp.RequestCtx, seen *sighting) {
	rc.Response.Header.Set(fasthttp.HeaderCacheControl, "no-store")
	rc.Response.Header.Set("X-Accel-Buffering", "no")
	e.has = string(rc.Request.Header.Peek("Last-Event-ID"))
	if seen.final() {
		_ = e.Close()
		if e.has == seen.revision() {
			rc.SetStatusCode(fasthttp.StatusNoContent)
			return
		}
	}
	if e.ended = e.following == nil; e.ended && !seen.final() {
		fmt.Fprintf(&e.ready, "retry: %d\n", askAgain.Milliseconds())
	}
	if !e.add(seen) {
		e.ready.WriteString(":\n\n") // so that the head of the answer is sent
	}
	rc.SetContentType(eventsType)
	rc.SetBodyStream(e, -1)
}

// Read waits for the next event, and writes it. It ends with the run, with the server, when the client leaves, and with
// the store: the client asks again then, and hears of that.
func (e *events) Read(p []byte) (int, error) {
	if e.ready.Len() == 0 && !e.ended {
		e.next()
	}
	if e.ready.Len() == 0 {
		return 0, io.EOF
	}
	if err := e.conn.SetWriteDeadline(time.Now().Add(e.service.options.pace.slow)); err != nil {
		return 0, err
	}
	return e.ready.Read(p)
}

// next waits until there is something to send, or the stream ends.
func (e *events) next() {
	comment := time.NewTimer(e.service.options.pace.comment)
	defer comment.Stop()
	due := time.NewTimer(time.Until(e.sentOn.Add(e.service.options.pace.every)))
	defer due.Stop()
	// What a queued run waits for changes without a word of the store.
	again := time.NewTicker(waitsAgain)
	defer again.Stop()
	isDue := false
	for {
		status, changed, err := e.following.Last()
		if err == nil && (isDue || status.Final) {
			var seen *sighting
			if seen, err = e.see(status); err == nil && (e.add(seen) || e.ended) {
				return
			}
		}
		if err != nil {
			e.ended = true
			return
		}
		var look <-chan time.Time
		if waitsUnheld(&status.Document) {
			look = again.C
		}
		select {
		case <-e.wait.Done():
			e.ended = true
			return
		case <-comment.C:
			e.ready.WriteString(":\n\n")
			return
		case <-changed:
		case <-due.C:
			isDue = true
		case <-look:
		}
	}
}

// waitsAgain is how often it is looked what a queued run waits for whose changes are followed.
const waitsAgain = 800 * time.Millisecond

// see is what a client is to see of what the store says.
func (e *events) see(status bus.Status) (*sighting, error) {
	if seen := e.service.memory.recall(e.at.key); seen != nil && seen.madeFrom(status.Bytes) {
		return seen, nil // somebody else who follows the run has made it
	}
	shown, err := e.service.shown(e.wait, e.at, e.storedAs, status)
	if err != nil {
		return nil, err
	}
	seen, err := e.service.memory.note(e.at.key, shown)
	if err != nil {
		return nil, err
	}
	return e.service.memory.keep(e.at.key, seen, status.Bytes), nil
}

// add has an event sent, unless the client has it.
func (e *events) add(seen *sighting) bool {
	e.ended = e.ended || seen.final()
	revision := seen.revision()
	if revision == e.has {
		return false
	}
	e.has, e.sentOn = revision, time.Now()
	e.ready.WriteString("id: " + revision)
	for line := range bytes.FieldsFuncSeq(seen.body, func(letter rune) bool { return letter == '\n' || letter == '\r' }) {
		e.ready.WriteString("\ndata: ")
		e.ready.Write(line)
	}
	e.ready.WriteString("\n\n")
	return true
}

// Close ends the following. It is called at the end of the answer.
func (e *events) Close() error {
	if e.following != nil {
		e.following.Stop()
	}
	e.wait.End()
	e.following, e.wait = nil, web.Wait{}
	return nil
}
