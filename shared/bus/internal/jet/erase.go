package jet

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/run"
)

// Erase removes a message. overwrite has its bytes overwritten in the stream's file at once, for which the server writes
// up to 8 MB anew; else they stay in the file until the server writes that anew for another reason. It reports whether
// the message was there.
func (s *Stream) Erase(ctx context.Context, sequence uint64, overwrite bool) (erased bool, err error) {
	if err := s.hasRoom(); err != nil {
		return false, err
	}
	limited, cancel := context.WithTimeout(ctx, WriteTimeout)
	defer cancel()
	if overwrite {
		err = s.SecureDeleteMsg(limited, sequence)
	} else {
		err = s.DeleteMsg(limited, sequence)
	}
	if err == nil {
		return true, nil
	}
	if _, readErr := s.LeaderAt(ctx, sequence); errors.Is(readErr, ErrMissing) || errors.Is(readErr, run.ErrRunGone) {
		return false, nil // another process was faster, or its age
	}
	return false, fmt.Errorf("remove message %d of %s: %w", sequence, s.name, Explain(s.gone(ctx, "", err)))
}

// EraseSubject erases the message that a bucket has under a subject, and reports whether there was one.
func (s *Stream) EraseSubject(ctx context.Context, subject string, overwrite bool) (erased bool, err error) {
	stored, err := s.LeaderLast(ctx, subject)
	if errors.Is(err, ErrMissing) || errors.Is(err, run.ErrRunGone) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return s.Erase(ctx, stored.Sequence, overwrite)
}

// RowObjects are the objects of rejected rows that there are, by the runs that they are of: their names begin so,
// <task>.<run>.
func (s *Store) RowObjects(ctx context.Context) (map[string][]string, error) {
	ctx, cancel := context.WithTimeout(ctx, WriteTimeout)
	defer cancel()
	info, err := s.rows.Info(ctx, jetstream.WithSubjectFilter(RowMeta))
	if err != nil {
		return nil, fmt.Errorf("list the rejected rows: %w", Explain(err))
	}
	of := map[string][]string{}
	for subject := range info.State.Subjects {
		name, err := base64.URLEncoding.DecodeString(strings.TrimPrefix(subject, strings.TrimSuffix(RowMeta, ">")))
		words := strings.Split(string(name), ".")
		if err != nil || len(words) != 4 { // another program's
			continue
		}
		run := words[0] + "." + words[1]
		of[run] = append(of[run], string(name))
	}
	return of, nil
}

// EraseRows erases an object of the rejected rows: what is in it, then what describes it.
func (s *Store) EraseRows(ctx context.Context, name string, overwrite bool) (erased bool, err error) {
	described, err := s.rows.LeaderLast(ctx, rowsSubject(name))
	if errors.Is(err, ErrMissing) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	var info jetstream.ObjectInfo
	if err := json.Unmarshal(described.Data, &info); err == nil && info.NUID != "" && !strings.ContainsAny(info.NUID, ".*> ") {
		for sequence := uint64(1); ; {
			piece, err := s.rows.LeaderFollowing(ctx, rowsPiece(info.NUID), sequence)
			if errors.Is(err, ErrMissing) {
				break
			}
			if err == nil {
				_, err = s.rows.Erase(ctx, piece.Sequence, overwrite)
			}
			if err != nil {
				return false, err
			}
			sequence = piece.Sequence + 1
		}
	}
	return s.rows.Erase(ctx, described.Sequence, overwrite)
}

// apartBundle ends the second subject of a bundle.
const apartBundle = "bundle"

// bundleSubjects are the two subjects of which one has the bundle of a run.
func (s Slice) bundleSubjects(n run.Number) []string {
	first := n - (n-s.First)%BundleSize
	return []string{s.BundleSubject(n), s.ApartSubject(first, apartBundle)}
}

// Rewrite takes runs out of a bundle of a slice that is bundled, of which n is one of the runs, and returns what it had
// of those. A message that takes the place of another one leaves that in the file as it was, so the bundle goes to the
// other one of its two subjects first: whoever dies between the two steps leaves both, of which the younger counts here.
func (r *Results) Rewrite(ctx context.Context, n run.Number, gone func(Bundled) bool, overwrite bool) (had []Bundled, err error) {
	subjects := r.bundleSubjects(n)
	var younger, older Record
	free := ""
	for _, subject := range subjects {
		stored, err := r.LeaderLast(ctx, subject)
		switch {
		case errors.Is(err, ErrMissing):
			free = subject
		case err != nil:
			return nil, err
		case stored.Sequence > younger.Sequence:
			younger, older = stored, younger
		default:
			older = stored
		}
	}
	if younger.Sequence == 0 {
		return nil, nil
	}
	defer r.last.forget()
	if older.Sequence > 0 {
		if _, err := r.Erase(ctx, older.Sequence, overwrite); err != nil {
			return nil, err
		}
		free = older.Subject
	}
	bundle, err := Unpack[Bundle](younger.Data)
	if err != nil {
		r.PassOver(younger, err)
		return nil, nil // nobody can read anything of it
	}
	var stay Bundle
	for _, kept := range bundle {
		if gone(kept) {
			had = append(had, kept)
		} else {
			stay = append(stay, kept)
		}
	}
	if len(had) == 0 {
		return nil, nil
	}
	for _, kept := range had {
		for _, sort := range []string{ApartRequest, ApartFinal} {
			if _, err := r.EraseSubject(ctx, r.ApartSubject(kept.Number, sort), overwrite); err != nil {
				return nil, err
			}
		}
	}
	data, err := Pack(stay)
	if err != nil {
		return nil, err
	}
	_, err = r.Publish(ctx, Entry{Fence: free, Msg: &nats.Msg{
		Subject: free, Data: data, Header: nats.Header{jetstream.ExpectedLastSubjSeqHeader: {strconv.FormatUint(0, 10)}},
	}})
	if err != nil {
		return nil, fmt.Errorf("write a bundle of %s anew: %w", r.StreamName(), Explain(err))
	}
	_, err = r.Erase(ctx, younger.Sequence, overwrite)
	return had, err
}

// Bundled is what the bundle of a run has of it, as the leader has it. The content of what is apart is not in it.
func (r *Results) Bundled(ctx context.Context, n run.Number) (kept Bundled, ok bool, err error) {
	bundle, _, err := r.bundle(ctx, (*Stream).LeaderLast, n)
	if errors.Is(err, ErrMissing) || errors.Is(err, run.ErrRunGone) {
		return Bundled{}, false, nil
	}
	if err != nil {
		return Bundled{}, false, err
	}
	kept, ok = bundle.Of(n)
	return kept, ok, nil
}
