// Package demo holds what `runhook serve --demo` brings along: a public data set, tasks on it, and
// a first run that shows what they do.
package demo

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"runhook/shared/task"
)

//go:embed connections.yaml files/*.csv tasks/*.yaml
var content embed.FS

const (
	connections = "connections.yaml"
	// noService stands in it for the address of the service.
	noService = "http://demo.invalid"
)

// The tasks that the tour starts by their webhooks: Airports is what the demo runs itself, and Report
// must be given a state.
const (
	Airports = task.ID("3b0f5c1e-7a53-4a86-9d0c-6a1d5f3e2c01")
	Report   = task.ID("3b0f5c1e-7a53-4a86-9d0c-6a1d5f3e2c03")
)

// Files says where the demo's files are.
type Files struct {
	// Tasks is the folder of task files.
	Tasks string
	// Connections is the connections file.
	Connections string
	// Database is the SQLite database that the task Airports writes.
	Database string
}

// Unpack writes the demo into the folder dir, which it makes. What is there already stays as it is,
// so that the demo can be changed, but for the connections file: service is the present address of
// the [Service].
func Unpack(dir, service string) (Files, error) {
	err := fs.WalkDir(content, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		path := filepath.Join(dir, filepath.FromSlash(name))
		if entry.IsDir() {
			return os.MkdirAll(path, 0o700)
		}
		data, err := content.ReadFile(name)
		if err != nil {
			return err
		}
		if name == connections {
			return write(path, bytes.ReplaceAll(data, []byte(noService), []byte(service)))
		}
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return write(path, data)
	})
	if err != nil {
		return Files{}, fmt.Errorf("unpack the demo: %w", err)
	}
	return Files{
		Tasks:       filepath.Join(dir, "tasks"),
		Connections: filepath.Join(dir, connections),
		Database:    filepath.Join(dir, "demo.db"),
	}, nil
}

// write writes beside and renames, so that a file is there whole or not at all.
func write(path string, data []byte) error {
	if err := os.WriteFile(path+".new", data, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
