//go:build unix

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"runhook/shared/proctest"
)

// What this user may not write is said, by a program that is not root.
func TestCheckFindsMissingRights(t *testing.T) {
	t.Parallel()
	s := checkSite(t)
	program := proctest.Program(t)
	for _, folder := range []string{filepath.Dir(program), filepath.Dir(s.dir)} {
		if err := os.Chmod(folder, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s.write("open/people.csv", "id,name\n")
	s.write("shut/people.csv", "id,name\n")
	s.write("tables.yaml", checkHead+fromPeople+mapPeople+toTable("table: people, key: [id], action: upsert"))
	s.write("replace.yaml", checkHead+fromPeople+mapPeople+"destination: {csv: {connection: here, path: shut/people.csv, action: replace}}\n")
	s.write("append.yaml", checkHead+fromPeople+mapPeople+"destination: {csv: {connection: here, path: shut/people.csv, action: append}}\n")
	for path, mode := range map[string]os.FileMode{"": 0o755, "people.csv": 0o644, "site.db": 0o444, "shut": 0o555, "shut/people.csv": 0o666, "open": 0o777, "connections.yaml": 0o644, "tables.yaml": 0o644, "replace.yaml": 0o644, "append.yaml": 0o644} {
		if err := os.Chmod(s.path(path), mode); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { _ = os.Chmod(s.path("shut"), 0o755) })
	for file, says := range map[string][]string{
		"tables.yaml": {
			"error: destination.sql.connection: the database of connection db may not be written by this user; correct the permissions of its file",
			"error: destination.sql.connection: the folder of the database of connection db may not be written by this user, and the database's journal has to be in it; correct its permissions",
		},
		"replace.yaml": {"error: destination.csv.path: the folder of the file shut/people.csv of connection here may not be written by this user; correct its permissions"},
		"append.yaml":  nil, // the file is there, and may be written
	} {
		command := exec.CommandContext(t.Context(), program, "task", "check", s.path(file), "--connections", s.path("connections.yaml"))
		command.Dir = "/"
		if os.Getuid() == 0 {
			command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		} else if file == "tables.yaml" {
			if err := os.Chmod(s.dir, 0o555); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.Chmod(s.dir, 0o755) })
		}
		out, err := command.Output()
		if (err != nil) != (len(says) > 0) || strings.Count(string(out), ": error: ") != len(says) {
			t.Errorf("%s: %v\n%s", file, err, out)
		}
		for _, part := range says {
			if !strings.Contains(string(out), part) {
				t.Errorf("%s: got\n%swant %s", file, out, part)
			}
		}
	}
}
