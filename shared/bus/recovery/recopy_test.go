package recovery_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"runhook/shared/bus"
	"runhook/shared/bus/recovery"
	"runhook/shared/bustest"
	"runhook/shared/proctest"
	"runhook/shared/run"
)

// An event that the server has lost is stored once more, with the same document; the others stay as
// they are, and so does everything where nothing is lost.
func TestLostEventIsCopiedAgain(t *testing.T) {
	t.Parallel()
	store := bustest.New(t, bus.Topology{})
	request := bustest.Applied(t, store.Bus)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	const runs = 5
	for range runs {
		n := bustest.Submit(t, store.Bus, request)
		claim, err := store.Work.Claim(ctx, request.Task, n, run.Claim{Owner: "me", Executions: 1})
		if err != nil {
			t.Fatal(err)
		}
		doc := run.QueuedDocument(request, n)
		doc.End(run.Success, "ended", time.Now())
		if err := claim.Finish(ctx, doc, nil); err != nil {
			t.Fatal(err)
		}
	}
	js := bustest.JetStream(t, store.Broker.URL())
	events := func() (first, last, count uint64) {
		stream, err := js.Stream(ctx, "EVENTS")
		if err != nil {
			t.Fatal(err)
		}
		state := stream.CachedInfo().State
		return state.FirstSeq, state.LastSeq, state.Msgs
	}
	proctest.Until(t, func() error {
		if _, _, count := events(); count != runs {
			return fmt.Errorf("%d events of %d runs", count, runs)
		}
		return nil
	})
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
	keeping.Go(func() { recovery.KeepEvents(ctx, store.Bus, recovered) })
	proctest.Until(t, func() error {
		if _, last, _ := events(); last != runs+1 {
			return fmt.Errorf("the lost event is not back: the last is at %d", last)
		}
		return nil
	})
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
