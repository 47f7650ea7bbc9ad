//go:build chaos

package chaos

import (
	"bytes"
	"context"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/run"
)

// bundled is a run as a bundle of its slice has it.
type bundled struct {
	Number         run.Number
	Request, Final struct {
		Task, Note string
		Data       []byte
		Apart      bool
	}
}

// bundleSize is how many run numbers a bundle is for.
const bundleSize = 64

// readBundles adds the runs that are in bundles. They are read last: what has left the streams meanwhile is there. A
// bundle is under one of two subjects, and where an erasure has just written it anew under both: the younger counts.
func (w *witness) readBundles(ctx context.Context, s *stored) error {
	from, err := zstd.NewReader(nil)
	if err != nil {
		return err
	}
	defer from.Close()
	names, err := slicesOf(ctx, w.js)
	for _, name := range names {
		prefix := "$KV." + strings.TrimPrefix(name, "KV_") + "."
		type younger struct {
			sequence uint64
			data     []byte
		}
		bundles := map[uint64]younger{}
		for _, filter := range []string{"bundle.*", "apart.*.bundle"} {
			err = errors.Join(err, w.each(ctx, name, prefix+filter, func(msg jetstream.Msg, sequence uint64) error {
				words := strings.Split(strings.TrimPrefix(msg.Subject(), prefix), ".")
				place, err := strconv.ParseUint(words[1], 10, 64)
				if words[0] == "apart" { // it has the number of its first run
					place = place % slice / bundleSize
				}
				if sequence > bundles[place].sequence {
					bundles[place] = younger{sequence, msg.Data()}
				}
				return err
			}))
		}
		for _, b := range bundles {
			plain, failed := from.DecodeAll(b.data, nil)
			var bundle []bundled
			if failed == nil {
				failed = gob.NewDecoder(bytes.NewReader(plain)).Decode(&bundle)
			}
			for _, b := range bundle {
				if b.Request.Apart || b.Final.Apart {
					failed = errors.Join(failed, fmt.Errorf("run %s is too large for its bundle", b.Number))
					continue
				}
				failed = errors.Join(failed, w.addBundled(s, b))
			}
			err = errors.Join(err, failed)
		}
	}
	return err
}

func (w *witness) addBundled(s *stored, b bundled) error {
	if b.Number <= w.number(w.past["RUNS"]) {
		return nil
	}
	if _, known := s.requests[b.Number]; !known && b.Request.Task != "" && !w.isStrange(b.Number) {
		var request run.Request
		if err := json.Unmarshal(b.Request.Data, &request); err != nil || string(request.Task) != b.Request.Task {
			w.strange(b.Number)
			return nil
		}
		s.requests[b.Number] = request
		if b.Request.Note != "" {
			s.ids[b.Request.Note]++
		}
	}
	if _, known := s.finals[b.Number]; !known && b.Final.Task != "" && !w.isStrange(b.Number) {
		doc, err := run.DecodeDocument(b.Final.Data)
		s.finals[b.Number], s.bytes[b.Number] = doc, b.Final.Data
		return err
	}
	return nil
}
