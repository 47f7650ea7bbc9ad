package connection

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"runhook/shared/plainfile"
	"runhook/shared/run"
	"runhook/shared/wait"
)

const (
	// settle is how long a file must be left alone before it is read: editors write in several steps. unrest
	// is how long that is waited for at most.
	settle = 100 * time.Millisecond
	unrest = 400 * time.Millisecond
	// coarse is how far apart two changes of a file may be, of the same length, and have the same time.
	coarse = 2 * time.Second
	// look is how often the file is looked at besides, so that a fault in it is logged before a run meets it.
	look = time.Second
)

// follower keeps the connections of a file as the file is.
type follower struct {
	path string
	log  zerolog.Logger

	mu   sync.Mutex
	set  *Set
	data []byte
	// info is what the file was when it was last read, at that time; nil if there was none.
	info fs.FileInfo
	read time.Time
	// broken, when set, has no connections but the fault of the file, which was logged as reported.
	broken   *Set
	reported string
}

// Follow is Load of a set that stays as the file is: whoever asks it for a connection, or calls Keep, gets
// what the file says then. While the file has a fault, or is gone, that is a [*run.Failure] which may pass, and
// is logged: connections of before might read and write elsewhere. With optional, there need be no file at first.
func Follow(path string, optional bool, log zerolog.Logger) (*Set, error) {
	f := &follower{path: path, log: log, set: &Set{file: filepath.Base(path), pool: newPool()}}
	if err := f.load(); err != nil && (!optional || !errors.Is(err, fs.ErrNotExist)) {
		return nil, err
	}
	return &Set{follow: f}, nil
}

// Look looks at the file now and then, until ctx ends, so that its changes are in the log when they are made.
func (s *Set) Look(ctx context.Context) {
	for s != nil && s.follow != nil && wait.For(ctx, look) {
		s.now()
	}
}

// now is the set as its file is, s itself if it does not follow one.
func (s *Set) now() *Set {
	if s == nil || s.follow == nil {
		return s
	}
	return s.follow.now()
}

func (f *follower) now() *Set {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.unchanged() {
		f.look()
	}
	if f.broken != nil {
		return f.broken
	}
	return f.set
}

// look reads the file again, and takes note of its fault.
func (f *follower) look() {
	before := f.data
	err := f.load()
	switch {
	case err == nil:
		f.broken, f.reported = nil, ""
		if !bytes.Equal(before, f.data) {
			f.log.Info().Str("file", f.path).Int("connections", len(f.set.connections)).Msg("the connections file was read again")
		}
	case errors.Is(err, fs.ErrNotExist) && f.data == nil: // there has been none
		f.broken, f.reported = nil, ""
	default:
		f.broken = &Set{file: f.set.file, pool: f.set.pool, fault: faultOf(err, f.set.file)}
		if err.Error() != f.reported {
			f.reported = err.Error()
			f.log.Error().Err(err).Str("file", f.path).Msg("the connections file is not used, and no run has a connection until it is corrected")
		}
	}
}

// faultOf is what a run says of a file that cannot be used. It names the file without its folder.
func faultOf(err error, file string) *run.Failure {
	invalid, ok := errors.AsType[*Invalid](err)
	text := fmt.Sprintf("the runner cannot read %s; let its user read the file", file)
	switch {
	case ok:
		text = (&Invalid{file, invalid.Problems[:1]}).Error()
		if more := len(invalid.Problems) - 1; more > 0 {
			text = closed(text) + fmt.Sprintf(" That is not all: `runhook task check` lists %d more", more)
		}
		text = closed(text) + " No run has a connection until the file is corrected"
	case errors.Is(err, fs.ErrNotExist):
		text = fmt.Sprintf("%s is gone from the runner; no run has a connection until it is back", file)
	}
	return &run.Failure{Message: text, Passing: true}
}

// closed is a sentence with its point.
func closed(text string) string {
	if strings.HasSuffix(text, "?") {
		return text
	}
	return text + "."
}

// unchanged reports whether the file is still the one that was read, as far as its time can tell.
func (f *follower) unchanged() bool {
	info, err := os.Stat(f.path)
	return err == nil && f.info != nil && os.SameFile(info, f.info) && info.Size() == f.info.Size() &&
		info.Mode() == f.info.Mode() && info.ModTime().Equal(f.info.ModTime()) && f.read.Sub(info.ModTime()) > coarse
}

// load reads the file once it is left alone, and takes what is in it unless that has a fault.
func (f *follower) load() error {
	began := time.Now()
	info, err := os.Stat(f.path)
	for err == nil && time.Since(info.ModTime()) < settle && time.Since(began) < unrest {
		time.Sleep(settle / 4)
		info, err = os.Stat(f.path)
	}
	now := time.Now()
	f.info = nil
	data, opened, readErr := plainfile.Read(f.path, maxFile)
	if readErr != nil {
		return readErr
	}
	f.read = now
	if err == nil {
		f.info = info
	}
	if f.data != nil && bytes.Equal(data, f.data) {
		return f.set.checkMode(opened.Mode(), f.path)
	}
	set, err := Parse(data, f.path)
	if err == nil {
		err = set.checkMode(opened.Mode(), f.path)
	}
	if err != nil {
		return err
	}
	set.pool, set.guarded, set.brought = f.set.pool, f.set.guarded, f.set.brought // whose turn it is at a site stays
	f.set, f.data = set, data
	return nil
}
