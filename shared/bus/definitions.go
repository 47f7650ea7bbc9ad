package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/bus/internal/jet"
	"runhook/shared/run"
	"runhook/shared/task"
)

// unheardOf is how long after a change of a task a process may still accept runs of its former definition.
const unheardOf = time.Hour

// definition is an accepted definition as it is stored.
type definition struct {
	hash     string
	sequence uint64
	storedOn time.Time
}

// SweepDefinitions removes the definitions that no run can need any more: those that are not their task's
// current one and have not been for as long as runs are kept, and that no stored request names. It
// returns how many went.
func (u *Unheld) SweepDefinitions(ctx context.Context) (removed int, err error) {
	stored, err := u.definitions(ctx)
	if err != nil {
		return 0, fmt.Errorf("list the stored definitions: %w", jet.Explain(err))
	}
	for id, all := range stored {
		if len(all) == 1 || !jet.IsID(string(id)) { // the current one, or somebody else's
			continue
		}
		n, err := u.sweepDefinitions(ctx, id, all)
		removed += n
		if err != nil {
			return removed, fmt.Errorf("remove old definitions of task %s: %w", id, jet.Explain(err))
		}
	}
	return removed, nil
}

func (u *Unheld) sweepDefinitions(ctx context.Context, id task.ID, stored []definition) (removed int, err error) {
	entry, err := u.store.Definitions.Last(ctx, jet.TaskSubject(string(id)))
	if errors.Is(err, jet.ErrMissing) {
		return 0, nil // it is about to be made
	}
	if err != nil {
		return 0, err
	}
	old := time.Now().Add(-u.Retention())
	if entry.Removed() || entry.Time.After(old) {
		return 0, nil // until then another one may have been current
	}
	var now struct{ Hash string }
	if err := json.Unmarshal(entry.Data, &now); err != nil {
		u.store.Definitions.PassOver(entry, err)
		return 0, nil
	}
	var spare []definition
	for _, def := range stored {
		if def.hash != now.Hash && def.storedOn.Before(old) {
			spare = append(spare, def)
		}
	}
	if len(spare) == 0 {
		return 0, nil
	}
	named, err := u.namedDefinitions(ctx, id, entry.Time.Add(unheardOf))
	if err != nil {
		return 0, err
	}
	stream, err := u.store.JS.Stream(ctx, jet.TasksStream)
	if err != nil {
		return 0, err
	}
	for _, def := range spare {
		if named[def.hash] {
			continue
		}
		// One that was just accepted again has another sequence and stays.
		err := stream.DeleteMsg(ctx, def.sequence)
		if err == nil {
			removed++
		} else if !errors.Is(err, jetstream.ErrMsgNotFound) {
			return removed, err
		}
	}
	return removed, nil
}

// definitions lists the stored definitions of each task.
func (u *Unheld) definitions(ctx context.Context) (map[task.ID][]definition, error) {
	found := map[task.ID][]definition{}
	err := u.store.Definitions.Scan(ctx, jet.Range{Subjects: []string{jet.Accepted}, HeadersOnly: true}, func(stored jet.Record) error {
		if !stored.Removed() {
			id, hash, _ := strings.Cut(jet.TaskKey(stored.Subject), ".")
			found[task.ID(id)] = append(found[task.ID(id)], definition{hash, stored.Sequence, stored.Time})
		}
		return nil
	})
	return found, err
}

// namedDefinitions are the hashes of the definitions that a task's stored requests name, as far as they
// were stored until then: later ones can only name the present one.
func (u *Unheld) namedDefinitions(ctx context.Context, id task.ID, until time.Time) (map[string]bool, error) {
	named := map[string]bool{}
	for sequence := uint64(1); ; {
		stored, err := u.store.Runs.Following(ctx, jet.RequestSubject(id), sequence)
		if errors.Is(err, jet.ErrMissing) || err == nil && stored.Time.After(until) {
			break
		}
		if err != nil {
			return nil, err
		}
		sequence = stored.Sequence + 1
		if stored.IsCall() {
			continue
		}
		request, err := run.DecodeRequest(stored.Data, id)
		if err != nil {
			u.store.Runs.PassOver(stored, err)
			continue
		}
		named[request.Definition] = true
	}
	// Those of bundled slices, after RUNS: what has left it meanwhile is there.
	err := u.store.Indexes(ctx, id, func(index jet.Index) {
		for _, hash := range index.Definitions {
			named[hash] = true
		}
	})
	return named, err
}
