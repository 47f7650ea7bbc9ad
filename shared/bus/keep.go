package bus

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/bus/internal/jet"
	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/wait"
)

const (
	// keepEvery is the wait between two looks; one that takes long is followed by a wait of keepShare times
	// as long, up to keepMost, so that a store with many tasks is not busy with it.
	keepEvery = 2 * time.Second
	keepMost  = 10 * time.Second
	keepShare = 50
)

// Keep has the streams and the tasks' consumers stay as they were made, until ctx ends: a consumer that
// somebody has removed is made again within seconds, and a setting that somebody has changed is changed back.
// Messages under subjects that Runhook has nothing under it names in the log.
// Where that cannot be, or would remove what the store holds, the log says what to do. Several processes
// may keep one store.
func (s *Tasks) Keep(ctx context.Context, view *TaskView) {
	k := keeper{tasks: s, view: view, strangers: s.store.NewStrangers()}
	for pause := time.Duration(0); wait.For(ctx, pause); {
		begun := time.Now()
		k.look(ctx)
		pause = min(max(keepEvery, keepShare*time.Since(begun)), keepMost)
	}
}

// keeper knows what it has seen the last time. What is otherwise than it should be counts when it is seen
// twice: somebody may be about to change the store, a step at a time.
type keeper struct {
	tasks *Tasks
	view  *TaskView
	// seen are the deviations of the last look, now those of this one, each with whether the log has it and
	// it stays.
	seen, now map[deviation]bool
	// strangers are looked for beside.
	strangers *jet.Strangers
}

// deviation is something that is otherwise than it should be.
type deviation struct{ of, is string }

// settled reports whether there is nothing to do about a deviation: it is new, or it stays.
func (k *keeper) settled(d deviation) bool {
	stays, twice := k.seen[d]
	k.now[d] = stays
	return stays || !twice
}

// mend changes something back.
func (k *keeper) mend(ctx context.Context, d deviation, change func() error) {
	if k.settled(d) {
		return
	}
	begun := time.Now()
	switch err := k.tasks.store.Denials.Explain(begun, change()); {
	case err == nil:
		k.tasks.store.Log.Warn().Str("of", d.of).Str("was", d.is).Msg("the store is not as it was made; it is changed back")
	case errors.Is(err, run.ErrUnavailable):
		k.tasks.store.Log.Debug().Err(err).Str("of", d.of).Msg("cannot change the store back now, trying again")
	default:
		k.leave(d, fmt.Errorf("it cannot be changed back from here: %w: mend it by hand, or run `runhook init` with an administrator's credentials", err))
	}
}

// leave says once why something stays as it is.
func (k *keeper) leave(d deviation, why error) {
	k.now[d] = true
	k.tasks.store.Log.Error().Err(why).Str("of", d.of).Str("is", d.is).Msg("the store is not as it was made")
}

func (k *keeper) look(ctx context.Context) {
	k.now = map[deviation]bool{}
	if err := errors.Join(k.lookAtStreams(ctx), k.lookAtQueues(ctx), k.strangers.Look(ctx)); err != nil && ctx.Err() == nil {
		k.tasks.store.Log.Debug().Err(err).Msg("cannot look at the settings of the store now, trying again")
	}
	k.seen = k.now
}

// lookAtStreams changes the settings of the streams back. Of a slice the bound is its own.
func (k *keeper) lookAtStreams(ctx context.Context) error {
	js := k.tasks.store.JS
	runs, err := js.Stream(ctx, jet.RunsStream)
	if err != nil {
		return jet.Explain(err)
	}
	topology := storedTopology(runs.CachedInfo().Config)
	for _, wanted := range topology.streams() {
		stream, err := js.Stream(ctx, wanted.Name)
		gone := deviation{"stream " + wanted.Name, "removed"}
		switch {
		case absent(err) && wanted.Name == jet.ProgressStream: // as after the restart of a single server
			k.mend(ctx, gone, func() error { _, err := remakeProgress(ctx, k.tasks.store); return err })
		case absent(err):
			if !k.settled(gone) {
				k.leave(gone, errors.New("what it held is lost: restore a backup, or run `runhook init` to have it empty"))
			}
		case err != nil:
			return jet.Explain(err)
		default:
			k.lookAtStream(ctx, stream.CachedInfo().Config, wanted)
		}
	}
	all, there, err := slicesThere(ctx, k.tasks.store)
	if err != nil {
		return err
	}
	for _, slice := range all {
		has := there[slice.StreamName()]
		k.lookAtStream(ctx, has.Config, topology.slice(slice, has.Config.MaxBytes, has))
	}
	return nil
}

