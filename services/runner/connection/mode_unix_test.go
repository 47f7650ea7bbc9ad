//go:build unix

package connection_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"runhook/services/runner/connection"
	"runhook/shared/run"
)

// A file with secrets is for who may know them, and every file for who may choose where credentials go.
func TestMode(t *testing.T) {
	t.Setenv("RUNHOOK_TEST_SECRET", "hunter2")
	const plain = "a: {sqlite: a.db}\n"
	const read, change = "and everybody on this machine may read the file (mode 0644); run `chmod 600 connections.yaml` and change that secret, or take it from the environment", "may be changed by everybody on this machine (mode "
	for _, c := range []struct {
		text string
		mode os.FileMode
		says string
	}{
		{plain, 0o644, ""},
		{plain, 0o664, ""},
		{plain, 0o666, change + "0666), who could lead its credentials elsewhere; run `chmod o-w connections.yaml`"},
		{plain, 0o602, change},
		{plain + "b: {imis: {url: 'https://x.example', username: u, password: hunter2}}", 0o644, ":2: the connection b holds its password itself, " + read},
		{plain + "b: {imis: {url: 'https://x.example', username: u, password: hunter2}}", 0o660, ""},
		{plain + "b: {imis: {url: 'https://x.example', username: u, password: '${RUNHOOK_TEST_SECRET}'}}", 0o644, ""},
		{plain + "b: {imis: {url: 'https://x.example', username: u, password: '$${RUNHOOK_TEST_SECRET}'}}", 0o644, read},
		{plain + "b: {http: {url: 'https://x.example', headers: {Authorization: Bearer hunter2}}}", 0o644, ":2: the connection b holds the value of the header Authorization itself, " + read},
		{plain + "b: {http: {url: 'https://x.example', headers: {X-Api-Key: hunter2}}}", 0o644, "of the header X-Api-Key itself"},
		{plain + "b: {http: {url: 'https://x.example', headers: {X-Own: Basic hunter2}}}", 0o644, "of the header X-Own itself"},
		{plain + "b: {http: {url: 'https://x.example', headers: {Authorization: 'Bearer ${RUNHOOK_TEST_SECRET}'}}}", 0o644, ""},
		{plain + "b: {http: {url: 'https://x.example', headers: {Accept: text/plain, X-Tenant: 7}}}", 0o644, ""},
	} {
		path := filepath.Join(t.TempDir(), "connections.yaml")
		if err := errors.Join(os.WriteFile(path, []byte(c.text), 0o600), os.Chmod(path, c.mode)); err != nil {
			t.Fatal(err)
		}
		_, err := connection.Load(path)
		if (err != nil) != (c.says != "") || err != nil && (!strings.HasPrefix(err.Error(), path) || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "hunter2")) {
			t.Errorf("mode %04o, %s: %v", c.mode, c.text, err)
		}
	}
}

// Who has let everybody read the file sees each run fail until that is mended, and no run before knows of it.
func TestFollowedMode(t *testing.T) {
	set, _, log := followed(t, "b: {imis: {url: 'https://x.example', username: u, password: hunter2}}\na: {sqlite: a.db}")
	at, err := set.Database("a")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(filepath.Dir(at.SQLite), "connections.yaml")
	for range 2 {
		if err := os.Chmod(path, 0o644); err != nil {
			t.Fatal(err)
		}
		_, err = set.Database("a")
		failure, ok := errors.AsType[*run.Failure](err)
		if !ok || !failure.Passing || !strings.HasPrefix(failure.Message, "connections.yaml:1: the connection b holds its password itself") {
			t.Errorf("got %v", err)
		}
		if err := os.Chmod(path, 0o600); err != nil {
			t.Fatal(err)
		}
		if got := database(t, set, "a"); got != "a.db" {
			t.Errorf("mended: %s", got)
		}
	}
	if text := log.String(); strings.Count(text, "is not used") != 2 || strings.Contains(text, "hunter2") {
		t.Error(text)
	}
}
