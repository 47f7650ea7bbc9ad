//go:build !bench

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"runhook/shared/proctest"
)

// completed are the words that the last one can be, without what they are.
func completed(t *testing.T, words ...string) (texts []string) {
	t.Helper()
	for line := range strings.Lines(mustCall(t, append([]string{"complete"}, words...)...)) {
		text, _, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		texts = append(texts, text)
	}
	return texts
}

func TestCompletions(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	i := begin(t, s.args()...).listening()
	i.awaitEnd(i.start(s.copy, nil))
	i.awaitEnd(i.start(s.copy, nil))
	mustCall(t, "connections", "pause", "here", "--server", i.url)
	on := func(words ...string) []string { return append([]string{"runs"}, words...) }
	server := []string{"--server", i.url, "--data", s.path("data")}
	for _, c := range []struct{ words, want []string }{
		{[]string{"ru"}, []string{"run", "runs", "runner"}},
		{[]string{"runs", "l"}, []string{"list"}},
		{[]string{"runs", "list", "--fa"}, []string{"--failed"}},
		{[]string{"runs", "list", "--outcome", ""}, []string{"success", "failed", "canceled", "open"}},
		{[]string{"runs", "list", "--outcome=f"}, []string{"--outcome=failed"}},
		{[]string{"runs", "list", "--outcome", "=", "f"}, []string{"failed"}}, // as bash has it
		{[]string{"serve", "--durability", ""}, []string{"always", "interval"}},
		{[]string{"serve", "--data", ""}, []string{":folders"}},
		{[]string{"task", "validate", ""}, []string{":files"}},
		{[]string{"completions", ""}, []string{"bash", "zsh", "fish"}},
		{append(on(append([]string{"list"}, server...)...), "--task", "Copy"), []string{"Copy people"}},
		{append(append([]string{"run"}, server...), ""), []string{"Copy people"}},
		{append(append([]string{"run"}, server...), "--wait", "co"), []string{"Copy people"}},
		{on(append(append([]string{"show"}, server...), "")...), []string{"2", "1"}},
		{on(append(append([]string{"cancel", "2"}, server...), "1")...), []string{"1"}},
		{on("show", "--server", "http://127.0.0.1:1", ""), nil},
		{append(append([]string{"connections", "pause"}, server...), ""), []string{"db", "here"}},
		{append(append([]string{"connections", "pause"}, server...), "d"), []string{"db"}},
		{append(append([]string{"connections", "resume"}, server...), ""), []string{"here"}},
		{[]string{"audit", "--what", "run"}, []string{"runs", "runs-again", "runs-cancel", "runs-delete", "runs-deleted"}},
		{[]string{"nosuch", ""}, completed(t, "")},
	} {
		proctest.Until(t, func() error { // a server that is too busy to answer in the time that somebody waits for it gives no words
			if got := completed(t, c.words...); !slices.Equal(got, c.want) && !(len(got) == 0 && len(c.want) == 0) {
				return fmt.Errorf("%q: %q, want %q", c.words, got, c.want)
			}
			return nil
		})
	}
	for _, hidden := range completed(t, "") {
		if hidden == "complete" {
			t.Error("a hidden command is offered")
		}
	}
}

// bash completes with the script that is printed: words with spaces are quoted.
func TestBashCompletes(t *testing.T) {
	t.Parallel()
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Fatalf("install bash, which make runs its commands with: %v", err)
	}
	s := newSite(t)
	i := begin(t, s.args()...).listening()
	i.awaitEnd(i.start(s.copy, nil))
	s.write("completions", mustCall(t, "completions", "bash"))
	script := `source "$1"
try() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); _runhook; printf '%s|' "${COMPREPLY[@]}"; echo; }
compopt() { :; }
try "$2" runs li
try "$2" runs list --server "$3" --data "$4" --task Co
try "$2" runs show --server "$3" --data "$4" ''
cd "$5"; try "$2" task validate conn
`
	out, err := exec.Command(bash, "--noprofile", "--norc", "-c", script, "bash", s.path("completions"), proctest.Program(t), i.url, s.path("data"), s.dir).CombinedOutput()
	if want := "list|\nCopy\\ people|\n1|\nconnections.yaml|\n"; err != nil || string(out) != want {
		t.Errorf("%v: %s, want\n%s", err, out, want)
	}
}

