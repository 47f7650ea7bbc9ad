package jet

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"runhook/shared/run"
)

// Denials remember what the server has denied to the user of a connection. It does not answer what it
// denies, and says so beside: who waits for the answer knows only that none comes. The log has each right
// that is lacking.
type Denials struct {
	log zerolog.Logger

	mu   sync.Mutex
	when time.Time
	what string
	// rights are those that were denied, each with the last time.
	rights map[string]denial
	// waiting are those who wait for the answer to what they publish, by subject, the oldest first.
	waiting map[string][]*func(error)
}

// denial is the last time at which a right was denied, and for which subject.
type denial struct {
	when    time.Time
	subject string
}

// NewDenials returns those of a connection that nothing was denied to yet.
func NewDenials(log zerolog.Logger) *Denials {
	return &Denials{log: log, rights: map[string]denial{}, waiting: map[string][]*func(error){}}
}

// violation is how the server tells what it denies.
var violation = regexp.MustCompile(`(?i)violation for (publish|subscription) to ("(?:[^"\\]|\\.)*")`)

// Hear takes up an error that the server has reported; ok is false where it denies nothing.
func (d *Denials) Hear(err error) (ok bool) {
	if !errors.Is(err, nats.ErrPermissionViolation) {
		return false
	}
	what, subject := err.Error(), ""
	if found := violation.FindStringSubmatch(what); found != nil {
		subject, _ = strconv.Unquote(found[2]) // the server has quoted it
		what = fmt.Sprintf("%s to %q", strings.ToLower(found[1]), right(subject))
	}
	denied := &Denied{what}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.when, d.what = time.Now(), what
	if d.when.Sub(d.rights[what].when) > doubtFor {
		d.log.Error().Msg(denied.Error())
	}
	d.rights[what] = denial{d.when, subject}
	if waiting := d.waiting[subject]; len(waiting) > 0 && strings.HasPrefix(what, "publish") {
		(*waiting[0])(denied)
		d.unwait(subject, waiting[0])
	}
	return true
}

// right is the right that covers a subject for all tasks and runs: the subject up to its first token that
// names one of many.
func right(subject string) string {
	tokens := strings.Split(subject, ".")
	for i, token := range tokens {
		if _, err := strconv.ParseUint(token, 10, 64); err == nil || len(token) >= 16 {
			return strings.Join(append(tokens[:i], ">"), ".")
		}
	}
	return subject
}

// Await calls tell if the server denies a message that is published to subject between now and stop.
func (d *Denials) Await(subject string, tell func(error)) (stop func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.waiting[subject] = append(d.waiting[subject], &tell)
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.unwait(subject, &tell)
	}
}

// unwait forgets who waits, if nobody has told them; the caller holds mu.
func (d *Denials) unwait(subject string, tell *func(error)) {
	waiting := d.waiting[subject]
	if i := slices.Index(waiting, tell); i >= 0 {
		waiting = slices.Delete(waiting, i, i+1)
	}
	if d.waiting[subject] = waiting; len(waiting) == 0 {
		delete(d.waiting, subject)
	}
}

// Explain names the right that the user lacks, if something was denied to it since an attempt began that
// ended with err.
func (d *Denials) Explain(begun time.Time, err error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err == nil || d.when.Before(begun) {
		return err
	}
	return &Denied{d.what}
}

// needed reports whether a subject is of the store, and not one that a service can do without.
func needed(subject string) bool {
	is := func(prefix string) bool { return strings.HasPrefix(subject, prefix) }
	return slices.ContainsFunc([]string{"$JS.", "$KV.", "$O.", "run.", "_INBOX"}, is) &&
		!slices.ContainsFunc([]string{"$JS.API.STREAM.UPDATE.", "$JS.API.STREAM.CREATE.", "$JS.API.STREAM.PURGE."}, is) && !IsBundle(subject)
}

// lacking is the error of what was denied a moment ago, nil if that is nothing that is needed.
func (d *Denials) lacking() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var lacking []string
	for what, last := range d.rights {
		if time.Since(last.when) < doubtFor && needed(last.subject) {
			lacking = append(lacking, what)
		}
	}
	if len(lacking) == 0 {
		return nil
	}
	slices.Sort(lacking)
	return As(run.ErrUnavailable, &Denied{strings.Join(lacking, ", ")})
}

// deniedRequests are the subjects of requests that were denied last, by their rights.
func (d *Denials) deniedRequests() map[string]string {
	d.mu.Lock()
	defer d.mu.Unlock()
	subjects := map[string]string{}
	for what, last := range d.rights {
		if _, ok := TaskOfRequest(last.subject); ok {
			subjects[what] = last.subject
		}
	}
	return subjects
}

// granted forgets a right that is not lacking any more.
func (d *Denials) granted(what string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.rights, what)
}

// Denied is the error of what the user of the connection has no right to.
type Denied struct{ what string }

func (d *Denied) Error() string {
	return fmt.Sprintf("the NATS user of this program lacks a right: %s; grant it in the server's configuration or account, or use other --credentials", d.what)
}

// Is reports that it is [run.ErrDenied].
func (d *Denied) Is(target error) bool { return target == run.ErrDenied }

// request publishes a message and waits for the answer. What the server denies ends at once, with a
// [Denied]: it has done nothing with the message.
func (s *Store) request(ctx context.Context, msg *nats.Msg) (*nats.Msg, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer s.Denials.Await(msg.Subject, cancel)()
	answer, err := s.NC.RequestMsgWithContext(ctx, msg)
	if denied, ok := errors.AsType[*Denied](context.Cause(ctx)); ok && err != nil {
		return nil, denied
	}
	return answer, err
}

// lacking is why the store cannot be used as far as rights are known to be lacking. Whether requests are
// denied still it tries, with a question that stores nothing: nobody may POST to a service that is not ready.
func (s *Store) lacking(ctx context.Context) error {
	for what, subject := range s.Denials.deniedRequests() {
		if s.Runs.answers(ctx, subject) == nil {
			s.Denials.granted(what)
		}
	}
	return s.Denials.lacking()
}
