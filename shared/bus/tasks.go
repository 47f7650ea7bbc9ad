package bus

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/bus/internal/jet"
	"runhook/shared/task"
	"runhook/shared/taskfile"
)

// stored is the value of a task's key: its current definition and what is said about it.
type stored struct {
	// Text and Hash are empty in the record of a former id that this store has never had as a task.
	Text       []byte
	Hash       string
	AppliedOn  time.Time
	FromFolder bool `json:",omitempty"`
	// Removed: the task's file is gone. The task is disabled; its runs still answer.
	Removed bool `json:",omitempty"`

	// Successor is the id that the task was given in place of this one.
	Successor task.ID `json:",omitempty"`
	// Deleted: the task is gone for callers; its runs still answer.
	Deleted bool `json:",omitempty"`
	// EndedOn is when Successor or Deleted was set.
	EndedOn time.Time `json:",omitzero"`
	// Retired: the task has ended, and its queue is gone.
	Retired bool `json:",omitempty"`
}

// ended reports whether no new run can be stored under the id.
func (s *stored) ended() bool { return s.Successor != "" || s.Deleted }

func (s *stored) task(revision uint64) (Task, error) {
	t := Task{AppliedOn: s.AppliedOn, FromFolder: s.FromFolder, Deleted: s.Deleted, Revision: revision}
	if len(s.Text) == 0 && s.ended() {
		return t, nil
	}
	def, err := taskfile.Parse(s.Text, "the stored definition")
	if err != nil {
		return Task{}, err
	}
	t.Definition, t.Enabled = def, def.Enabled && !s.Removed && !s.ended()
	return t, nil
}

// Apply stores a definition, makes its consumer, and then makes it current, in this order, so that
// no service ever sees a task whose runs nobody could take. It reports whether anything changed:
// an unchanged definition writes nothing. fromFolder marks tasks that `serve --tasks` follows, and
// what a folder says is always applied; otherwise an id that was rotated away is ErrRotated.
//
// The former ids that the definition lists lead to it from then on.
func (s *Tasks) Apply(ctx context.Context, def *task.Definition, fromFolder bool) (changed bool, err error) {
	changed, err = change(ctx, s.store, def.ID, func(now *stored) (*stored, error) {
		if now != nil && now.Successor != "" && !fromFolder {
			if err := s.mayReturn(ctx, def, now.Successor); err != nil {
				return nil, err
			}
		}
		if now != nil && now.Hash == def.Hash && !now.Removed && !now.ended() && now.FromFolder == fromFolder {
			return nil, s.ensureConsumer(ctx, def)
		}
		if err := s.prepare(ctx, def); err != nil {
			return nil, err
		}
		return &stored{Text: def.Text, Hash: def.Hash, AppliedOn: time.Now().UTC(), FromFolder: fromFolder}, nil
	})
	if err != nil {
		return changed, err
	}
	for _, former := range def.FormerIDs {
		if err := s.succeed(ctx, former.ID, def.ID); err != nil {
			return changed, err
		}
	}
	return changed, nil
}

// prepare stores a definition under its hash and makes the consumer that it needs.
func (s *Tasks) prepare(ctx context.Context, def *task.Definition) error {
	if err := s.store.Writable(); err != nil {
		return fmt.Errorf("store a definition of task %q: %w", def.Name, err)
	}
	// Where it is stored already it is stored again: it is kept from its last use on.
	if _, err := s.store.Tasks.Put(ctx, jet.DefinitionKey(def.ID, def.Hash), def.Text); err != nil {
		return fmt.Errorf("store a definition of task %q: %w", def.Name, jet.Explain(err))
	}
	if def.DisableAfterFailures > 0 {
		if err := s.beginHealth(ctx, def.ID); err != nil {
			return fmt.Errorf("store the health of task %q: %w", def.Name, err)
		}
	}
	if len(def.Then) > 0 {
		if err := s.beginChain(ctx, def.ID); err != nil {
			return fmt.Errorf("store where the chain of task %q begins: %w", def.Name, err)
		}
	}
	return s.ensureConsumer(ctx, def)
}

