//go:build chaos

package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"runhook/shared/run"
	"runhook/shared/task"
)

// callers are the clients: they POST and poll, and hold every answer against what is promised.
type callers struct {
	ledger *ledger
	// posts and polls are the addresses of the services, any of which a proxy in front would choose.
	posts, polls []string
	http         *http.Client
	batches      atomic.Int64
	all          sync.WaitGroup
	// stopped is closed when no more runs are started.
	stopped context.Context
	// gone is closed when the polling ends.
	gone context.Context
	// token tells the file of the admin token.
	token func() string
}

func newCallers(l *ledger, posts, polls []string, stopped, gone context.Context) *callers {
	return &callers{
		ledger: l, posts: posts, polls: polls, stopped: stopped, gone: gone,
		http: &http.Client{
			Timeout: 20 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			Transport: &http.Transport{MaxIdleConnsPerHost: 64, IdleConnTimeout: 5 * time.Second},
		},
	}
}

// begin starts the clients of a task.
func (c *callers) begin(w *work) {
	c.all.Go(func() {
		down := &outage{ledger: c.ledger, who: "POST"}
		for c.pause(c.stopped, w.every) {
			if c.ledger.takes(w) {
				c.post(w, down)
			}
		}
	})
}

// pause waits about so long, and reports whether ctx still lasts.
func (c *callers) pause(ctx context.Context, about time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(about/2 + rand.N(about)):
		return true
	}
}

// linger waits about so long before one looks again at what should not change, and once nothing breaks any more a tenth
// of that. It reports whether the polling goes on.
func (c *callers) linger(about time.Duration) bool {
	if c.stopped.Err() != nil {
		about /= 10
	}
	return c.pause(c.gone, about)
}

// post starts one run: a third with a key, repeated until it is accepted; a third without, given up
// when no answer comes; and a third that nobody polls.
func (c *callers) post(w *work, down *outage) {
	c.ledger.posts(1)
	defer c.ledger.posts(-1)
	n := c.batches.Add(1)
	e := &entry{work: w, batch: "b" + strconv.FormatInt(n, 10), posted: time.Now()}
	polled, path := true, "/task/executepolling/"
	switch n % 3 {
	case 0:
		e.key = "key-" + e.batch
	case 1:
		polled, path = false, "/task/execute/"
	}
	for first := true; ; first = false {
		began := time.Now()
		number, polling, err := c.send(e, path)
		switch {
		case err == nil:
			down.over()
			e.number, e.path = number, polling
			c.ledger.accepted(e)
			if e.key != "" && !first {
				c.ledger.count("accepted after a repeat")
			}
			if e.key != "" && rand.N(4) == 0 { // the same POST again is the same run
				switch again, _, err := c.send(e, path); {
				case err == nil && again != number:
					c.ledger.wrong(number, "the key %s gave run %d at first and run %d later", e.key, number, again)
				case errors.Is(err, errDisabled), errors.Is(err, errRefused):
					c.ledger.wrong(number, "the key %s gave run %d at first, and later: %v", e.key, number, err)
				}
			}
			if polled {
				c.all.Go(func() { c.poll(e) })
			}
			if n%canceledOf == 0 {
				c.all.Go(func() { c.cancel(e) })
			}
			return
		case errors.Is(err, errDisabled) && first: // one whose answer was lost may be stored, and is repeated
			down.over()
			c.ledger.count("POST 409: the task is disabled")
			return
		case errors.Is(err, errRefused): // nothing is stored under the key either, or that would be the answer
			down.over()
			return
		case e.key == "":
			down.failed(began)
			c.ledger.mu.Lock()
			c.ledger.lost[e.batch] = w
			c.ledger.mu.Unlock()
			return
		}
		down.failed(began)
		if !c.pause(c.gone, 200*time.Millisecond) {
			c.ledger.wrong(0, "a POST with the key %s was never accepted: %v", e.key, err)
			return
		}
	}
}

