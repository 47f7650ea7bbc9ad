package status_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"runhook/services/status"
	"runhook/services/status/sweep"
	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/proctest"
	"runhook/shared/run"
)

// erasing opens a service that erases, with the sweeper that does it if works is true.
func erasing(t *testing.T, store *bustest.Store, works bool) *site {
	t.Helper()
	return openOn(t, store, func(o *status.Options) {
		o.TrustFinal = time.Hour
		o.Erasures, o.Audit = o.Unheld.Erasures(), o.Unheld.Audit()
		if !works {
			return
		}
		sweeper := sweep.New(sweep.Options{Unheld: o.Unheld, Tasks: o.Tasks, Cancels: o.Unheld.Cancels(), Erasures: o.Erasures, Log: zerolog.Nop()})
		ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
		var ran sync.WaitGroup
		ran.Go(func() { sweeper.Run(ctx) })
		t.Cleanup(func() { cancel(); ran.Wait() })
	})
}

// receipts are those of an answer, with the schema that clients are told.
func (a answer) receipts(t *testing.T) (all []run.Erasure) {
	t.Helper()
	conforms(t, "Receipts", a.body)
	var list struct{ Receipts []run.Erasure }
	if err := json.Unmarshal(a.body, &list); err != nil {
		t.Fatalf("%v: %s", err, a.body)
	}
	return list.Receipts
}

// A run that is deleted through one status service is gone for another one that has just answered with its result, also in
// its list of runs, and while the store cannot be reached. Its receipt can be read from both.
func TestADeletedRunIsGoneForOtherServices(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	one, other := erasing(t, store, true), erasing(t, store, false)
	def := one.apply("Members")
	other.awaitTask(def.ID, func(bus.Task) bool { return true })
	ended := one.submit(def).begin(10).end(run.Success, "done")
	stays := one.submit(def).begin(10).end(run.Success, "done")
	open := one.submit(def)
	for _, s := range []*site{one, other} {
		s.get(ended.path()).expect(t, http.StatusOK)
		s.get(stays.path()).expect(t, http.StatusOK)
	}
	listed := func(s *site) string { return string(s.get("/api/runs").expect(t, http.StatusOK).body) }
	if !strings.Contains(listed(other), `"ImportId":1,`) {
		t.Fatalf("the list: %s", listed(other))
	}
	path := "/api/runs/" + ended.number.String()
	receipts := one.do(http.MethodDelete, path, nil).expect(t, http.StatusOK).receipts(t)
	if len(receipts) != 1 || receipts[0].DoneOn == nil || receipts[0].Removed.Runs != 1 || receipts[0].By == "" || receipts[0].Holder != "" {
		t.Errorf("%+v", receipts)
	}
	one.get(ended.path()).problem(t, http.StatusGone)
	proctest.Until(t, func() error {
		if got := other.get(ended.path()); got.StatusCode != http.StatusGone {
			return fmt.Errorf("the other service: %d %s", got.StatusCode, got.body)
		}
		if list := listed(other); strings.Contains(list, `"ImportId":1,`) || !strings.Contains(list, `"ImportId":2,`) {
			return errors.New(list)
		}
		return nil
	})
	other.get(stays.path()).expect(t, http.StatusOK)
	for _, s := range []*site{one, other} {
		for method, path := range map[string]string{http.MethodDelete: path, http.MethodGet: path} {
			problem := s.do(method, path, nil).problem(t, http.StatusGone)
			if problem["type"] != "urn:runhook:problem:run-deleted" || !strings.Contains(fmt.Sprint(problem["detail"]), "Run "+ended.number.String()+" was deleted on ") {
				t.Errorf("%s %s of a run that was deleted: %v", method, path, problem)
			}
		}
		for _, beside := range []string{"/request", "/rejected"} {
			s.get(path+beside).problem(t, http.StatusGone)
		}
		s.get("/api/runs/999").problem(t, http.StatusNotFound)
	}
	name := fmt.Sprintf("%s.%s-%[2]s", def.ID, ended.number)
	for _, s := range []*site{one, other} {
		got := s.get("/api/receipts/"+name).expect(t, http.StatusOK)
		conforms(t, "Receipt", got.body)
	}
	one.get("/api/receipts/nothing").problem(t, http.StatusNotFound)
	conforms(t, "AuditLines", one.get("/api/audit?what=runs").expect(t, http.StatusOK).body)

	problem := one.do(http.MethodDelete, "/api/runs/"+open.number.String(), nil).problem(t, http.StatusConflict)
	if problem["type"] != "urn:runhook:problem:run-open" || !strings.Contains(fmt.Sprint(problem["detail"]), "runhook runs cancel "+open.number.String()) {
		t.Errorf("an open run: %v", problem)
	}
	for query, status := range map[string]int{
		"":                             http.StatusBadRequest,
		"?task=" + string(def.ID):      http.StatusBadRequest,
		"?before=2026-01-01T00:00:00Z": http.StatusBadRequest,
		"?task=" + string(def.ID) + "&before=yesterday":                                                    http.StatusBadRequest,
		"?task=" + string(def.ID) + "&before=2999-01-01T00:00:00Z":                                         http.StatusBadRequest,
		"?task=00000000-0000-4000-8000-000000000000&before=2026-01-01T00:00:00Z":                           http.StatusBadRequest,
		"?task=" + string(def.ID) + "&before=" + time.Now().Add(-time.Hour).Format("2006-01-02T15:04:05Z"): http.StatusOK,
	} {
		if got := one.do(http.MethodDelete, "/api/runs"+query, nil); got.StatusCode != status {
			t.Errorf("%s: %d %s", query, got.StatusCode, got.body)
		}
	}
	// The other service keeps nothing that it could tell while the store is away.
	store.Broker.Stop()
	if got := other.get(ended.path()); got.StatusCode == http.StatusOK {
		t.Errorf("without the store: %s", got.body)
	}
}
