package jet

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/run"
)

// On a cluster, a server that is cut off from the others may act as leader of its streams for up to
// 20 s after the others have elected a new one, and its answers may be long out of date. A leader that
// heard from enough of the others a moment ago is the only one, because nobody stands for election before
// it has missed its leader for electionAfter.
const (
	electionAfter = 4 * time.Second // the least election timeout of nats-server
	// vouchMargin is for clocks that run at different speeds and for answers that were on their way.
	vouchMargin = 1500 * time.Millisecond
	// vouchWait bounds the question: an answer that took long tells of a time long past.
	vouchWait = 500 * time.Millisecond
)

// voucher remembers until when the leader of a stream is known to be the only one. A connection to
// another server may lead to another leader, so it is good for one server.
type voucher struct {
	mu     sync.Mutex
	server string
	until  time.Time
	// refused is when it was last found that nobody can vouch, and why.
	refused time.Time
	why     error
}

// Vouch returns run.ErrUnavailable unless what was read from the stream's leader just now is up to date.
// On a single server it always is.
func (s *Stream) Vouch(ctx context.Context) error {
	if !s.store.Replicated {
		return nil
	}
	v, began := &s.voucher, time.Now()
	v.mu.Lock()
	defer v.mu.Unlock()
	server := s.store.NC.ConnectedServerId()
	if server != "" && server == v.server && time.Now().Before(v.until) {
		return nil
	}
	if v.refused.After(began) { // while this call waited for its turn
		return v.why
	}
	limited, cancel := context.WithTimeout(ctx, vouchWait)
	defer cancel()
	asked := time.Now()
	info, err := s.Info(limited)
	if err != nil {
		err = fmt.Errorf("%w: ask the leader of %s whether it is one: %w", run.ErrUnavailable, s.name, err)
	} else {
		heard, ok := lastHeard(info.Cluster)
		v.server, v.until = server, asked.Add(electionAfter-vouchMargin-heard)
		if ok && time.Now().Before(v.until) {
			return nil
		}
		err = fmt.Errorf("%w: the leader of %s has lost touch with the other servers", run.ErrUnavailable, s.name)
	}
	v.until, v.refused, v.why = time.Time{}, time.Now(), err
	return err
}

// lastHeard is how long ago the leader had last heard from enough other servers to make a majority
// with itself; ok is false when it never has.
func lastHeard(cluster *jetstream.ClusterInfo) (ago time.Duration, ok bool) {
	if cluster == nil {
		return 0, false
	}
	var heard []time.Duration
	for _, peer := range cluster.Replicas {
		if peer.Active > 0 { // 0 is never
			heard = append(heard, peer.Active)
		}
	}
	slices.Sort(heard)
	needed := (len(cluster.Replicas) + 1) / 2 // besides the leader itself
	if needed == 0 || len(heard) < needed {
		return 0, needed == 0
	}
	return heard[needed-1], true
}
