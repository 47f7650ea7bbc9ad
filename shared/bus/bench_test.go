package bus_test

import (
	"sync"
	"testing"

	"runhook/shared/bus"
	"runhook/shared/bustest"
)

// Requests that are stored one after the other.
func BenchmarkSubmit(b *testing.B) {
	store := bustest.New(b, bus.Topology{})
	request := applied(b, store)
	b.ReportAllocs()
	for b.Loop() {
		submit(b, store.Bus, request)
	}
}

// Requests that many callers store.
func BenchmarkSubmitTogether(b *testing.B) {
	store := bustest.New(b, bus.Topology{})
	request := applied(b, store)
	b.ReportAllocs()
	b.ResetTimer()
	var submitting sync.WaitGroup
	for c := range 64 {
		submitting.Go(func() {
			for i := c; i < b.N; i += 64 {
				submit(b, store.Bus, request)
			}
		})
	}
	submitting.Wait()
}
