package tokenfile_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"runhook/shared/tokenfile"
)

const one, two = "0123456789abcdef", "fedcba9876543210"

func write(t *testing.T, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "admin.token")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRead(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       []tokenfile.Token
	}{
		{"a token alone", one + "\n", []tokenfile.Token{{Name: "admin", Secret: one}}},
		{"with names, among comments", "# ours\r\n\r\nann: " + one + "\r\nben.b@x-1:" + two, []tokenfile.Token{{Name: "ann", Secret: one}, {Name: "ben.b@x-1", Secret: two}}},
		{"two of one name", "ann: " + one + "\nann: " + two, []tokenfile.Token{{Name: "ann", Secret: one}, {Name: "ann", Secret: two}}},
		{"one that reads", "grafana(read):  " + one, []tokenfile.Token{{Name: "grafana", Secret: one, ReadOnly: true}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, mode := range []os.FileMode{0o600, 0o400, 0o640} {
				got, err := tokenfile.Read(write(t, c.text, mode))
				if err != nil || !reflect.DeepEqual(got, c.want) {
					t.Errorf("mode %o: %+v, %v", mode, got, err)
				}
			}
		})
	}
}

func TestReadRefuses(t *testing.T) {
	for _, c := range []struct {
		name, text string
		mode       os.FileMode
		says       string
	}{
		{"nothing", "\n# none\n", 0o600, "openssl rand -hex 32 > "},
		{"a short one", "ann: " + one[1:], 0o600, ":1: a token is at least 16 visible characters"},
		{"a name without a token", "\nann:", 0o600, ":2: a token is at least 16"},
		{"two words", one + " " + two, 0o600, ":1: a token is at least 16"},
		{"letters that a header cannot have", one + "é", 0o600, ":1: a token is at least 16"},
		{"rights that there are not", "ann(write): " + one, 0o600, ":1: a token is for everything, as in ann: TOKEN, or for reading"},
		{"one twice", "ann: " + one + "\nben: " + one, 0o600, ":2: this token stands twice"},
		{"others may write", one, 0o602, "chmod 600"},
		{"the group may write", one, 0o660, "may be written by others (mode 0660)"},
		{"everybody may read", one, 0o644, "may be read by everybody on this machine (mode 0644)"},
		{"too large", strings.Repeat(one+"\n", 1<<17), 0o600, "more than 1048576 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := write(t, c.text, c.mode)
			tokens, err := tokenfile.Read(path)
			if err == nil || !strings.Contains(err.Error(), c.says) || !strings.HasPrefix(err.Error(), path) || strings.Contains(err.Error(), one[1:]) {
				t.Errorf("%v, %v", tokens, err)
			}
		})
	}
	if _, err := tokenfile.Read(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

func TestCreate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "admin.token")
	if err := tokenfile.Create(path); err != nil {
		t.Fatal(err)
	}
	first, err := tokenfile.Read(path)
	if err != nil || len(first) != 1 || len(first[0].Secret) != 64 || first[0].ReadOnly {
		t.Errorf("%d tokens, %v", len(first), err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if err := tokenfile.Create(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second time: %v", err)
	}
	if again, err := tokenfile.Read(path); err != nil || again[0] != first[0] {
		t.Errorf("the file is another one: %v", err)
	}
	other := filepath.Join(t.TempDir(), "other")
	if err := tokenfile.Create(other); err != nil {
		t.Fatal(err)
	}
	if tokens, _ := tokenfile.Read(other); tokens[0].Secret == first[0].Secret {
		t.Error("two files have one token")
	}
}
