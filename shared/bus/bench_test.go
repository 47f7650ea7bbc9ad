package bus_test

import (
	"strconv"
	"sync"
	"testing"

	"runhook/shared/bus"
	"runhook/shared/bustest"
)

// Requests that are stored one after the other.
func BenchmarkSubmit(b *testing.B) {
	store := bustest.New(b, bus.Topology{})
	request := bustest.Applied(b, store.Bus)
	b.ReportAllocs()
	for b.Loop() {
		bustest.Submit(b, store.Bus, request)
	}
}

// Requests that many callers store.
func BenchmarkSubmitTogether(b *testing.B) {
	store := bustest.New(b, bus.Topology{})
	request := bustest.Applied(b, store.Bus)
	b.ReportAllocs()
	b.ResetTimer()
	var submitting sync.WaitGroup
	for c := range 64 {
		submitting.Go(func() {
			for i := c; i < b.N; i += 64 {
				bustest.Submit(b, store.Bus, request)
			}
		})
	}
	submitting.Wait()
}

// Requests that callers store with a key of their own, and without one, alone and many at once; on disk at
// once and not.
func BenchmarkSubmitKeyed(b *testing.B) {
	for _, c := range []struct {
		name    string
		callers int
		synced  bool
		key     func(i int) string
	}{
		{"without a key", 1, false, func(int) string { return "" }},
		{"with a key", 1, false, strconv.Itoa},
		{"together without keys", 64, false, func(int) string { return "" }},
		{"together with keys", 64, false, strconv.Itoa},
		{"synced without a key", 1, true, func(int) string { return "" }},
		{"synced with a key", 1, true, strconv.Itoa},
		{"synced together without keys", 64, true, func(int) string { return "" }},
		{"synced together with keys", 64, true, strconv.Itoa},
	} {
		b.Run(c.name, func(b *testing.B) {
			store := bustest.New(b, bus.Topology{Synced: c.synced})
			request := bustest.Applied(b, store.Bus)
			b.ResetTimer()
			var submitting sync.WaitGroup
			for caller := range c.callers {
				submitting.Go(func() {
					for i := caller; i < b.N; i += c.callers {
						if _, err := store.Runs.Submit(b.Context(), request, c.key(i)); err != nil {
							b.Error(err)
						}
					}
				})
			}
			submitting.Wait()
		})
	}
}

// Requests that are pulled and acknowledged, as many at a time as free slots would allow.
func BenchmarkPull(b *testing.B) {
	for _, n := range []int{1, 8, 64} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			store := bustest.New(b, bus.Topology{})
			def := bustest.Definition(b, "Busy", 1000)
			if _, err := store.Tasks.Apply(b.Context(), def, false); err != nil {
				b.Fatal(err)
			}
			request := bustest.Applied(b, store.Bus)
			request.Task = def.ID
			for range b.N {
				bustest.Submit(b, store.Bus, request)
			}
			queue, err := store.Work.Queue(b.Context(), def.ID)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.ResetTimer()
			for left := b.N; left > 0; {
				if err := queue.Pull(b.Context(), min(n, left), func(d *bus.Delivery) { left--; d.Done() }); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
