package jet

import (
	"bytes"
	"cmp"
	"encoding/gob"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/run"
)

// A sealed slice keeps its runs in bundles: one compressed message for each BundleSize run numbers, with their
// requests and their final documents, byte for byte. Single messages that are alike cost several times as much, and
// their subjects cost memory.

// BundleSize is how many run numbers have one bundle.
const BundleSize = 64

// largest is how large a message in a bundle may be; a larger one is stored apart. A bundle then stays well below
// the size that a server takes, also if nothing of it can be compressed.
const largest = 4 << 10

// Bundle is what a slice keeps of some run numbers, by number.
type Bundle []Bundled

// Bundled is what is kept of a run. Either of the two may be missing.
type Bundled struct {
	Number         run.Number
	Request, Final Kept
}

// Kept is a message as a bundle has it.
type Kept struct {
	// Task is the last part of a request's subject, and the task in that of a final document; empty for no message.
	Task string
	// Time is when it was stored, in Unix nanoseconds.
	Time int64
	// Note is the one header that readers need: of a request its id, of a final document its rejected rows.
	Note string
	// Data is its content, empty where that is Apart.
	Data  []byte
	Apart bool
}

// Requested is a request as a bundle has it.
func Requested(request Record) Kept {
	return Kept{Task: strings.TrimPrefix(request.Subject, RequestSubject("")), Time: request.Time.UnixNano(), Note: request.Header.Get(jetstream.MsgIDHeader), Data: request.Data}
}

// Ended is a final document as a bundle has it.
func Ended(final Record, owner string) Kept {
	return Kept{Task: owner, Time: final.Time.UnixNano(), Note: final.Header.Get(HeaderRejected), Data: final.Data}
}

// record is the message as it was, but for headers that nobody needs. Its sequence is the caller's.
func (k Kept) record(subject, note string, sequence uint64) Record {
	header := nats.Header{}
	if k.Note != "" {
		header.Set(note, k.Note)
	}
	return Record{subject, sequence, header, k.Data, time.Unix(0, k.Time)}
}

func (k Kept) equal(other Kept) bool {
	return k.Task == other.Task && k.Time == other.Time && k.Note == other.Note && k.Apart == other.Apart && bytes.Equal(k.Data, other.Data)
}

// SetApart empties a message that is too large for a bundle, and returns its content; nil of any other.
func (k *Kept) SetApart() (data []byte) {
	if len(k.Data)+len(k.Note) <= largest {
		return nil
	}
	data, k.Data, k.Apart = k.Data, nil, true
	return data
}

// Of is what the bundle has of a run.
func (b Bundle) Of(n run.Number) (kept Bundled, ok bool) {
	place, ok := b.place(n)
	if !ok {
		return Bundled{}, false
	}
	return b[place], true
}

func (b Bundle) place(n run.Number) (place int, ok bool) {
	return slices.BinarySearchFunc(b, n, func(kept Bundled, n run.Number) int { return cmp.Compare(kept.Number, n) })
}

// With is the bundle with what is stored of some runs; more says that it had not all of it. What it has of others it
// keeps: they may be stored nowhere else.
func (b Bundle) With(stored Bundle) (all Bundle, more bool) {
	all = slices.Clone(b)
	for _, of := range stored {
		place, ok := all.place(of.Number)
		if !ok {
			all = slices.Insert(all, place, Bundled{Number: of.Number})
		}
		for has, is := range map[*Kept]Kept{&all[place].Request: of.Request, &all[place].Final: of.Final} {
			if is.Task != "" && !has.equal(is) {
				*has, more = is, true
			}
		}
	}
	return all, more
}

// Index is what a slice has of a task in its bundles.
type Index struct {
	// Bundles are the numbers of those with runs of the task, in their order.
	Bundles []uint32
	// Definitions are the hashes of the definitions that the runs have.
	Definitions []string
}

// With is the index with what another one has; more says that it had not all of it.
func (x Index) With(other Index) (all Index, more bool) {
	all = Index{with(x.Bundles, other.Bundles), with(x.Definitions, other.Definitions)}
	return all, len(all.Bundles) > len(x.Bundles) || len(all.Definitions) > len(x.Definitions)
}

func with[T cmp.Ordered](some, others []T) []T {
	all := slices.Concat(some, others)
	slices.Sort(all)
	return slices.Compact(all)
}

// unpackedMost bounds what a message may unpack to: anybody may have written it.
const unpackedMost = 64 << 20

var (
	packer = sync.OnceValues(func() (*zstd.Encoder, error) {
		return zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBetterCompression), zstd.WithEncoderConcurrency(1))
	})
	unpacker = sync.OnceValues(func() (*zstd.Decoder, error) {
		return zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(unpackedMost))
	})
)

// Pack encodes a bundle or an index.
func Pack[T Bundle | Index](value T) ([]byte, error) {
	var plain bytes.Buffer
	if err := gob.NewEncoder(&plain).Encode(value); err != nil {
		return nil, fmt.Errorf("encode a bundle: %w", err)
	}
	to, err := packer()
	if err != nil {
		return nil, fmt.Errorf("compress a bundle: %w", err)
	}
	return to.EncodeAll(plain.Bytes(), nil), nil
}

// Unpack is the inverse of Pack.
func Unpack[T Bundle | Index](data []byte) (value T, err error) {
	from, err := unpacker()
	if err != nil {
		return value, err
	}
	plain, err := from.DecodeAll(data, nil)
	if err == nil {
		err = gob.NewDecoder(bytes.NewReader(plain)).Decode(&value)
	}
	if err != nil {
		return value, fmt.Errorf("decode a bundle: %w", err)
	}
	return value, nil
}
