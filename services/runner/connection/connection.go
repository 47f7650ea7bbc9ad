// Package connection holds the runner's connections: where databases and folders are and how to
// reach them. They come from connections.yaml, stay on the runner, and no message shows a secret.
package connection

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/rs/zerolog"

	"runhook/services/runner/turn"
	"runhook/shared/nearest"
	"runhook/shared/plainfile"
	"runhook/shared/run"
)

// Set is the connections of one connections file. The zero Set, and a nil one, have none.
type Set struct {
	// file is how messages name the connections file: without its folder, for they reach callers.
	file string
	// path is the connections file's, absolute, and guarded what else tasks may not write.
	path        string
	guarded     []guarded
	connections map[string]connection
	// brought are those of Bring, by their names: the file's of the same names count instead.
	brought map[string]connection
	free    *free
	// kept are the folders that are open until Keep's release; nil where Keep was not called.
	kept map[string]*os.Root
	pool *Pool
	// literal is a secret that the file holds itself, nil if each comes from the environment.
	literal *Problem
	// fault is why there is no connection, though there might be.
	fault *run.Failure
	// user is the run for which the connections are used; nil if that is none.
	user User
	// follow, when set, has the set as it is now, and everything else here is empty.
	follow *follower
}

// User is a run that uses connections. Its methods are safe for concurrent use.
type User interface {
	// Proceed returns when the run may use a connection: it is not paused. The error is ctx's.
	Proceed(ctx context.Context, name string) error
	// Who is the run in the line of a site, and Waits notes what it waits for, until over is called.
	Who() turn.Who
	Waits(what func() run.Waiting) (over func())
}

// For returns the set for a run.
func (s *Set) For(user User) *Set {
	if s == nil {
		return nil
	}
	theirs := *s
	theirs.user = user
	return &theirs
}

// whose is the run that the set is for, nil if that is none.
func (s *Set) whose() User {
	if s == nil {
		return nil
	}
	return s.user
}

// Proceed returns when a connection may be used, at once where no run uses it. The error is ctx's.
func (s *Set) Proceed(ctx context.Context, name string) error {
	if s == nil || s.user == nil {
		return nil
	}
	return s.user.Proceed(ctx, name)
}

// connection is one entry of the file.
type connection struct {
	kind string
	// path is absolute: a database file or a folder.
	path string
	// address is a server's URL, with its password.
	address string
	http    HTTP
	imis    IMIS
}

// The kinds of connection that exist.
const (
	sqliteKind   = "sqlite"
	postgresKind = "postgres"
	mysqlKind    = "mysql"
	filesKind    = "files"
	httpKind     = "http"
	imisKind     = "imis"
)

// needs are the entries that kinds need, to show in messages.
var needs = map[string]string{
	sqliteKind: "./data/…",
	filesKind:  "./data/…",
	httpKind:   `{url: "https://…"}`,
	imisKind:   `{url: "https://…", username: …, password: "${…}"}`,
}

// maxFile bounds a connections file.
const maxFile = 4 << 20

// Load reads a connections file. Relative paths in it are relative to its folder. When the file does
// not exist the error is fs.ErrNotExist; what is wrong in it, or with who may read or change it, is an [*Invalid].
func Load(path string) (*Set, error) {
	data, info, err := plainfile.Read(path, maxFile)
	if err != nil {
		return nil, fmt.Errorf("read the connections file: %w", err)
	}
	set, err := Parse(data, path)
	if err == nil {
		err = set.checkMode(info.Mode(), path)
	}
	if err != nil {
		return nil, err
	}
	return set, nil
}

// HTTP returns the web service of that name. The error is a [*run.Failure].
func (s *Set) HTTP(name string) (HTTP, error) {
	c, err := s.find(name, httpKind)
	if err != nil {
		return HTTP{}, err
	}
	c.http.Name, c.http.User = name, s.whose()
	return c.http, nil
}

// IMIS returns the iMIS site of that name. The error is a [*run.Failure].
func (s *Set) IMIS(name string) (IMIS, error) {
	user := s.whose()
	s = s.now()
	c, err := s.find(name, imisKind)
	if err != nil {
		return IMIS{}, err
	}
	c.imis.Name, c.imis.Pool, c.imis.User = name, s.pool, user
	return c.imis, nil
}

// Folder is the folder of a files connection. What is opened in it stays in it, also through symbolic
// links.
type Folder struct {
	*os.Root
	kept bool
}

