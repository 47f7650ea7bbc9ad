package broker

import (
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
