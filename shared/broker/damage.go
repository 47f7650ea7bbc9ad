package broker

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// block is a stream's newest file of messages.
type block struct {
	path    string
	index   int
	size    int64
	written time.Time
}

// newestBlocks finds the newest block of each stream in a server's directory. What cannot be read is
// left to the server, which says so.
func newestBlocks(dir string) map[string]block {
	newest := map[string]block{}
	paths, _ := filepath.Glob(filepath.Join(dir, "jetstream", "*", "streams", "*", "msgs", "*.blk")) // the pattern is right
	for _, path := range paths {
		index, err := strconv.Atoi(strings.TrimSuffix(filepath.Base(path), ".blk"))
		if err != nil {
			continue
		}
		stream := filepath.Base(filepath.Dir(filepath.Dir(path)))
		if known, ok := newest[stream]; ok && known.index > index {
			continue
		}
		if info, err := os.Stat(path); err == nil {
			newest[stream] = block{path, index, info.Size(), info.ModTime()}
		}
	}
	return newest
}

// checksum is the length of what each message ends with.
const checksum = 8

// distrust removes the index of each stream whose newest block ends in zeros, as a power cut leaves a file that had
// grown and whose content was not on disk yet. Without it the server reads the blocks and cuts off what is no message;
// an index may be older than they are and fit such an end all the same (nats-server 2.15.2).
func distrust(dir string) error {
	for stream, b := range newestBlocks(dir) {
		if !b.endsInZeros() {
			continue
		}
		err := os.Remove(filepath.Join(filepath.Dir(b.path), "index.db"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove the index of stream %s, whose last write is damaged: %w", stream, err)
		}
	}
	return nil
}

// endsInZeros reports whether there are zeros where a block's last message has its checksum.
func (b block) endsInZeros() bool {
	file, err := os.Open(b.path)
	if err != nil {
		return false // the server says what is wrong with it
	}
	defer func() { _ = file.Close() }()
	var end [checksum]byte
	_, err = file.ReadAt(end[:], b.size-checksum)
	return err == nil && end == [checksum]byte{}
}

// note is a file that is in the directory while a server without Durable works on it, and stays there when
// that ends in any other way than by Stop: what it wrote last may not be on disk then, and the files can
// end where a message does, so that nothing looks damaged.
func (b *Broker) note() string { return filepath.Join(b.options.Dir, ".unsynced") }

// begin finds out how the server before has ended, and notes that another one begins.
func (b *Broker) begin() error {
	_, err := os.Stat(b.note())
	b.Unsynced = err == nil
	if b.Unsynced || b.options.Durable {
		return nil
	}
	err = os.WriteFile(b.note(), nil, 0o600)
	if err == nil {
		err = syncFile(b.options.Dir)
	}
	if err != nil {
		return fmt.Errorf("cannot write in the data directory: %w: choose another with --data, or change its owner", err)
	}
	return nil
}

// Repaired says that whatever the server before may have lost is seen to.
func (b *Broker) Repaired() { b.repaired.Store(true) }

// conclude takes the note of begin away once everything is on disk; the server has stopped. Where that
// fails the next start only looks for nothing.
func (b *Broker) conclude() {
	if b.Unsynced && !b.repaired.Load() {
		return
	}
	if _, err := os.Stat(b.note()); err != nil {
		return
	}
	if err := syncAll(b.options.Dir); err != nil {
		b.options.Log.Debug().Err(err).Msg("the data directory cannot be synced; the next start looks for losses")
		return
	}
	if os.Remove(b.note()) == nil {
		_ = syncFile(b.options.Dir) // the note that is still there does no harm
	}
}

// syncAll has every file below a directory on disk.
func syncAll(dir string) error {
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && (entry.IsDir() || entry.Type().IsRegular()) {
			err = syncFile(path)
		}
		if errors.Is(err, fs.ErrNotExist) { // the server has just removed it
			return nil
		}
		return err
	})
}

// syncFile has a file, or which files a directory has, on disk.
func syncFile(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}

// recently is how old a block may be that is gone after a start to count as unreadable; an older one
// held messages that have expired.
const recently = time.Hour

// cutOff is how much of each stream's newest block a start has taken away: the server cuts off what it
// cannot read, and says nothing of it.
func cutOff(before map[string]block) map[string]int64 {
	cut := map[string]int64{}
	for stream, b := range before {
		info, err := os.Stat(b.path)
		switch {
		case err == nil && info.Size() < b.size:
			cut[stream] = b.size - info.Size()
		case os.IsNotExist(err) && b.size > 0 && time.Since(b.written) < recently:
			cut[stream] = b.size
		}
	}
	return cut
}
