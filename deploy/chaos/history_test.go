//go:build chaos

package chaos

import (
	"time"

	"runhook/shared/client"
	"runhook/shared/run"
	"runhook/shared/tokenfile"
)

// compareHistory holds what each status service lists against what the store has: its index has followed through all
// that has happened, or was made again.
func (a *account) compareHistory() {
	tokens, err := tokenfile.Read(a.house.token)
	check(a.t, err)
	for _, url := range a.house.polls {
		c, err := client.New(url, tokens[0].Secret, "")
		check(a.t, err)
		for _, outcome := range []string{"success", "failed", "canceled"} {
			a.compareList(c, outcome)
		}
		c.Close()
	}
}

// compareList is compareHistory for the runs with an outcome.
func (a *account) compareList(c *client.Client, outcome string) {
	want := map[string]run.Outcome{"success": run.Success, "failed": run.Failed, "canceled": run.Canceled}[outcome]
	listed := map[run.Number]bool{}
	filter := client.Filter{Outcome: outcome}
	for limit := time.Now().Add(drainLimit); ; {
		list, err := c.Runs(a.t.Context(), filter, 500)
		if (err != nil || list.History != nil) && time.Now().Before(limit) {
			filter.Before, listed = 0, map[run.Number]bool{}
			time.Sleep(500 * time.Millisecond)
			continue
		}
		if err != nil || list.History != nil {
			a.ledger.wrong(0, "the history is not complete: %+v, %v", list.History, err)
			return
		}
		for _, l := range list.Runs {
			if listed[l.ImportID] {
				a.ledger.wrong(l.ImportID, "the run is listed twice")
			}
			listed[l.ImportID] = true
			if doc, ok := a.stored.finals[l.ImportID]; ok && (doc.Outcome() != want || doc.Message != l.Message || doc.ExecuteID != l.ExecuteID) {
				a.ledger.wrong(l.ImportID, "the history lists it as %s: %s", l.StatusDescription, l.Message)
			}
		}
		if filter.Before = list.Next; list.Next == 0 {
			break
		}
	}
	for n, doc := range a.stored.finals {
		if doc.Outcome() == want && !listed[n] {
			a.ledger.wrong(n, "the history lacks the run, which ended %s", outcome)
		}
	}
}
