package history

import (
	"context"

	"runhook/shared/run"
)

// Erase has the index drop the runs of an erasure. What is read at the moment may still be written, so it is to be told
// once more when the runs are gone from the store: at the end of the erasure.
func (x *Index) Erase(e run.Erasure) {
	x.state.Lock()
	x.state.erased = append(x.state.erased, e)
	x.state.Unlock()
	select {
	case x.wake <- struct{}{}:
	default:
	}
}

// erase drops the runs that are erased. While that fails they are tried again.
func (k *keeper) erase(ctx context.Context) error {
	k.state.Lock()
	erased := k.state.erased
	k.state.erased = nil
	k.state.Unlock()
	if len(erased) == 0 {
		return nil
	}
	for i, e := range erased {
		if err := k.file.erase(ctx, e); err != nil {
			k.state.Lock()
			k.state.erased = append(erased[i:], k.state.erased...)
			k.state.Unlock()
			return k.file.explain(err)
		}
	}
	return k.file.explain(k.file.overwrite(ctx))
}

// erase removes the rows of an erasure: of many runs those that have ended, because of an open row the store is asked
// in any case.
func (f *file) erase(ctx context.Context, e run.Erasure) error {
	if e.IsOne() {
		return f.remove(ctx, e.First)
	}
	const of = "task = (select id from words where word = ?) and outcome <> 0"
	from := e.First
	for _, stays := range append(e.Left[:len(e.Left):len(e.Left)], e.Last+1) {
		if from < stays {
			where := "number in (select number from runs where number >= ? and number < ? and " + of + ")"
			if err := f.drop(ctx, where, int64(from), int64(stays), string(e.Task)); err != nil {
				return err
			}
		}
		from = stays + 1
	}
	return nil
}

// overwrite has what was removed go from the files: deleted rows are overwritten (secure_delete), and what the journal
// has of them goes.
func (f *file) overwrite(ctx context.Context) error {
	_, err := f.write.ExecContext(ctx, "pragma wal_checkpoint(truncate)")
	return err
}
