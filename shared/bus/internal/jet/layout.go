package jet

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/run"
	"runhook/shared/task"
)

// Layout tells the slice of each run number.
type Layout struct {
	// Width is how many run numbers a slice has.
	Width run.Number
	// From is the first number in a slice of Width: those below it are in Before. It is a multiple of Width, and 0
	// in a store that has never had one bucket for all runs.
	From run.Number
}

// SliceOf is the slice of a run number.
func (l Layout) SliceOf(n run.Number) Slice {
	if n < l.From || l.Width == 0 {
		return l.before()
	}
	index := n / l.Width
	return Slice{First: index * l.Width, End: (index + 1) * l.Width, bucket: slicePrefix + index.String()}
}

// Named is the slice that has a stream; ok is false for any other stream.
func (l Layout) Named(stream string) (slice Slice, ok bool) {
	if slice = l.before(); stream == slice.StreamName() {
		return slice, slice.End > 0
	}
	text, ok := strings.CutPrefix(stream, "KV_"+slicePrefix)
	if !ok || l.Width == 0 {
		return Slice{}, false
	}
	index, err := strconv.ParseUint(text, 10, 64)
	if err != nil || index > math.MaxInt64/uint64(l.Width) {
		return Slice{}, false
	}
	slice = l.SliceOf(run.Number(index) * l.Width)
	return slice, slice.StreamName() == stream
}

func (l Layout) before() Slice {
	if l.Width == 0 {
		return Slice{End: math.MaxUint64, bucket: beforeBucket}
	}
	return Slice{End: l.From, bucket: beforeBucket}
}

// ParseLayout reads what RUNS says of the layout in its metadata. A store that says nothing has one bucket for
// all runs.
func ParseLayout(metadata map[string]string) (Layout, error) {
	width, said := metadata[SliceKey]
	if !said {
		return Layout{}, nil
	}
	w, err := strconv.ParseUint(width, 10, 32)
	from, fromErr := strconv.ParseUint(metadata[SlicedFromKey], 10, 63)
	if err != nil || fromErr != nil || w == 0 || from%w != 0 {
		return Layout{}, fmt.Errorf("stream %s says %s %q and %s %q, which is not how Runhook says it", RunsStream, SliceKey, width, SlicedFromKey, metadata[SlicedFromKey])
	}
	return Layout{Width: run.Number(w), From: run.Number(from)}, nil
}

// Describe adds to the metadata of RUNS what ParseLayout reads.
func (l Layout) Describe(metadata map[string]string) {
	metadata[SliceKey], metadata[SlicedFromKey] = l.Width.String(), l.From.String()
}

// Slice is a stretch of run numbers whose claims and final documents are in one bucket.
type Slice struct {
	// First is its lowest number, and End the first number behind it.
	First, End run.Number

	bucket string
}

// The buckets of slices: the one of a store that had one for all runs, and what begins the others' names.
const (
	beforeBucket = "runs"
	slicePrefix  = "runs_"
)

// StreamName is the stream behind the slice's bucket.
func (s Slice) StreamName() string { return "KV_" + s.bucket }

// Has reports whether a run is in the slice.
func (s Slice) Has(n run.Number) bool { return s.First <= n && n < s.End }

// IsBefore reports whether it is the slice of a store that had one bucket for all runs.
func (s Slice) IsBefore() bool { return s.bucket == beforeBucket }

// subject is a subject of the bucket: final.<task>.<run>, claim.<task>.<run>, or with wildcards.
func (s Slice) subject(key string) string { return "$KV." + s.bucket + "." + key }

// All is everything in the slice, and Claims and Finals all of one sort.
func (s Slice) All() string { return s.subject(">") }

// Claims are described at All.
func (s Slice) Claims() string { return s.subject("claim.*.*") }

// Finals are described at All.
func (s Slice) Finals() string { return s.subject("final.*.*") }

// Skipped takes the messages that move the stream's sequence on.
func (s Slice) Skipped() string { return s.subject("skipped") }

// FinalsOf are the final documents of a task.
func (s Slice) FinalsOf(id task.ID) string { return s.subject("final." + string(id) + ".*") }

// FinalSubject has a run's final document.
func (s Slice) FinalSubject(id task.ID, n run.Number) string {
	return s.subject("final." + string(id) + "." + n.String())
}

// ClaimSubject has a run's claim.
func (s Slice) ClaimSubject(id task.ID, n run.Number) string {
	return s.subject("claim." + string(id) + "." + n.String())
}

// FenceSubject covers a run's claim and its final document, so that one compare-and-set spans both.
func (s Slice) FenceSubject(id task.ID, n run.Number) string {
	return s.subject("*." + string(id) + "." + n.String())
}

// Bundles are what is left of a slice that is bundled: see [Bundle].
func (s Slice) Bundles() []string {
	return []string{s.subject("bundle.*"), s.subject("apart.*.*"), s.subject("index.*")}
}

// IsBundle reports whether a subject is one of the Bundles of any slice.
func IsBundle(subject string) bool {
	tokens := strings.SplitN(subject, ".", 4)
	return len(tokens) == 4 && tokens[0] == "$KV" && strings.HasPrefix(tokens[1], slicePrefix) &&
		(tokens[2] == "bundle" || tokens[2] == "apart" || tokens[2] == "index")
}

// BundleSubject has the bundle of a run.
func (s Slice) BundleSubject(n run.Number) string {
	return s.subject("bundle." + ((n - s.First) / BundleSize).String())
}

// ApartSubject has a run's message that is too large for its bundle: its request or its final document.
func (s Slice) ApartSubject(n run.Number, sort string) string {
	return s.subject("apart." + n.String() + "." + sort)
}

// IndexSubject has what the slice has of a task: see [Index].
func (s Slice) IndexSubject(id task.ID) string { return s.subject("index." + string(id)) }

// ClaimedRun is the inverse of ClaimSubject; ok is false for any other subject.
func (s Slice) ClaimedRun(subject string) (id task.ID, n run.Number, ok bool) {
	return s.runOf(subject, "claim.")
}

// EndedRun is the inverse of FinalSubject; ok is false for any other subject.
func (s Slice) EndedRun(subject string) (id task.ID, n run.Number, ok bool) {
	return s.runOf(subject, "final.")
}

func (s Slice) runOf(subject, sort string) (id task.ID, n run.Number, ok bool) {
	rest, ok := strings.CutPrefix(subject, s.subject(sort))
	if !ok {
		return "", 0, false
	}
	name, number, _ := strings.Cut(rest, ".")
	n, err := run.ParseNumber(number)
	return task.ID(name), n, err == nil && IsID(name) && n.String() == number && s.Has(n)
}

// Source has the events copy the slice's final documents. A server that knows of no copy begins at a sequence,
// which is 1 at first: without one it may begin at the time of the last event, whatever slice that is of
// (nats-server 2.15.2).
func (s Slice) Source(from uint64) *jetstream.StreamSource {
	return &jetstream.StreamSource{
		Name: s.StreamName(), OptStartSeq: from,
		SubjectTransforms: []jetstream.SubjectTransformConfig{{
			Source: s.Finals(), Destination: "run.completed.{{wildcard(1)}}",
		}},
	}
}
