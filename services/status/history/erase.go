package history

import (
	"context"
	"slices"

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
	some := false
	for i, e := range erased {
		dropped, err := k.file.erase(ctx, e)
		some = some || dropped
		if err != nil {
			k.state.Lock()
			k.state.erased = append(erased[i:], k.state.erased...)
			k.state.Unlock()
			return k.file.explain(err)
		}
	}
	if !some {
		return nil
	}
	return k.file.explain(k.file.overwrite(ctx))
}

// erase removes the rows of an erasure, if there are any, and reports whether there were: of many runs those that have
// ended, because of an open row the store is asked in any case.
func (f *file) erase(ctx context.Context, e run.Erasure) (dropped bool, err error) {
	if e.IsOne() {
		return f.dropIfAny(ctx, "number = ?", int64(e.First))
	}
	const of = "select number from runs where number >= ? and number < ? and task = (select id from words where word = ?) and outcome <> 0"
	from := e.First
	for _, stays := range append(slices.Clone(e.Between()), e.Last+1) {
		if from < stays {
			some, err := f.dropIfAny(ctx, "number in ("+of+")", int64(from), int64(stays), string(e.Task))
			dropped = dropped || some
			if err != nil {
				return dropped, err
			}
		}
		from = stays + 1
	}
	return dropped, nil
}

// dropIfAny is drop where there are such rows: what a process is told again at its start is mostly gone, and to look
// through the parameters takes a while.
func (f *file) dropIfAny(ctx context.Context, where string, values ...any) (dropped bool, err error) {
	if err := f.write.QueryRowContext(ctx, "select exists (select 1 from runs where "+where+")", values...).Scan(&dropped); err != nil || !dropped {
		return false, err
	}
	return true, f.drop(ctx, where, values...)
}

// overwrite has what was removed go from the files: deleted rows are overwritten (secure_delete), and what the journal
// has of them goes.
func (f *file) overwrite(ctx context.Context) error {
	_, err := f.write.ExecContext(ctx, "pragma wal_checkpoint(truncate)")
	return err
}
