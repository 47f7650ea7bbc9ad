package connection

import (
	"maps"
	"path/filepath"
	"slices"
)

// Covering returns the files connection whose folder a file is in, the innermost of several, and the
// file's path in it as a task names it; ok is false where none covers it.
func (s *Set) Covering(file string) (name, path string, ok bool) {
	file, err := filepath.Abs(file)
	if s == nil || err != nil {
		return "", "", false
	}
	deepest := -1
	for _, candidate := range slices.Sorted(maps.Keys(s.connections)) {
		c := s.connections[candidate]
		relative, err := filepath.Rel(c.path, file)
		if c.kind != filesKind || err != nil || !filepath.IsLocal(relative) || len(c.path) <= deepest {
			continue
		}
		name, path, ok, deepest = candidate, filepath.ToSlash(relative), true, len(c.path)
	}
	return name, path, ok
}

// Within returns a file's path in the folder of a files connection, as a task names it; ok is false if it is
// not in there.
func (s *Set) Within(name, file string) (path string, ok bool) {
	c, err := s.find(name, filesKind)
	if err != nil {
		return "", false
	}
	if file, err = filepath.Abs(file); err != nil {
		return "", false
	}
	relative, err := filepath.Rel(c.path, file)
	return filepath.ToSlash(relative), err == nil && filepath.IsLocal(relative)
}

// Databases are the names of the database connections.
func (s *Set) Databases() []string {
	if s == nil {
		return nil
	}
	s = s.now()
	isOther := func(name string) bool { return !slices.Contains(databaseKinds, s.connections[name].kind) }
	return slices.DeleteFunc(slices.Sorted(maps.Keys(s.connections)), isOther)
}

// Has reports whether there is a connection of that name.
func (s *Set) Has(name string) bool {
	if s == nil {
		return false
	}
	s = s.now()
	_, ok := s.connections[name]
	return ok
}