// fish completes with the script that is printed, and shows what a word is.
func TestFishCompletes(t *testing.T) {
	t.Parallel()
	fish, err := exec.LookPath("fish")
	if err != nil {
		t.Skip("there is no fish here")
	}
	s := newSite(t)
	i := begin(t, s.args()...).listening()
	i.awaitEnd(i.start(s.copy, nil))
	s.write("completions", mustCall(t, "completions", "fish"))
	for line, want := range map[string]string{
		"runs li":                       "list\tList runs, the newest first\n",
		"runs list --task Co":           "Copy people\t" + string(s.copy) + "\n",
		"runs show ":                    "1\tCopy people, Success\n",
		"runs list --outcome=c":         "--outcome=canceled\n",
		"task validate " + s.path("co"): s.path("completions") + "\n" + s.path("connections.yaml") + "\n",
	} {
		command := exec.Command(fish, "--no-config", "-c", "source $argv[1]; complete -C $argv[2]", s.path("completions"), proctest.Program(t)+" "+line)
		command.Env = append(os.Environ(), "HOME="+s.dir, "RUNHOOK_SERVER="+i.url, "RUNHOOK_DATA="+s.path("data"))
		out, err := command.CombinedOutput()
		if err != nil || string(out) != want {
			t.Errorf("%s: %v: %q, want %q", line, err, out, want)
		}
	}
}

// zsh completes with the script that is printed, and shows what a word is. What zsh has only while somebody types is stood
// in for.
func TestZshCompletes(t *testing.T) {
	t.Parallel()
	zsh, err := exec.LookPath("zsh")
	if err != nil {
		t.Fatalf("%v: .ci/needs installs it", err)
	}
	s := newSite(t)
	i := begin(t, s.args()...).listening()
	i.awaitEnd(i.start(s.copy, nil))
	s.write("completions", mustCall(t, "completions", "zsh"))
	const script = `compdef() { completes=$2 }
_describe() { print -rl -- "${(@P)3}" }
_files() { print files }
source $1
words=("${@[2,-1]}") CURRENT=${#words}
_runhook
print -r completes $completes`
	for typed, want := range map[string]string{
		"runs|li":              "list:List runs, the newest first",
		"runs|list|--task|Co":  "Copy people:" + string(s.copy),
		"runs|show|":           "1:Copy people, Success",
		"runs|cancel|":         "1:Copy people, Success",
		"runs|list|--outcom":   "--outcome:Only the runs that ended so, or have not: success, failed, canceled or open",
		"task|validate|conn":   "files",
		"runs|list|--task=Cop": "--task=Copy people:" + string(s.copy),
	} {
		command := exec.Command(zsh, append([]string{"-f", "-c", script, "zsh", s.path("completions"), proctest.Program(t)}, strings.Split(typed, "|")...)...)
		command.Env = append(os.Environ(), "HOME="+s.dir, "RUNHOOK_SERVER="+i.url, "RUNHOOK_DATA="+s.path("data"))
		out, err := command.CombinedOutput()
		if err != nil || strings.TrimPrefix(string(out), want+"\n") != "completes runhook\n" {
			t.Errorf("%s: %v: %q, want %q", typed, err, out, want)
		}
	}
}

// Each script is one that its shell takes.
func TestShellsTakeTheirScripts(t *testing.T) {
	t.Parallel()
	for _, shell := range []string{"bash", "zsh", "fish"} {
		script := mustCall(t, "completions", shell)
		if !strings.Contains(script, "runhook completions "+shell) || !strings.Contains(script, " complete ") {
			t.Errorf("%s: %s", shell, script)
		}
		path, err := exec.LookPath(shell)
		if err != nil {
			t.Logf("there is no %s here", shell)
			continue
		}
		check := exec.Command(path, "-n")
		check.Stdin = strings.NewReader(script)
		if out, err := check.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s: %v %s", shell, err, out)
		}
	}
}

// There is a page for each command, with all of its flags, and man takes it without a warning.
func TestManualPages(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "man1")
	mustCall(t, "man", "--dir", dir)
	pages, err := filepath.Glob(filepath.Join(dir, "*.1"))
	if err != nil || len(pages) < 30 {
		t.Fatalf("%v, %v", pages, err)
	}
	list := read(t, filepath.Join(dir, "runhook-runs-list.1"))
	for _, want := range []string{`\-\-with\-rejected`, `RUNHOOK_WITH_REJECTED`, "List runs, the newest first", ".SH SYNOPSIS", `runhook runs list \-p State=AK`} {
		if !strings.Contains(list, want) {
			t.Errorf("%q is missing in\n%s", want, list)
		}
	}
	if all := read(t, filepath.Join(dir, "runhook.1")); !strings.Contains(all, ".BR runhook\\-runs (1)") || strings.Contains(all, "complete\n") {
		t.Errorf("%s", all)
	}
	if printed := mustCall(t, "man"); printed != read(t, filepath.Join(dir, "runhook.1")) {
		t.Error("what is printed is another page")
	}
	groff, err := exec.LookPath("groff")
	if err != nil {
		t.Skip("there is no groff here")
	}
	for _, page := range pages {
		out, err := exec.Command(groff, "-man", "-ww", "-z", "-Tutf8", page).CombinedOutput()
		if err != nil || len(out) > 0 {
			t.Errorf("%s: %v %s", page, err, out)
		}
	}
}
