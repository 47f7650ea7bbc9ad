package runner

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"runhook/shared/run"
	"runhook/shared/task"
)

// limit cancels the attempt when the run's time is over, with the failure as the cause. The time
// counts from the first start, whoever made it. A run whose time is over already fails at once. stop
// ends the watch.
func (a *attempt) limit(def *task.Definition, cancel context.CancelCauseFunc) (stop func(), err error) {
	if def.Timeout <= 0 {
		return func() {}, nil
	}
	over := func(doing string) error {
		return run.Failf("Stopped by the timeout of %s. What it was doing: %s. A task that needs longer says so in timeout", span(def.Timeout), doing)
	}
	left := time.Until(a.begun.StartedOn.Add(def.Timeout))
	if left <= 0 {
		return nil, over("Starting again after an interruption")
	}
	timer := time.AfterFunc(left, func() { cancel(over(a.document().Message)) })
	return func() { timer.Stop() }, nil
}

// span writes a length of time as task files do: 2h, 90s.
func span(d time.Duration) string {
	d = d.Round(time.Second)
	for _, unit := range []struct {
		of   time.Duration
		name string
	}{{time.Hour, "h"}, {time.Minute, "m"}} {
		if d >= unit.of && d%unit.of == 0 {
			return strconv.FormatInt(int64(d/unit.of), 10) + unit.name
		}
	}
	return fmt.Sprint(d)
}
