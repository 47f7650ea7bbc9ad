// Package schedule says when a task is due: by a cron expression in a zone. It has no other purpose.
//
// The grammar is that of robfig/cron v3, and the search for the next time our own: no library in Go was right where
// clocks change.
package schedule