// Close closes the folder, unless it is kept open for others.
func (f Folder) Close() {
	if !f.kept {
		f.Root.Close()
	}
}

// Keep returns the set for one goroutine that opens the same folders several times: each stays open from
// its first use until release. It is not for long: a folder that is put in another's place meanwhile is
// not seen.
func (s *Set) Keep() (keeping *Set, release func()) {
	if s == nil {
		return nil, func() {}
	}
	user := s.user
	s = s.now()
	keeping = &Set{file: s.file, path: s.path, guarded: s.guarded, connections: s.connections, brought: s.brought, free: s.free, kept: map[string]*os.Root{}, pool: s.pool, fault: s.fault, user: user}
	return keeping, func() {
		for _, root := range keeping.kept {
			root.Close()
		}
	}
}

// Files opens the folder of the files connection of that name, for the caller to close. The error is a
// [*run.Failure].
func (s *Set) Files(name string) (Folder, error) {
	s = s.now()
	c, err := s.find(name, filesKind)
	if err != nil {
		return Folder{}, err
	}
	if root, ok := s.kept[name]; ok {
		return Folder{root, true}, nil
	}
	root, err := os.OpenRoot(c.path)
	switch {
	case os.IsNotExist(err):
		return Folder{}, run.Failf("the folder of connection %s does not exist on the runner; make it, or correct %s", name, s.file)
	case os.IsPermission(err):
		return Folder{}, run.Failf("the runner may not read the folder of connection %s", name)
	case err != nil:
		return Folder{}, run.Failf("connection %s is not a folder on the runner; correct %s", name, s.file)
	}
	if s.kept != nil {
		s.kept[name] = root
	}
	return Folder{root, s.kept != nil}, nil
}

// Pool holds what all users of a set's connections share, such as whose turn it is at a site. It is safe
// for concurrent use, and belongs to one set and those that its Keep returns.
type Pool struct {
	mu    sync.Mutex
	known map[any]any
	turns *turn.Turns
}

func newPool() *Pool {
	return &Pool{known: map[any]any{}, turns: turn.New(nil, "", nil, zerolog.Nop())}
}

// Turns has the sites of the set, and of those that it becomes, take the turns of a runner that shares them with
// others. It is called before the set is used.
func (s *Set) Turns(turns *turn.Turns) {
	if s.follow != nil {
		s = s.follow.set
	}
	if s.pool != nil {
		s.pool.turns = turns
	}
}

// Turn is the turn at the site of a key, which takes so many requests at once.
func (p *Pool) Turn(key string, limit int) *turn.Turn {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.turns.At(key, limit)
}

// Share returns what the pool holds under key, which the first caller makes.
func Share[T any](p *Pool, key any, make func() T) T {
	p.mu.Lock()
	defer p.mu.Unlock()
	if shared, ok := p.known[key]; ok {
		return shared.(T)
	}
	shared := make()
	p.known[key] = shared
	return shared
}

// find returns the connection of that name, of one of the kinds.
func (s *Set) find(name string, kinds ...string) (connection, error) {
	s = s.now()
	if s != nil && s.fault != nil {
		fault := *s.fault // whoever gets it may add to it
		return connection{}, &fault
	}
	if s != nil {
		if c, ok := s.brought[name]; ok && s.connections[name].kind == "" && slices.Contains(kinds, c.kind) {
			return c, nil
		}
	}
	if s == nil || len(s.connections) == 0 {
		return connection{}, run.Failf("the task names the connection %s, and the runner has no connections; add it to its connections file, as in %s: {%s: %s}", name, name, kinds[0], needs[kinds[0]])
	}
	c, ok := s.connections[name]
	switch {
	case !ok:
		names := slices.Sorted(maps.Keys(s.connections))
		return c, run.Failf("there is no connection %s in %s%s It has %s.", name, s.file, cmp.Or(nearest.Hint(name, names), "."), strings.Join(names, ", "))
	case !slices.Contains(kinds, c.kind):
		return c, run.Failf("the connection %s in %s is of kind %s; the task needs one of kind %s there", name, s.file, c.kind, strings.Join(kinds, " or "))
	}
	return c, nil
}

// absolute resolves a path of the file against its folder.
func absolute(path, file string) (string, error) {
	if !filepath.IsAbs(path) {
		path = filepath.Join(filepath.Dir(file), path)
	}
	return filepath.Abs(path)
}
