//go:build chaos

package chaos

import (
	"io"
	"math/rand/v2"
	"net/http"
	"time"
)

// canceledOf is of how many accepted runs one is canceled.
const canceledOf = 4

// cancel cancels a run at its CancelUrl some time after its POST, through any of the services, until one has answered:
// a cancel that was accepted, and whose answer was lost, is repeated.
func (c *callers) cancel(e *entry) {
	if !c.pause(c.gone, rand.N(3*time.Second)) {
		return
	}
	c.ledger.cancels(e)
	for {
		request, err := http.NewRequest(http.MethodPost, c.polls[rand.N(len(c.polls))]+e.cancel+"&why=chaos", nil)
		if err != nil {
			c.ledger.wrong(e.number, "%v", err)
			return
		}
		status, body := 0, []byte(nil)
		answer, err := c.http.Do(request)
		if err == nil {
			status = answer.StatusCode
			body, err = io.ReadAll(answer.Body)
			_ = answer.Body.Close()
		}
		c.ledger.say(e, "cancel: %d %v %s", status, err, body)
		switch {
		case err != nil:
			c.ledger.count("cancel without an answer")
		case status == http.StatusAccepted:
			c.ledger.count("cancel 202")
			return
		case status == http.StatusConflict:
			c.ledger.count("cancel 409: the run has ended")
			return
		case (status == http.StatusGone || status == http.StatusNotFound) && c.ledger.mayBeErased(e.number):
			c.ledger.count("cancel 410: the run is erased")
			return
		case status == http.StatusForbidden:
			c.ledger.count(cancelForeign)
			return
		case status == http.StatusServiceUnavailable:
			c.ledger.count("cancel 503")
		default:
			c.ledger.wrong(e.number, "a cancel was answered %d %s", status, body)
			return
		}
		if !c.pause(c.gone, 500*time.Millisecond) {
			return
		}
	}
}

// cancelForeign counts links whose store is another since.
const cancelForeign = "cancel 403: the link is of the store before a restore"
