package ingress

import (
	"fmt"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"runhook/shared/bus"
	"runhook/shared/run"
)

// runOpen refuses a POST because of the task's overlap.
func runOpen(open *bus.OpenRuns) error {
	text := open.Error()
	return refusal(fasthttp.StatusConflict, "run-open", "A run of the task has not ended",
		strings.ToUpper(text[:1])+text[1:]+", and the task takes no other one meanwhile (overlap: reject), so nothing was started. POST again when it has ended.")
}

// taskHeld refuses a POST to a task that too many failed runs hold.
func taskHeld(held run.Hold) error {
	return refusal(fasthttp.StatusConflict, "task-held", "The task is held",
		"The task is held since "+held.On.UTC().Format("2006-01-02 15:04:05 UTC")+", because "+held.String()+". Nothing was started. Correct what made them fail, then let the task go (runhook task enable).")
}

// fullAgain is after how long a caller is asked to POST again to a task whose queue is full.
const fullAgain = 30 * time.Second

// queueFull refuses a POST because of the task's max_queued.
func queueFull(most int) error {
	p := refusal(fasthttp.StatusTooManyRequests, "queue-full", "Too many runs of the task wait",
		fmt.Sprintf("%d runs of this task wait, as many as may (max_queued), so nothing was started. POST again later, or have the task's runs looked at: they may wait for one that takes long.", most))
	p.RetryAfter = fullAgain
	return p
}
