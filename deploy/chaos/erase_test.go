//go:build chaos

package chaos

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"time"

	"runhook/shared/run"
)

// erasedOf is of how many runs that were polled to their end one is erased.
const erasedOf = 6

// erase has a run erased that has ended, through any of the services, until one says that it is gone, and looks whether it
// stays away.
func (c *callers) erase(e *entry) {
	c.ledger.posts(1) // a restore waits for it
	defer c.ledger.posts(-1)
	c.ledger.erases(e, false)
	for gone := false; !gone; {
		if !c.pause(c.gone, 300*time.Millisecond) {
			return
		}
		status, body, err := c.delete(e.number)
		c.ledger.say(e, "erase: %d %v %s", status, err, body)
		switch {
		case err != nil, status == http.StatusServiceUnavailable:
			c.ledger.count("erase without an answer, or 503")
		case status == http.StatusOK && bytes.Contains(body, []byte(`"DoneOn"`)), status == http.StatusNotFound, status == http.StatusGone:
			gone = true
		case status == http.StatusAccepted, status == http.StatusOK:
		default:
			c.ledger.wrong(e.number, "an erasure was answered %d %s", status, body)
			return
		}
	}
	c.ledger.erases(e, true)
	c.ledger.count("erased")
	for range 5 {
		if !c.linger(2 * time.Second) {
			return
		}
		status, _, body, err := c.look(e)
		c.ledger.say(e, "poll after the erasure: %d %v", status, err)
		away := status == http.StatusAccepted && strings.Contains(string(body), unknownState)
		if err == nil && status != http.StatusGone && status != http.StatusServiceUnavailable && !away {
			// Another service hears of it within a second, and a power cut may bring a message back for a while.
			c.ledger.count(erasedPoll)
		}
	}
}

// erasedPoll counts polls of runs that are gone.
const erasedPoll = "poll of an erased run that is not answered with 410"

// delete is one request to erase a run.
func (c *callers) delete(n run.Number) (status int, body []byte, err error) {
	token, err := os.ReadFile(c.token())
	if err != nil {
		return 0, nil, err
	}
	request, err := http.NewRequest(http.MethodDelete, c.polls[rand.N(len(c.polls))]+"/api/runs/"+n.String(), nil)
	if err != nil {
		return 0, nil, err
	}
	request.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	answer, err := c.http.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer answer.Body.Close()
	body, err = io.ReadAll(answer.Body)
	return answer.StatusCode, body, err
}

// erases notes that a run is about to be erased or, once a service has said so, that it is.
func (l *ledger) erases(e *entry, done bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e.erasing, e.erased = true, e.erased || done
}

// mayBeErased reports whether somebody has asked to erase a run, and isErased whether it is gone.
func (l *ledger) mayBeErased(n run.Number) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.runs[n]
	return e != nil && e.erasing
}

func (l *ledger) isErased(n run.Number) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.runs[n]
	return e != nil && e.erased
}

// erasedBatches are the batches of the runs that may be erased: what they have written stays.
func (l *ledger) erasedBatches() map[string]bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := map[string]bool{}
	for _, e := range l.runs {
		if e.erasing {
			all[e.batch] = true
		}
	}
	return all
}

// back are the erased runs of which the store has something.
func (a *account) back() (numbers []run.Number) {
	for n := range a.ledger.runs {
		if !a.ledger.isErased(n) {
			continue
		}
		_, asked := a.stored.requests[n]
		_, ended := a.stored.finals[n]
		if asked || ended || a.stored.events[n] > 0 {
			numbers = append(numbers, n)
		}
	}
	return numbers
}
