// Package bus is the one place that knows NATS: streams, buckets, subjects, headers. Everything else
// speaks its verbs, and each service only those of its part: [Runs], [Work], [Unheld], [Tasks] or [Sessions].
package bus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"runhook/shared/bus/internal/jet"
	"runhook/shared/run"
	"runhook/shared/seldom"
	"runhook/shared/task"
	"runhook/shared/tokenfile"
	"runhook/shared/wait"
)

// The errors callers tell apart with errors.Is.
var (
	// ErrClaimed: another runner holds the run, or it has ended.
	ErrClaimed = errors.New("the run is claimed or has ended")
	// ErrLost: the claim is no longer ours; the attempt must stop and write nothing more.
	ErrLost = errors.New("the claim was lost to another runner")
	// ErrRotated: the id is a former one of a task that is there.
	ErrRotated = errors.New("the id is a former one of another task")
	// ErrChanged: the task was changed by somebody else at the same time.
	ErrChanged = errors.New("the task was changed at the same time")
	// ErrNotMade: the store, or a part of it, is not there yet.
	ErrNotMade = jet.ErrNotMade
	// ErrNoConsumer: the task's consumer does not exist on the server.
	ErrNoConsumer = errors.New("the task has no consumer")
)

// oldestServer is the first NATS release with everything that the store needs: atomic publish, and consumers
// that deliver from their beginning again.
const oldestServer = "2.14.0"

// Config says how to reach a store.
type Config struct {
	// URLs is a comma-separated list of NATS servers. Ignored when InProcess is set.
	URLs string
	// Credentials is a file: a NATS .creds file, or one line "user:password". Empty for none.
	Credentials string
	// Name shows in the server's list of connections.
	Name string
	// InProcess connects to a server in this process without a socket.
	InProcess nats.InProcessConnProvider
	// User and Password are for InProcess servers that ask for them.
	User, Password string
	// ConnectTimeout bounds the first connection, which is retried until then. Default 10 s; below 0 it is
	// tried once.
	ConnectTimeout time.Duration
	// Inbox begins the subjects of the answers that the connection gets; empty is NATS's own, which it may share
	// with other users of the account.
	Inbox string
	// Full tells that the store takes no writes at the moment; they are refused with run.ErrFull then
	// without asking it. Nil where that is not known.
	Full func() bool
	// Cramped tells that the store's disk has hardly any room left: nothing is purged then. Nil where that is
	// not known.
	Cramped func() bool
	Log     zerolog.Logger
	// Metrics is where the connection's metrics are registered; nil registers them nowhere.
	Metrics prometheus.Registerer
}

// Bus is a connection to one store. Its methods, and those of its parts, are safe for concurrent use.
type Bus struct {
	Runs   *Runs
	Work   *Work
	Unheld *Unheld
	Tasks  *Tasks
	// Sessions is for the page.
	Sessions *Sessions

	store *jet.Store
}

// Runs accepts runs and tells how they stand: what an ingress and a status service do.
type Runs struct {
	store *jet.Store
	// ended and noting are for Submit with a key.
	ended  runsEnd
	noting sync.WaitGroup
	// places are for Submit of tasks with an overlap, and backlogs for Waiting.
	places   places
	backlogs backlogs
	seldom   *seldom.Log
	// followed are for Await.
	followed followedRuns
	// looked is called by SubmitScheduled between its look and its write, in tests; nil elsewhere.
	looked func()
}

// Work hands out runs to execute, and holds them for a runner.
type Work struct {
	claims
	// publisher is for Publish.
	publisher jetstream.JetStream
}

// Unheld finds what no runner holds and no run needs any more, and ends or removes it.
type Unheld struct {
	claims
	foreign sightings
}

// Tasks changes which tasks there are, and watches them.
type Tasks struct{ store *jet.Store }

// Accepted is a stored request.
type Accepted struct {
	Number run.Number
	// Request is the stored one: the original's when Replayed.
	Request run.Request
	// Replayed: the idempotency key was known; Number is the original's and nothing was stored.
	Replayed bool

	// storedOn is when the original was stored.
	storedOn time.Time
}

