package sqldb

import "sync"

// ended are the checkpoints of ended runs that the next run removes which writes to their database, in its first
// transaction: there, a removal right after a run would keep out whoever is about to read its rows.
var ended = endedRuns{keys: map[dialect][][]any{}}

type endedRuns struct {
	mu   sync.Mutex
	keys map[dialect][][]any
}

func (e *endedRuns) leave(database dialect, keys ...[]any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.keys[database] = append(e.keys[database], keys...)
}

// take returns the keys of checkpoints that are left, for the caller to remove, or to leave again.
func (e *endedRuns) take(database dialect) [][]any {
	e.mu.Lock()
	defer e.mu.Unlock()
	keys := e.keys[database]
	delete(e.keys, database)
	return keys
}
