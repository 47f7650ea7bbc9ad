package jet

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
)

// objectPiece is how much of an object is in one message.
const objectPiece = 512 << 10

// PutRows stores an object of the rejected rows, which the server removes at a time of its own: the library's
// Put can say no such time. In a store that no `runhook init` of this version has seen it stays as long as
// the runs.
func (s *Store) PutRows(ctx context.Context, name string, data []byte, until time.Time) error {
	info := jetstream.ObjectInfo{
		ObjectMeta: jetstream.ObjectMeta{Name: name, Opts: &jetstream.ObjectMetaOptions{ChunkSize: objectPiece}},
		Bucket:     RowsBucket, NUID: nuid.Next(), Size: uint64(len(data)),
	}
	put := func(subject string, data []byte, header nats.Header) error {
		if s.rows.CachedInfo().Config.AllowMsgTTL {
			header.Set(jetstream.MsgTTLHeader, max(time.Second, time.Until(until).Round(time.Second)).String())
		}
		_, err := s.JS.PublishMsg(ctx, &nats.Msg{Subject: subject, Data: data, Header: header})
		return err
	}
	for piece := range slices.Chunk(data, objectPiece) {
		if err := put(rowsPiece(info.NUID), piece, nats.Header{}); err != nil {
			return err
		}
		info.Chunks++
	}
	hash := sha256.New()
	hash.Write(data)
	info.Digest = jetstream.GetObjectDigestValue(hash)
	described, err := json.Marshal(info)
	if err != nil {
		return err
	}
	return put(rowsSubject(name), described, nats.Header{jetstream.MsgRollup: {jetstream.MsgRollupSubject}})
}
