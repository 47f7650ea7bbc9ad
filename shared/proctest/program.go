package proctest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// Program is the path of the real program, built once for all tests of a package.
func Program(t testing.TB) string {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// programDir is where the program was built; Main removes it.
var programDir string

var program = sync.OnceValues(func() (path string, err error) {
	if programDir, err = os.MkdirTemp("", "runhook-binary-*"); err != nil {
		return "", err
	}
	return Build(programDir, "runhook/cmd/runhook")
})

// home is in this module, wherever a test has gone since.
var home, _ = os.Getwd()

// Build builds a command's package into a folder and returns its path. It does without the race detector, which
// makes a start cost five times as much, whatever the tests are built with.
func Build(dir, name string) (path string, err error) {
	path = filepath.Join(dir, filepath.Base(name))
	build := exec.Command("go", "build", "-ldflags=-s -w", "-o", path, name)
	build.Dir, build.Env = home, append(os.Environ(), "GOFLAGS=")
	said, err := build.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build %s: %w\n%s", name, err, said)
	}
	return path, nil
}
