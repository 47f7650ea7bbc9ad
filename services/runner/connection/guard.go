package connection

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// Guard names a file or a folder of the runner's own that no task may write: what says what it is. It is called
// before the set is used.
func (s *Set) Guard(path, what string) {
	if s.follow != nil {
		s = s.follow.set
	}
	if path, err := filepath.Abs(path); err == nil {
		s.guarded = append(s.guarded, guarded{path, what})
	}
}

// Bring has the set have a files connection besides those of its file, which may have one of the same name that counts
// instead. It is called before the set is used.
func (s *Set) Bring(name, folder string) error {
	path, err := filepath.Abs(folder)
	if err != nil {
		return err
	}
	if s.follow != nil {
		s = s.follow.set
	}
	s.brought = map[string]connection{name: {kind: filesKind, path: path}}
	return nil
}

// guarded is a file, or a folder with all that is in it.
type guarded struct{ path, what string }

// Guarded says what the runner has in a file of a files connection, whatever either calls it: the database of a
// connection, or one of SQLite's files beside it, the connections, or what Guard names. It is "" for a file that
// tasks may write. A file need not be there yet. Of a path that tasks may write it is looked at once a second: a link
// that is put there meanwhile is not seen, as one that is put there while a run writes.
func (s *Set) Guarded(name, path string) string {
	s = s.now()
	c, err := s.find(name, filesKind)
	if err != nil {
		return ""
	}
	file := filepath.Join(c.path, filepath.FromSlash(path))
	if s.free.has(file) {
		return ""
	}
	what := s.has(file)
	if what == "" {
		s.free.add(file)
	}
	return what
}

// has says what the runner has in a file.
func (s *Set) has(file string) string {
	known := append([]guarded{{s.path, "the file of the runner's connections"}}, s.guarded...)
	for _, name := range slices.Sorted(maps.Keys(s.connections)) {
		if c := s.connections[name]; c.kind == sqliteKind {
			database := resolved(c.path)
			known = append(known, guarded{database, "the database of connection " + name})
			for _, suffix := range []string{"-wal", "-shm", "-journal"} {
				known = append(known, guarded{database + suffix, "a part of the database of connection " + name})
			}
		}
	}
	above := []*place{placeOf(file)} // the file and the folders that it is in
	for at := file; at != filepath.Dir(at); {
		at = filepath.Dir(at)
		above = append(above, placeOf(at))
	}
	for _, g := range known {
		if slices.ContainsFunc(above, placeOf(g.path).is) {
			return g.what
		}
	}
	return ""
}

// free are the paths that tasks may write, and when that was seen. It is safe for concurrent use; a nil one has none.
type free struct {
	mu    sync.Mutex
	paths map[string]time.Time
}

const (
	freeFor  = time.Second
	mostFree = 1000
)

func (f *free) has(path string) bool {
	if f == nil {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	seen, ok := f.paths[path]
	return ok && time.Since(seen) < freeFor
}

func (f *free) add(path string) {
	if f == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.paths == nil || len(f.paths) >= mostFree {
		f.paths = map[string]time.Time{}
	}
	f.paths[path] = time.Now()
}

// place is a file or a folder, that need not be there.
type place struct {
	path string
	info os.FileInfo // nil if it is not there
	real string      // resolved once it is needed
}

func placeOf(path string) *place {
	p := &place{path: path}
	if info, err := os.Stat(path); err == nil {
		p.info = info
	}
	return p
}

// is compares two places, also ones that are not there yet by their folder and name.
func (p *place) is(other *place) bool {
	if p.info != nil || other.info != nil {
		return p.info != nil && other.info != nil && os.SameFile(p.info, other.info)
	}
	for _, one := range []*place{p, other} {
		if one.real == "" {
			one.real = resolved(one.path)
		}
	}
	return p.real == other.real
}

// resolved is a path without links, as far as there is one.
func resolved(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	if folder := filepath.Dir(path); folder != path {
		return filepath.Join(resolved(folder), filepath.Base(path))
	}
	return path
}
