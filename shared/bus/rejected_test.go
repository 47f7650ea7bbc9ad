package bus_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/bus"
	"runhook/shared/bus/internal/jet"
	"runhook/shared/bustest"
	"runhook/shared/run"
)

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
		if err := claim.StoreRejected(t.Context(), chunk, []byte(`{}`)); err != nil {
			t.Fatal(err)
		}
	}
	first := claim.Token
	state.Executions = 2
	if err := claim.Again(t.Context(), state); err != nil {
		t.Fatal(err)
	}
	second := claim.Token
	if err := claim.StoreRejected(t.Context(), 1, []byte(`{}`)); err != nil {
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