// Status is what the store says of a run at one moment.
type Status struct {
	Document run.Document
	// Bytes is the document as stored; what a final status answers, byte for byte.
	Bytes []byte
	Final bool
}

// Task is a task as the services see it.
type Task struct {
	*task.Definition
	// Enabled is false when the file says so or when the file was removed.
	Enabled   bool
	AppliedOn time.Time
	// FromFolder: the task came with `serve --tasks`, so that removing its file disables it.
	FromFolder bool
	// Deleted: the task is gone for callers; it is only known for the sake of its runs.
	Deleted bool
	// Revision grows with every change of the task.
	Revision uint64
}

// Connect connects to a store's NATS servers. It waits up to ConnectTimeout for the first one and
// refuses servers that are too old. The connection then reconnects for ever; while it is down every
// method answers at once with run.ErrUnavailable instead of queueing what might be sent too late.
func Connect(ctx context.Context, config Config) (*Bus, error) {
	denials, errs := jet.NewDenials(config.Log), seldom.New(config.Log)
	options := []nats.Option{
		nats.Name(config.Name),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(200 * time.Millisecond),
		nats.ReconnectBufSize(-1),
		nats.Timeout(2 * time.Second),
		nats.PingInterval(10 * time.Second),
		nats.MaxPingsOutstanding(2),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				config.Log.Warn().Err(err).Msg("connection to NATS lost, reconnecting")
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			config.Log.Info().Str("server", nc.ConnectedServerName()).Msg("reconnected to NATS")
		}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			if denials.Hear(err) {
				return
			}
			errs.Line(zerolog.WarnLevel, err.Error()).Err(err).Msg("NATS reported an error") // a message may cause one at each read
		}),
	}
	if config.Inbox != "" {
		options = append(options, nats.CustomInboxPrefix(config.Inbox))
	}
	urls := config.URLs
	if config.InProcess != nil {
		urls = nats.DefaultURL
		options = append(options, nats.InProcessServer(config.InProcess))
		if config.User != "" {
			options = append(options, nats.UserInfo(config.User, config.Password))
		}
	}
	if config.Credentials != "" {
		option, err := credentials(config.Credentials)
		if err != nil {
			return nil, err
		}
		options = append(options, option)
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = 10 * time.Second
	}
	nc, err := dial(ctx, urls, config.ConnectTimeout, options)
	if err != nil {
		return nil, err
	}
	if version := nc.ConnectedServerVersion(); older(version, oldestServer) {
		nc.Close()
		return nil, fmt.Errorf("the NATS server at %s is version %s; Runhook needs %s or newer: upgrade it, or use `runhook serve`, which brings its own",
			urls, version, oldestServer)
	}
	fast, err := publisher(nc)
	if err != nil {
		nc.Close()
		return nil, fmt.Errorf("open JetStream: %w", err)
	}
	store, err := jet.New(nc, config.Log, config.Full, config.Cramped, config.Metrics)
	if err != nil {
		nc.Close()
		return nil, err
	}
	store.Denials = denials
	store.Make = func(ctx context.Context, slice jet.Slice) error { return makeSlice(ctx, store, slice) }
	return &Bus{
		Runs: &Runs{store: store, seldom: errs}, Work: &Work{claims: claims{store}, publisher: fast},
		Unheld: &Unheld{claims: claims{store}}, Tasks: &Tasks{store: store}, Sessions: &Sessions{store: store}, store: store,
	}, nil
}

// Close ends the connection after what was already sent has left, and deliveries that are done have
// been confirmed. It does not wait for consumers: whoever pulls stops first.
func (b *Bus) Close() {
	b.store.Close()
	b.Runs.noting.Wait()
}

// Record is a stored message as Jet's scans show it.
type Record = jet.Record

// Range is a part of a stream to read.
type Range = jet.Range

// Jet is what the packages below this one, and tests, read and write the store with.
func (b *Bus) Jet() *jet.Store { return b.store }

// StoreID is the random id of the store, known once Check or Init has succeeded.
func (b *Bus) StoreID() string { return b.store.ID }

