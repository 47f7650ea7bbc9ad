package bus_test

import (
	"errors"
	"testing"
	"time"

	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/run"
)

// Corrected rows are read as they were stored, and an erasure of the run that reads them, or of the one whose rows they
// are, removes them with the other rows of that run.
func TestCorrectedRows(t *testing.T) {
	t.Parallel()
	for _, erased := range []string{"the run that reads them", "the run whose rows they are"} {
		t.Run(erased, func(t *testing.T) {
			t.Parallel()
			store := bustest.New(t, bus.Topology{})
			request := bustest.Applied(t, store.Bus)
			failed := bustest.Submit(t, store.Bus, request)
			end(t, store.Bus, request, failed)
			c := run.Correction{Of: failed, Key: "abc123", Chunks: 2, Rows: 2}
			for chunk := 1; chunk <= c.Chunks; chunk++ {
				if err := store.Runs.StoreCorrection(t.Context(), request.Task, c, chunk, secretRows(t), time.Now().Add(time.Hour)); err != nil {
					t.Fatal(err)
				}
			}
			correcting := request
			correcting.Trigger, correcting.RepeatOf, correcting.Correction = run.Corrections, failed, &c
			n := bustest.Submit(t, store.Bus, correcting)
			kept, err := store.Runs.Request(t.Context(), request.Task, n)
			if err != nil || kept.Correction == nil || *kept.Correction != c {
				t.Fatalf("%+v %v", kept.Correction, err)
			}
			chunk, err := store.Work.Corrected(t.Context(), request.Task, *kept.Correction, 2)
			if err != nil || len(chunk.Rows) != 1 || chunk.Rows[0].Cells[0] != secret {
				t.Errorf("%+v %v", chunk, err)
			}
			if _, err := store.Work.Corrected(t.Context(), request.Task, c, 3); !errors.Is(err, run.ErrRowsGone) {
				t.Errorf("a chunk that there is not: %v", err)
			}
			end(t, store.Bus, correcting, n)
			awaitEvents(t, store.Bus, failed, n)

			view, _ := following(t, store.Bus)
			which := n
			if erased != "the run that reads them" {
				which = failed
			}
			if _, err := store.Unheld.AskErase(t.Context(), one(request, which)); err != nil {
				t.Fatal(err)
			}
			erasing(t, store.Bus, view, request.Task)
			for chunk := 1; chunk <= c.Chunks; chunk++ {
				if _, err := store.Work.Corrected(t.Context(), request.Task, c, chunk); !errors.Is(err, run.ErrRowsGone) {
					t.Errorf("chunk %d is there: %v", chunk, err)
				}
			}
			if files := holding(t, store.Dir); len(files) > 0 {
				t.Errorf("%v hold the secret", files)
			}
		})
	}
}

// A request with a correction that nobody can have stored is none.
func TestForeignCorrections(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	request := bustest.Applied(t, store.Bus)
	for _, c := range []run.Correction{{}, {Of: 1, Key: "../x", Chunks: 1, Rows: 1}, {Of: 1, Key: "a.b", Chunks: 1, Rows: 1}, {Of: 1, Key: "a", Chunks: 1 << 30, Rows: 1}, {Of: 1, Key: "a", Chunks: -1, Rows: 1}} {
		request.Correction = &c
		data, err := request.Encode()
		if err == nil {
			_, err = run.DecodeRequest(data, request.Task)
		}
		if err == nil {
			t.Errorf("%+v is taken", c)
		}
	}
}
