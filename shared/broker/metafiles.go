package broker

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/minio/highwayhash"
	"github.com/nats-io/nats-server/v2/server"
)

// completeMeta writes the checksums that a server did not come to write because it was killed. A server writes the
// settings of a stream or consumer to one file and their checksum to another, and passes over a stream whose checksum
// does not fit or is not there: it was killed while it made the stream or changed it, and all its messages are gone for
// who asks. To make the stream again brings them back until the next start only, since the checksum is not written then
// (nats-server 2.15.2, findings/nats-server-killed-between-two-files.sh). completed gets the names of the streams.
func completeMeta(dir string, completed func(stream string)) error {
	streams, err := filepath.Glob(filepath.Join(dir, "jetstream", "*", "streams", "*", server.JetStreamMetaFile))
	if err != nil {
		return fmt.Errorf("look into the data directory: %w", err)
	}
	for _, settings := range streams {
		name := filepath.Base(filepath.Dir(settings))
		done, err := completeChecksum(settings, name, isStream)
		if err != nil {
			return fmt.Errorf("complete the settings of stream %s: %w", name, err)
		}
		if done {
			completed(name)
		}
		consumers, err := filepath.Glob(filepath.Join(filepath.Dir(settings), "obs", "*", server.JetStreamMetaFile))
		if err != nil {
			return fmt.Errorf("look into the data directory: %w", err)
		}
		for _, settings := range consumers {
			consumer := filepath.Base(filepath.Dir(settings))
			if _, err := completeChecksum(settings, name+"/"+consumer, isConsumer); err != nil {
				return fmt.Errorf("complete the settings of consumer %s of stream %s: %w", consumer, name, err)
			}
		}
	}
	return nil
}

// isStream reports whether settings are those of the stream in a directory.
func isStream(settings []byte, name string) bool {
	var s server.FileStreamInfo
	return json.Unmarshal(settings, &s) == nil && s.Name == name
}

// isConsumer reports whether settings are those of the consumer in a directory.
func isConsumer(settings []byte, name string) bool {
	var c server.FileConsumerInfo
	return json.Unmarshal(settings, &c) == nil && c.Name == filepath.Base(name)
}

// completeChecksum writes the checksum of a file of settings where it is missing, or is older than they are and fits
// others. Settings that changed by themselves, as on a broken disk, are left to the server, which says so. key is what
// the server makes the checksum with.
func completeChecksum(settings, key string, valid func(settings []byte, name string) bool) (done bool, err error) {
	info, err := os.Stat(settings)
	if err != nil || !info.Mode().IsRegular() { // to read it could wait for ever
		return false, err
	}
	data, err := os.ReadFile(settings)
	if err != nil {
		return false, err
	}
	sum := filepath.Join(filepath.Dir(settings), server.JetStreamMetaFileSum)
	is, err := os.ReadFile(sum)
	missing := errors.Is(err, fs.ErrNotExist)
	if err != nil && !missing {
		return false, err
	}
	wanted, err := checksumOf(data, key)
	if err != nil || !missing && bytes.Equal(is, wanted) || !valid(data, key) {
		return false, err
	}
	if !missing {
		was, err := os.Stat(sum)
		if err != nil || !info.ModTime().After(was.ModTime()) {
			return false, err
		}
	}
	return true, replaceFile(sum, wanted)
}

// checksumOf is the checksum of settings as the server writes it.
func checksumOf(settings []byte, key string) ([]byte, error) {
	hashed := sha256.Sum256([]byte(key))
	hash, err := highwayhash.New64(hashed[:])
	if err != nil {
		return nil, err
	}
	if _, err := hash.Write(settings); err != nil {
		return nil, err
	}
	return hex.AppendEncode(nil, hash.Sum(nil)), nil
}

// replaceFile writes a file whole, and has it on disk.
func replaceFile(path string, data []byte) error {
	temporary := path + ".tmp" // the server's own name for it
	if err := os.WriteFile(temporary, data, 0o640); err != nil {
		return err
	}
	if err := syncFile(temporary); err != nil {
		return err
	}
	if err := os.Rename(temporary, path); err != nil {
		return err
	}
	return syncFile(filepath.Dir(path))
}
