package sweep

import (
	"context"
	"time"
)

// cancelsEvery is how often the requests to cancel runs are looked at: what asks for one has ended the run already if
// no runner held it.
const cancelsEvery = 2 * time.Second

// settleCancels ends, until ctx ends, the runs that are to be canceled and that no runner holds any more, such as one
// that its runner has handed back in that moment, and removes the requests of those that have ended.
func (s *Sweeper) settleCancels(ctx context.Context) {
	ticker := time.NewTicker(cancelsEvery)
	defer ticker.Stop()
	for {
		for _, c := range s.cancels.All() {
			doc, canceled, err := s.store.SettleCancel(ctx, c)
			if canceled {
				s.tell(doc)
			}
			if err != nil && ctx.Err() == nil {
				s.log.Debug().Err(err).Stringer("run", c.Number).Msg("a request to cancel a run cannot be settled now, trying again")
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
