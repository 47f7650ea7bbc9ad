//go:build !bench

package main

import (
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"runhook/shared/pgtest"
	"runhook/shared/proctest"
)

// sudo stands in for the program of that name, which tests have no use for: packages are installed, and whoever runs the
// tests may be the administrator of their server.
const sudo = `#!/bin/sh
case "$*" in
"apt-get install postgresql") exit 0 ;;
"-u postgres "*) shift 2; if [ "$(id -u)" = 0 ]; then exec runuser -u postgres -- "$@"; else PGUSER=postgres exec "$@"; fi ;;
*) echo "sudo $*: not in the README" >&2; exit 1 ;;
esac
`

// The README's lines about PostgreSQL, with those above them that they stand for a part of, copy a file into a table of a
// server that was just installed.
func TestReadmeIntoPostgres(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)## Use your own data\n.*?```sh\n(.*?)```.*?Into PostgreSQL instead, on Debian:\n\n```sh\n(.*?)```").FindStringSubmatch(string(readme))
	if blocks == nil {
		t.Fatal("the README has no such blocks")
	}
	server := pgtest.NewFresh(t)
	dir, bin := t.TempDir(), t.TempDir()
	for path, content := range map[string]string{
		filepath.Join(bin, "sudo"):        sudo,
		filepath.Join(bin, "runhook"):     "#!/bin/sh\nexec '" + proctest.Program(t) + "' \"$@\"\n",
		filepath.Join(dir, "members.csv"): "id,name\n1,Ann\n2,Bob\n",
	} {
		if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	// Of the block above stays what is the same for each database.
	_, rest, _ := strings.Cut(blocks[1], "--key id")
	_, rest, _ = strings.Cut(rest, "\n")
	rest = strings.Replace(rest, "runhook run ", "until curl -fs $RUNHOOK_SERVER/readyz >/dev/null; do sleep 0.1; done\nrunhook run ", 1)
	script := "trap '[ -z \"$!\" ] || kill \"$!\" 2>/dev/null || true' EXIT\n" + strings.ReplaceAll(blocks[2], "/run/postgresql", server.Folder) + rest +
		"psql -h " + server.Folder + " -d crm -Atc 'select * from members order by id'\nkill $!\nwait $!\n"
	address := proctest.FreeAddress(t)
	self, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), "sh", "-ec", script)
	command.Dir = dir
	command.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "USER="+self.Username, "PGHOST="+server.Folder, "PGPORT=5432", "HOME="+dir,
		"RUNHOOK_LISTEN="+address, "RUNHOOK_SERVER=http://"+address, "RUNHOOK_NATS_LISTEN=127.0.0.1:0")
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, script, out)
	}
	for _, want := range []string{": 2 rows read, 2 inserted\n", "\n1|Ann\n2|Bob\n"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("%q is not in:\n%s", want, out)
		}
	}
}
