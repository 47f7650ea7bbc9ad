//go:build chaos

package chaos

import (
	"bytes"
	"context"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
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

// readBundles adds the runs that are in bundles. They are read last: what has left the streams meanwhile is there.
func (w *witness) readBundles(ctx context.Context, s *stored) error {
	from, err := zstd.NewReader(nil)
	if err != nil {
		return err
	}
	defer from.Close()
	names, err := slicesOf(ctx, w.js)
	for _, name := range names {
		bucket := "$KV." + strings.TrimPrefix(name, "KV_")
		err = errors.Join(err, w.each(ctx, name, bucket+".bundle.*", func(msg jetstream.Msg, _ uint64) error {
			plain, err := from.DecodeAll(msg.Data(), nil)
			if err != nil {
				return err
			}
			var bundle []bundled
			if err := gob.NewDecoder(bytes.NewReader(plain)).Decode(&bundle); err != nil {
				return err
			}
			for _, b := range bundle {
				if b.Request.Apart || b.Final.Apart {
					return fmt.Errorf("run %s is too large for its bundle", b.Number)
				}
				if err := w.addBundled(s, b); err != nil {
					return err
				}
			}
			return nil
		}))
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
