//go:build chaos

package chaos

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"runhook/shared/run"
)

// feed is a web service that takes rows. No fence reaches it, so rows may arrive again after an
// interruption; it counts how often each did.
type feed struct {
	mu   sync.Mutex
	rows map[string]map[string]int // by batch and id
}

// newFeed starts the service, until the end of the test, and returns where it is.
func newFeed(t *testing.T) (f *feed, url string) {
	f = &feed{rows: map[string]map[string]int{}}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	return f, server.URL
}

// ServeHTTP takes the rows of a request.
func (f *feed) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var rows []struct{ Batch, ID string }
	if err := json.NewDecoder(r.Body).Decode(&rows); err != nil { // cut off with its runner
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, row := range rows {
		if f.rows[row.Batch] == nil {
			f.rows[row.Batch] = map[string]int{}
		}
		f.rows[row.Batch][row.ID]++
	}
}

// written counts the rows of a batch, those that arrived again, and how often one row did at most.
func (f *feed) written(batch string) (rows, doubled int64, most int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, times := range f.rows[batch] {
		rows += int64(times)
		doubled += int64(times - 1)
		most = max(most, times)
	}
	return rows, doubled, most
}

// compareFeed holds the rows that arrived against what the documentation promises: each at least once,
// and again only by another execution; of one that was canceled or given up those that its document counts. How many
// there were is not known where chaos has overwritten the claim.
func (a *account) compareFeed(w *work, runs map[string]run.Number) tableAccount {
	account := tableAccount{name: w.name, runs: len(runs)}
	for batch, n := range runs {
		doc := a.stored.finals[n]
		rows, doubled, most := a.house.feed.written(batch)
		least := w.rows
		if doc.Outcome() == run.Canceled || a.wasGivenUp(&doc) {
			least = doc.RowsInserted
		}
		account.want += least
		account.written += rows
		account.doubled += doubled
		account.missing += max(0, least-(rows-doubled))
		if rows-doubled < least || rows-doubled > w.rows || most > doc.ExecutionCount && !a.ledger.isOverwritten(a.ledger.runs[n]) || doc.RowsInserted != least {
			a.ledger.wrong(n, "the web service has %d of %d rows, one of them %d times in %d executions; the document counts %d",
				rows-doubled, w.rows, most, doc.ExecutionCount, doc.RowsInserted)
		}
	}
	return account
}
