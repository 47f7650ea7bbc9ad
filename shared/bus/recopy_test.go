package bus_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/run"
)

// An event that the server has lost is stored once more, with the same document; the others stay as
// they are, and so does everything where nothing is lost.
func TestLostEventIsCopiedAgain(t *testing.T) {
	store := bustest.New(t, bus.Topology{})
	request := applied(t, store)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	const runs = 5
	for range runs {
		n := submit(t, store.Bus, request)
		claim, err := store.Claim(ctx, request.Task, n, run.Claim{Owner: "me", Executions: 1})
		if err != nil {
			t.Fatal(err)
		}
		doc := run.QueuedDocument(request, n)
		doc.End(run.Success, "ended", time.Now())
		if err := claim.Finish(ctx, doc, nil); err != nil {
			t.Fatal(err)
		}
	}
	js := subscriber(t, store)
	events := func() (first, last, count uint64) {
		stream, err := js.Stream(ctx, "EVENTS")
		if err != nil {
			t.Fatal(err)
		}
		state := stream.CachedInfo().State
		return state.FirstSeq, state.LastSeq, state.Msgs
	}
	eventually(t, "every run has its event", func() bool { _, _, count := events(); return count == runs })
	stream, err := js.Stream(ctx, "EVENTS")
	if err != nil {
		t.Fatal(err)
	}
	lost, err := stream.GetMsg(ctx, 2)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.DeleteMsg(ctx, 2); err != nil {
		t.Fatal(err)
	}

	recovered := make(chan struct{})
	var keeping sync.WaitGroup
	keeping.Go(func() { store.KeepEvents(ctx, recovered) })
	eventually(t, "the lost event is back", func() bool { _, last, _ := events(); return last == runs+1 })
	again, err := stream.GetMsg(ctx, runs+1)
	if err != nil {
		t.Fatal(err)
	}
	if string(again.Data) != string(lost.Data) || again.Header.Get("ce-id") != lost.Header.Get("ce-id") {
		t.Errorf("another event: %s\n%s", again.Data, lost.Data)
	}
	recovered <- struct{}{}
	recovered <- struct{}{} // taken once the look before it has ended
	cancel()
	keeping.Wait()
	ctx = t.Context()
	if _, last, count := events(); last != runs+1 || count != runs {
		t.Errorf("%d events, the last at %d", count, last)
	}
}
