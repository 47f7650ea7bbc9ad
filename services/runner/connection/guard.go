package connection

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
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

// guarded is a file, or a folder with all that is in it.
type guarded struct{ path, what string }

// Guarded says what the runner has in a file of a files connection, whatever either calls it: the database of a
// connection, or one of SQLite's files beside it, the connections, or what Guard names. It is "" for a file that
// tasks may write. A file need not be there yet.
func (s *Set) Guarded(name, path string) string {
	s = s.now()
	c, err := s.find(name, filesKind)
	if err != nil {
		return ""
	}
	file := filepath.Join(c.path, filepath.FromSlash(path))
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
	for _, g := range known {
		for at := file; ; at = filepath.Dir(at) {
			if isSame(at, g.path) {
				return g.what
			}
			if at == filepath.Dir(at) {
				break
			}
		}
	}
	return ""
}

// isSame compares two files or folders, also one that is not there yet by its folder and name.
func isSame(one, other string) bool {
	info, err := os.Stat(one)
	otherInfo, otherErr := os.Stat(other)
	if err == nil && otherErr == nil {
		return os.SameFile(info, otherInfo)
	}
	return resolved(one) == resolved(other)
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