func (k *keeper) lookAtStream(ctx context.Context, has, wanted jetstream.StreamConfig) {
	for _, s := range differing(has, wanted) {
		d := deviation{fmt.Sprintf("%s of stream %s", s.name, has.Name), s.text(&has)}
		if s.less != nil && s.less(&has, &wanted) {
			if !k.settled(d) {
				k.leave(d, fmt.Errorf("it was %s, but to change it back may remove what the store holds: run `runhook init` with the flag for what it should be", s.text(&wanted)))
			}
			continue
		}
		k.mend(ctx, d, func() error {
			if has.Name == jet.EventsStream {
				return updateEvents(ctx, k.tasks.store, func(_ context.Context, has jetstream.StreamConfig) (jetstream.StreamConfig, error) {
					s.set(&has, &wanted)
					return has, nil
				})
			}
			next := has
			s.set(&next, &wanted)
			if _, err := k.tasks.store.JS.UpdateStream(ctx, next); err != nil {
				return jet.Explain(err)
			}
			has = next
			return nil
		})
	}
}

// lookAtQueues makes consumers again and changes their settings back.
func (k *keeper) lookAtQueues(ctx context.Context) error {
	found := map[task.ID]jetstream.ConsumerConfig{}
	consumers := k.tasks.store.Runs.ListConsumers(ctx)
	for info := range consumers.Info() {
		found[task.ID(info.Name)] = info.Config
	}
	if err := consumers.Err(); err != nil {
		return jet.Explain(err)
	}
	for _, queue := range k.view.Queues() {
		wanted := k.tasks.consumer(queue.Task, queue.Concurrency)
		if has, there := found[queue.Task]; there {
			k.lookAtQueue(ctx, has, wanted)
			continue
		}
		k.mend(ctx, deviation{"consumer " + string(queue.Task), "removed"}, func() error { return k.remake(ctx, queue.Task, wanted) })
	}
	return nil
}

func (k *keeper) lookAtQueue(ctx context.Context, has, wanted jetstream.ConsumerConfig) {
	is, should := consumerSettings(&has), consumerSettings(&wanted)
	for name := range is {
		if reflect.DeepEqual(is[name].Interface(), should[name].Interface()) {
			continue
		}
		k.mend(ctx, deviation{fmt.Sprintf("%s of consumer %s", name, has.Durable), fmt.Sprint(is[name])}, func() error {
			next := has
			consumerSettings(&next)[name].Set(should[name])
			if _, err := k.tasks.store.Runs.UpdateConsumer(ctx, next); err != nil {
				return jet.Explain(err)
			}
			has = next
			return nil
		})
	}
}

// consumerSettings are what Runhook sets of a consumer, by the names that NATS has for it.
func consumerSettings(c *jetstream.ConsumerConfig) map[string]reflect.Value {
	field := func(pointer any) reflect.Value { return reflect.ValueOf(pointer).Elem() }
	return map[string]reflect.Value{
		"filter_subject": field(&c.FilterSubject), "deliver_policy": field(&c.DeliverPolicy), "ack_policy": field(&c.AckPolicy), "ack_wait": field(&c.AckWait),
		"max_deliver": field(&c.MaxDeliver), "max_ack_pending": field(&c.MaxAckPending), "backoff": field(&c.BackOff),
		"headers_only": field(&c.HeadersOnly), "max_batch": field(&c.MaxRequestBatch), "max_expires": field(&c.MaxRequestExpires),
		"max_bytes": field(&c.MaxRequestMaxBytes), "inactive_threshold": field(&c.InactiveThreshold),
	}
}

// remake makes a consumer that is not there, unless the task's queue was retired meanwhile.
func (k *keeper) remake(ctx context.Context, id task.ID, wanted jetstream.ConsumerConfig) error {
	now, _, err := record(ctx, k.tasks.store, id)
	if err != nil || now == nil || now.Retired {
		return err
	}
	_, err = k.tasks.store.Runs.CreateConsumer(ctx, wanted)
	if errors.Is(err, jetstream.ErrConsumerExists) {
		return nil // the list was not whole, or another process was faster
	}
	return jet.Explain(err)
}
