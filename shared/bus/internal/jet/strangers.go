package jet

import (
	"context"
	"encoding/base64"
	"errors"
	"maps"
	"regexp"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/run"
)

// Strangers are messages under subjects that are none of Runhook's. Nobody ever reads them, so they would stay
// unnoticed. It is for one goroutine.
type Strangers struct {
	store *Store
	// looked is by stream up to where it was looked.
	looked map[string]uint64
}

// NewStrangers returns a finder that has found nothing yet. At first it looks at the tasks and at the control bucket
// as they are, of the others, which may be large, only at what came since the store was opened.
func (s *Store) NewStrangers() *Strangers {
	f := &Strangers{s, maps.Clone(s.had)}
	delete(f.looked, ControlStream)
	delete(f.looked, TasksStream)
	return f
}

// errStranger is why a message is passed over.
var errStranger = errors.New("nothing of Runhook is under this subject")

// Look passes over what has come since the call before.
func (f *Strangers) Look(ctx context.Context) (err error) {
	s := f.store
	for stream, is := range map[*Stream]func(subject string) bool{
		s.Control: isControl, s.Definitions: isTaskKey, s.Keys: isKey, s.Progress: isProgress, s.rows: isRows,
	} {
		err = errors.Join(err, f.look(ctx, stream, is))
	}
	all, sliceErr := s.OpenSlices(ctx)
	err = errors.Join(err, sliceErr)
	for _, results := range all {
		if !results.IsBefore() {
			err = errors.Join(err, f.lookAtSlice(ctx, results))
		}
	}
	return err
}

func (f *Strangers) look(ctx context.Context, stream *Stream, is func(subject string) bool) error {
	info, err := stream.Info(ctx)
	if err != nil {
		return Explain(err)
	}
	from := f.looked[stream.name]
	if info.State.LastSeq < from { // a bucket in memory has begun anew
		from = 0
	}
	if info.State.LastSeq == from {
		return nil
	}
	err = stream.Scan(ctx, Range{HeadersOnly: true, From: from + 1}, func(message Record) error {
		from = message.Sequence
		if !is(message.Subject) {
			stream.PassOver(message, errStranger)
		}
		return nil
	})
	f.looked[stream.name] = from
	return err
}

// lookAtSlice looks at what a slice has no messages of while it takes runs.
func (f *Strangers) lookAtSlice(ctx context.Context, slice *Results) error {
	for _, strange := range append(slice.Bundles(), slice.subject("*")) {
		info, err := slice.Info(ctx, jetstream.WithSubjectFilter(strange))
		if err != nil {
			return slice.unread(ctx, err)
		}
		for subject := range info.State.Subjects {
			if subject == slice.Skipped() {
				continue
			}
			message, err := slice.Last(ctx, subject)
			if err == nil {
				slice.PassOver(message, errStranger)
			} else if !errors.Is(err, ErrMissing) {
				return err
			}
		}
	}
	return nil
}

func isControl(subject string) bool {
	switch subject {
	case StoreIDSubject, RepairSubject, LayoutSubject, TurnSubject, SessionsSubject:
		return true
	}
	_, _, isCancel := CanceledRun(subject)
	_, isPace := TaskOfPace(subject)
	_, isHealth := TaskOfHealth(subject)
	_, isTimetable := TaskOfTimetable(subject)
	_, isChain := TaskOfChain(subject)
	_, _, isAlarm := AlarmRun(subject)
	_, isWatermark := TaskOfWatermark(subject)
	_, isPaused := PausedConnection(subject)
	return isCancel || isPace || isHealth || isTimetable || isChain || isWatermark || isAlarm || isPaused || siteKey.MatchString(subject) || IsErasure(subject)
}

// siteKey is the subject of whose turn it is at a site.
var siteKey = regexp.MustCompile("^" + regexp.QuoteMeta(strings.TrimSuffix(Sites, "*")) + "[A-Za-z0-9_-]+$")

// hash is the hash of a definition in its key, and keyHash that of an idempotency key.
var hash, keyHash = regexp.MustCompile("^[0-9a-f]{64}$"), regexp.MustCompile("^[A-Za-z0-9_-]{22}$")

func isTaskKey(subject string) bool {
	id, of, isDefinition := strings.Cut(TaskKey(subject), ".")
	return IsID(id) && (!isDefinition || hash.MatchString(of))
}

func isKey(subject string) bool {
	id, of, _ := strings.Cut(strings.TrimPrefix(subject, strings.TrimSuffix(Keys, ">")), ".")
	return subject == SkippedKeys || IsID(id) && keyHash.MatchString(of)
}

func isProgress(subject string) bool {
	id, number, _ := strings.Cut(strings.TrimPrefix(subject, strings.TrimSuffix(Progress, ">")), ".")
	_, err := run.ParseNumber(number)
	return IsID(id) && err == nil
}

// rejected is the name of a chunk of rejected rows, behind the task, and piece that of a message with a piece of one.
var rejected, piece = regexp.MustCompile(`^\d+\.\d+\.\d+$`), regexp.MustCompile("^[A-Za-z0-9]{22}$")

func isRows(subject string) bool {
	if nuid, ok := strings.CutPrefix(subject, strings.TrimSuffix(RowChunks, ">")); ok {
		return piece.MatchString(nuid)
	}
	name, err := base64.URLEncoding.DecodeString(strings.TrimPrefix(subject, strings.TrimSuffix(RowMeta, ">")))
	id, of, _ := strings.Cut(string(name), ".")
	return err == nil && IsID(id) && rejected.MatchString(of)
}