// Ready reports why the store cannot be used right now, nil when it can.
func (b *Bus) Ready(ctx context.Context) error { return b.store.Ready(ctx) }

func (r *Runs) StoreID() string { return r.store.ID }

// Retention is how long the store keeps runs.
func (r *Runs) Retention() time.Duration { return r.store.Retention() }

// StoreID is [Bus.StoreID].
func (w *Work) StoreID() string { return w.store.ID }

// Retention is how long the store keeps runs.
func (u *Unheld) Retention() time.Duration { return u.store.Retention() }

// Ready is [Bus.Ready].
func (s *Tasks) Ready(ctx context.Context) error { return s.store.Ready(ctx) }

// dial tries until a server answers, so that services may be started in any order. What passes by itself, as
// far as that can be told, is run.ErrUnavailable.
func dial(ctx context.Context, urls string, limit time.Duration, options []nats.Option) (*nats.Conn, error) {
	deadline := time.Now().Add(limit)
	for {
		nc, err := nats.Connect(urls, options...)
		if err == nil {
			return nc, nil
		}
		if refusal := refused(urls, err); refusal != nil {
			return nil, refusal
		}
		if time.Now().After(deadline) {
			return nil, jet.As(run.ErrUnavailable, fmt.Errorf("cannot connect to NATS at %s: %w: check --nats (and --credentials), and that the server is up", redact(urls), err))
		}
		if !wait.For(ctx, 200*time.Millisecond) {
			return nil, ctx.Err()
		}
	}
}

// refused says why no waiting helps; nil where it may. Of several servers, one that refuses the credentials
// decides, whatever the others answer: the client tells of it (seen with nats.go 1.55.0).
func refused(urls string, err error) error {
	switch {
	case passes(err):
		return nil
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthExpired), errors.Is(err, nats.ErrAuthRevoked):
		return fmt.Errorf("NATS at %s refuses the credentials: %w: check --credentials, and the users of the NATS server", redact(urls), err)
	}
	return fmt.Errorf("cannot connect to NATS at %s: %w: check --nats (and --credentials)", redact(urls), err)
}

// passes reports whether a fault of connecting may pass by itself: a server, a name or a network that is not
// there yet.
func passes(err error) bool {
	if _, ok := errors.AsType[*url.Error](err); ok { // of what is no URL
		return false
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	return errors.Is(err, nats.ErrNoServers) || errors.Is(err, nats.ErrTimeout) || errors.Is(err, nats.ErrConnectionClosed) ||
		errors.Is(err, nats.ErrMaxConnectionsExceeded) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// credentials reads a .creds file or a line "user:password".
func credentials(path string) (nats.Option, error) {
	data, err := tokenfile.ReadPrivate(path)
	if err != nil {
		return nil, fmt.Errorf("--credentials: %w", err)
	}
	if strings.Contains(string(data), "-----BEGIN NATS") {
		return nats.UserCredentials(path), nil
	}
	user, password, ok := strings.Cut(strings.TrimSpace(string(data)), ":")
	if !ok || strings.Contains(password, "\n") {
		return nil, fmt.Errorf("--credentials: %s holds neither a NATS .creds file nor one line \"user:password\"", path)
	}
	return nats.UserInfo(user, strings.TrimSpace(password)), nil
}

// redact removes user information from URLs before they are shown.
func redact(urls string) string {
	parts := strings.Split(urls, ",")
	for i, part := range parts {
		if scheme, rest, ok := strings.Cut(part, "://"); ok {
			if at := strings.LastIndex(rest, "@"); at >= 0 {
				parts[i] = scheme + "://" + rest[at+1:]
			}
		}
	}
	return strings.Join(parts, ",")
}

// older compares dotted versions by their numbers; a pre-release counts as its release.
func older(version, than string) bool {
	a, b := numbers(version), numbers(than)
	return slices.Compare(a[:], b[:]) < 0
}

func numbers(version string) (n [3]int) {
	version, _, _ = strings.Cut(version, "-")
	for i, part := range strings.SplitN(version, ".", 3) {
		n[i], _ = strconv.Atoi(part) // what is no number counts as 0, so an odd version is too old
	}
	return n
}