// send is one POST. An error says that it was not accepted, or that it is not known.
func (c *callers) send(e *entry, path string) (run.Number, string, error) {
	body, err := json.Marshal(map[string]any{"QueryParameters": map[string]string{"Batch": e.batch}})
	if err != nil {
		return 0, "", err
	}
	request, err := http.NewRequest(http.MethodPost, c.posts[rand.N(len(c.posts))]+path+string(e.work.id), bytes.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	request.Header.Set("Content-Type", "application/json")
	if e.key != "" {
		request.Header.Set("Idempotency-Key", e.key)
	}
	refusable := c.ledger.isDisabled(e.work)
	answer, err := c.http.Do(request)
	if err != nil {
		c.ledger.count("POST without an answer")
		return 0, "", err
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(answer.Body)
	if err != nil {
		c.ledger.count("POST without an answer")
		return 0, "", err
	}
	switch {
	case answer.StatusCode == http.StatusServiceUnavailable:
		c.ledger.count("POST 503")
		if bytes.Contains(data, []byte(`"title":"The store is full"`)) {
			c.ledger.count(storeFull)
		}
		if after, err := strconv.Atoi(answer.Header.Get("Retry-After")); err != nil || after < 1 {
			c.ledger.wrong(0, "a POST's 503 has the Retry-After %q", answer.Header.Get("Retry-After"))
		}
		return 0, "", fmt.Errorf("503 %s", data)
	case answer.StatusCode == http.StatusConflict && (refusable || c.ledger.isDisabled(e.work)):
		return 0, "", fmt.Errorf("%w: %s", errDisabled, data)
	case answer.StatusCode == http.StatusConflict && e.work.overlap == task.RejectOverlap && bytes.Contains(data, []byte(":run-open")):
		c.ledger.count("POST 409: a run is open")
		return 0, "", fmt.Errorf("%w: %s", errRefused, data)
	case answer.StatusCode == http.StatusConflict && e.work.fails && bytes.Contains(data, []byte(":task-held")):
		c.ledger.count("POST 409: the task is held")
		return 0, "", fmt.Errorf("%w: %s", errRefused, data)
	case answer.StatusCode/100 != 2:
		c.ledger.wrong(0, "a POST of %s was answered %d %s", e.batch, answer.StatusCode, data)
		return 0, "", fmt.Errorf("%d", answer.StatusCode)
	}
	doc, err := run.DecodeDocument(data)
	if err != nil || doc.ImportID == 0 {
		c.ledger.wrong(0, "a POST of %s was answered %d %s", e.batch, answer.StatusCode, data)
		return 0, "", fmt.Errorf("no run in the answer")
	}
	polling, err := url.Parse(doc.PollingURL)
	if err != nil {
		return 0, "", err
	}
	if location := answer.Header.Get("Location"); strings.Contains(path, "polling") && location != doc.PollingURL {
		c.ledger.wrong(doc.ImportID, "Location is %q and PollingUrl %q", location, doc.PollingURL)
	}
	cancel, err := url.Parse(doc.CancelURL)
	if err != nil || cancel.RawQuery == "" {
		c.ledger.wrong(doc.ImportID, "CancelUrl is %q", doc.CancelURL)
	} else {
		e.cancel = cancel.RequestURI()
	}
	return doc.ImportID, polling.Path, nil
}

// errDisabled: the POST was refused because its task is disabled.
var errDisabled = errors.New("the task is disabled")

// errRefused: the POST was refused because a run of its task is open, or because the task is held.
var errRefused = errors.New("the POST is refused")

// claimOnly is the message of a document that is made of a claim, without a live document.
const claimOnly = "Running"

// isClaimOnly reports whether a document may be made of a claim alone. Where a connection of its task is paused, or no
// runner is up, its message says that the run waits for it.
func isClaimOnly(doc run.Document) bool {
	return doc.Message == claimOnly || doc.Waiting != nil && (doc.Waiting.Kind == run.ForConnection || doc.Waiting.Kind == run.ForRunner)
}

// unknownState is in the message of a document that is made without the store.
const unknownState = "cannot be reached"

var ranks = map[run.Phase]int{run.Queued: 1, run.InProgress: 2, run.Done: 3}

// poll follows a run to its end, and looks twice more afterwards.
func (c *callers) poll(e *entry) {
	down := &outage{ledger: c.ledger, who: "poll"}
	var seen run.Document
	every := time.Second
	if e.work.name == "nothing" {
		every = 500 * time.Millisecond
	}
	for later := 0; later < 3; {
		if later == 0 && !c.pause(c.gone, every) || later > 0 && !c.linger(3*time.Second) {
			return
		}
		began := time.Now()
		status, header, body, err := c.look(e)
		switch {
		case err != nil:
			down.failed(began)
			c.ledger.count("poll without an answer")
			c.ledger.say(e, "poll: %v", err)
			continue
		case status == http.StatusServiceUnavailable && header.Get("Retry-After") != "":
			down.failed(began)
			c.ledger.count("poll 503")
			c.ledger.say(e, "poll: 503")
			continue
		case status != http.StatusOK && status != http.StatusAccepted:
			c.ledger.say(e, "poll: %d %s", status, body)
			c.ledger.wrong(e.number, "a poll was answered %d %s", status, body)
			return
		}
		doc, err := run.DecodeDocument(body)
		if err != nil || doc.ImportID != e.number || doc.ExecuteID != e.work.id {
			c.ledger.wrong(e.number, "a poll was answered %s (%v)", body, err)
			return
		}
		c.ledger.say(e, "poll: %d %s %v%% %d rows, execution %d, %s", status, doc.Status, doc.PercentComplete, doc.RowsRetrieved, doc.ExecutionCount, doc.Message)
		if status == http.StatusAccepted && (strings.Contains(doc.Message, unknownState) || header.Get("Warning") != "") {
			down.failed(began)
			c.ledger.count("poll answered from memory")
			continue
		}
		down.over()
		if (status == http.StatusOK) != (doc.Status == run.Done) || status == http.StatusAccepted && header.Get("Retry-After") == "" {
			c.ledger.wrong(e.number, "a poll was answered %d with Retry-After %q and %s", status, header.Get("Retry-After"), body)
		}
		if isClaimOnly(doc) && doc.ExecutionCount == seen.ExecutionCount && doc.RowsRetrieved < seen.RowsRetrieved {
			// The live document is lost with the server, be it between two polls, and the claim has the
			// counts of its checkpoint.
			c.ledger.count("poll back at the checkpoint")
			seen.RowsRetrieved = doc.RowsRetrieved
		}
		if isClaimOnly(seen) && doc.ExecutionCount == seen.ExecutionCount && doc.RowsRetrieved < seen.RowsRetrieved && strings.Contains(e.work.file, "action: replace") {
			// The claim had the counts of the attempt before, and this one begins anew.
			c.ledger.count("poll back at the beginning")
			seen.RowsRetrieved, seen.PercentComplete = doc.RowsRetrieved, doc.PercentComplete
		}
		// Who takes the run then knows of no attempt before.
		if doc.ExecutionCount <= seen.ExecutionCount && backwards(seen, doc) != "" && c.ledger.isOverwritten(e) {
			c.ledger.count("poll back behind a foreign claim")
			seen = run.Document{Status: seen.Status}
		}
		if what := backwards(seen, doc); what != "" {
			c.ledger.wrong(e.number, "a poll went back: %s", what)
		}
		seen = doc
		if doc.Status == run.Done {
			if e.final != nil && !bytes.Equal(e.final, body) {
				c.ledger.wrong(e.number, "the final document changed from\n%s\nto\n%s", e.final, body)
			}
			c.ledger.polled(e, body)
			later++
		}
	}
	if rand.N(erasedOf) == 0 {
		c.erase(e)
	}
}

// look is one poll; one in five waits for the end.
func (c *callers) look(e *entry) (int, http.Header, []byte, error) {
	request, err := http.NewRequest(http.MethodGet, c.polls[rand.N(len(c.polls))]+e.path, nil)
	if err != nil {
		return 0, nil, nil, err
	}
	if rand.N(5) == 0 {
		request.Header.Set("Prefer", "wait=5")
	}
	answer, err := c.http.Do(request)
	if err != nil {
		return 0, nil, nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	return answer.StatusCode, answer.Header, body, err
}

// backwards says in what one document of a run stands behind an earlier one; empty for nothing.
func backwards(was, now run.Document) string {
	switch {
	case ranks[now.Status] < ranks[was.Status]:
		return fmt.Sprintf("from %s to %s", was.Status, now.Status)
	case now.ExecutionCount < was.ExecutionCount:
		return fmt.Sprintf("from execution %d to %d", was.ExecutionCount, now.ExecutionCount)
	case now.PercentComplete < was.PercentComplete && now.Status != run.Done:
		return fmt.Sprintf("from %v%% to %v%%", was.PercentComplete, now.PercentComplete)
	case now.ExecutionCount == was.ExecutionCount && now.RowsRetrieved < was.RowsRetrieved:
		return fmt.Sprintf("from %d to %d rows in execution %d", was.RowsRetrieved, now.RowsRetrieved, now.ExecutionCount)
	}
	return ""
}