// Remove disables a task whose file was removed. Its queued runs finish and its old ones still
// answer. A task that does not exist, or is removed already, is no error.
func (s *Tasks) Remove(ctx context.Context, id task.ID) (changed bool, err error) {
	return change(ctx, s.store, id, func(now *stored) (*stored, error) {
		if now == nil || now.Removed || now.ended() {
			return nil, nil
		}
		now.Removed = true
		return now, nil
	})
}

// record reads a task's record and its revision. It is nil where there is none, and where something else
// is in its place, which may be replaced.
func record(ctx context.Context, s *jet.Store, id task.ID) (now *stored, revision uint64, err error) {
	entry, err := s.Definitions.Last(ctx, jet.TaskSubject(string(id)))
	if errors.Is(err, jet.ErrMissing) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("read task %s: %w", id, err)
	}
	if entry.Removed() {
		return nil, entry.Sequence, nil
	}
	if err := json.Unmarshal(entry.Data, &now); err != nil {
		s.Definitions.PassOver(entry, err)
		now = nil
	}
	return now, entry.Sequence, nil
}

// change replaces a task's record by what decide makes of the present one (nil: there is none), which
// it may change; a nil result changes nothing. It decides again when another process was faster.
func change(ctx context.Context, s *jet.Store, id task.ID, decide func(*stored) (*stored, error)) (bool, error) {
	for {
		now, revision, err := record(ctx, s, id)
		if err != nil {
			return false, err
		}
		next, err := decide(now)
		if next == nil || err != nil {
			return false, err
		}
		if err := replace(ctx, s, id, next, revision); !errors.Is(err, ErrChanged) {
			return err == nil, err
		}
	}
}

// Definition returns an accepted definition by its hash, whether or not it is still current.
func (w *Work) Definition(ctx context.Context, id task.ID, hash string) (*task.Definition, error) {
	return accepted(ctx, w.store, id, hash)
}

// Definition is [Work.Definition].
func (r *Runs) Definition(ctx context.Context, id task.ID, hash string) (*task.Definition, error) {
	return accepted(ctx, r.store, id, hash)
}

// definitionHash is what the hash of a definition is: SHA-256 in hex.
var definitionHash = regexp.MustCompile("^[0-9a-f]{64}$")

func accepted(ctx context.Context, s *jet.Store, id task.ID, hash string) (*task.Definition, error) {
	gone := fmt.Errorf("the definition %.12s of task %s is not stored any more", hash, id)
	if !definitionHash.MatchString(hash) { // NATS would not be asked for some, and have another for others
		return nil, gone
	}
	entry, err := s.Definitions.Last(ctx, jet.TaskSubject(jet.DefinitionKey(id, hash)))
	if errors.Is(err, jet.ErrMissing) || err == nil && entry.Removed() {
		return nil, gone
	}
	if err != nil {
		return nil, fmt.Errorf("read the definition of task %s: %w", id, err)
	}
	def, err := taskfile.Parse(entry.Data, "the stored definition")
	if err == nil && (def.ID != id || def.Hash != hash) {
		err = errors.New("it is another definition")
	}
	if err != nil {
		s.Definitions.PassOver(entry, err)
		return nil, fmt.Errorf("the definition %.12s of task %s was overwritten by another program; apply the task's file again", hash, id)
	}
	return def, nil
}

// ensureConsumer makes the task's durable consumer or fits it to the definition.
func (s *Tasks) ensureConsumer(ctx context.Context, def *task.Definition) error {
	begun := time.Now()
	if _, err := s.store.Runs.CreateOrUpdateConsumer(ctx, s.consumer(def.ID, def.Concurrency)); err != nil {
		return fmt.Errorf("make the consumer of task %q: %w", def.Name, s.store.Denials.Explain(begun, jet.Explain(err)))
	}
	return nil
}

// consumer is a task's durable consumer. MaxAckPending is what keeps runs of one task from overlapping,
// over all runners. MaxDeliver is off: a run ends by a final document, never by being given up silently.
func (s *Tasks) consumer(id task.ID, concurrency int) jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Durable: string(id), FilterSubject: jet.RequestSubject(id),
		AckPolicy: jetstream.AckExplicitPolicy, AckWait: s.store.Lease,
		MaxDeliver: -1, MaxAckPending: cmp.Or(concurrency, 1),
		DeliverPolicy: jetstream.DeliverAllPolicy,
	}
}
