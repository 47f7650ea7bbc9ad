package bus_test

import (
	"encoding/base64"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"runhook/shared/bus"
	"runhook/shared/bus/internal/jet"
	"runhook/shared/bustest"
	"runhook/shared/run"
)

// A chunk in whose place something else is, whatever it is, is named once, in the log and in the metric.
func TestForeignRejectedRowsAreNamed(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	log, metrics := &journal{}, prometheus.NewRegistry()
	reader, err := bus.Connect(t.Context(), bus.Config{URLs: store.Broker.URL(), Log: zerolog.New(log), Metrics: metrics})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(reader.Close)
	if err := reader.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	request := bustest.Applied(t, store.Bus)
	n := bustest.Submit(t, store.Bus, request)
	claim, err := store.Work.Claim(t.Context(), request.Task, n, run.Claim{Owner: "me", Executions: 1})
	if err != nil {
		t.Fatal(err)
	}
	chunk, err := run.RejectedChunk{Columns: []string{"ID"}, Rows: []run.RejectedRow{{Row: 1, Cells: []string{"1"}}}}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	var set run.RejectedSet
	for number := 1; number <= 5; number++ {
		if err := claim.StoreRejected(t.Context(), number, chunk, time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		set = set.With(claim.Token, number, 1, 1)
	}
	doc := run.QueuedDocument(request, n)
	doc.End(run.Success, "ended", time.Now())
	if err := claim.Finish(t.Context(), doc, set); err != nil {
		t.Fatal(err)
	}
	name := func(number int) string { return jet.RejectedName(request.Task, n, claim.Token, number) }
	described := func(number int) string { return "$O.rows.M." + base64.URLEncoding.EncodeToString([]byte(name(number))) }
	publish(t, store, described(1), "no JSON")
	for number, data := range map[int]string{2: "no JSON", 3: "{}"} {
		if _, err := store.Jet().Rows.PutBytes(t.Context(), name(number), []byte(data)); err != nil {
			t.Fatal(err)
		}
	}
	info, err := store.Jet().Rows.GetInfo(t.Context(), name(4))
	if err != nil {
		t.Fatal(err)
	}
	publish(t, store, "$O.rows.C."+info.NUID, "more")

	rows, err := reader.Runs.RejectedRows(t.Context(), request.Task, n)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		for number := 1; number <= 4; number++ {
			if _, err := rows.Chunk(t.Context(), number); err == nil || errors.Is(err, run.ErrUnavailable) {
				t.Errorf("chunk %d: %v", number, err)
			}
			if log.count(`"stream":"OBJ_rows","subject":"`+described(number)+`"`) != 1 {
				t.Errorf("chunk %d is not named once:\n%s", number, &log.text)
			}
		}
	}
	if _, err := rows.Chunk(t.Context(), 5); err != nil {
		t.Error(err)
	}
	families, err := metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == "runhook_messages_passed_over_total" && family.GetMetric()[0].GetCounter().GetValue() != 4 {
			t.Errorf("%v", family)
		}
	}
}

// Of an attempt's chunks those go that are not named by its own token, whichever are gone already.
func TestDropRejected(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	request := bustest.Applied(t, store.Bus)
	n := bustest.Submit(t, store.Bus, request)
	state := run.Claim{Owner: "first", Executions: 1, StartedOn: time.Now()}
	claim, err := store.Work.Claim(t.Context(), request.Task, n, state)
	if err != nil {
		t.Fatal(err)
	}
	for _, chunk := range []int{2, 3, 4, 5, 6} { // 1 has gone before
		if err := claim.StoreRejected(t.Context(), chunk, []byte(`{}`), time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	first := claim.Token
	state.Executions = 2
	if err := claim.Again(t.Context(), state); err != nil {
		t.Fatal(err)
	}
	second := claim.Token
	if err := claim.StoreRejected(t.Context(), 1, []byte(`{}`), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	keep := run.RejectedSet{{Token: first, From: 4, To: 4}, {Token: second, From: 1, To: 3}}
	if err := claim.DropRejected(t.Context(), first, keep); err != nil {
		t.Fatal(err)
	}
	left := func(token uint64) (chunks []int) {
		t.Helper()
		for chunk := 1; chunk <= 6; chunk++ {
			_, err := store.Jet().Rows.GetInfo(t.Context(), jet.RejectedName(request.Task, n, token, chunk))
			if err == nil {
				chunks = append(chunks, chunk)
			} else if !errors.Is(err, jetstream.ErrObjectNotFound) {
				t.Fatal(err)
			}
		}
		return chunks
	}
	if chunks := left(first); !slices.Equal(chunks, []int{4}) {
		t.Errorf("of the first attempt %v are left", chunks)
	}
	if chunks := left(second); !slices.Equal(chunks, []int{1}) {
		t.Errorf("of the second attempt %v are left", chunks)
	}
}
