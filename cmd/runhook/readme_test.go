//go:build !bench

package main

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// What the README shows is what a reader gets: its output is compared with the program's, and its
// commands are executed. In what it shows, … stands for anything, and lines may be left out.
func TestReadmeShowsTheTruth(t *testing.T) {
	// Not beside others: the README's polls wait for half a minute, which a busy machine outlasts.
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	demo := begin(t, "serve", "--demo", "--data", t.TempDir(), "--listen", "127.0.0.1:0", "--nats-listen", "127.0.0.1:0").listening()
	demo.out.Await(t, `Your turn`, demo.ended)
	addresses := strings.NewReplacer("http://127.0.0.1:8080", demo.url, "nats://127.0.0.1:4222", "…", "data in data)", "data in …)",
		"Prefer: wait=30", "Prefer: wait=120")

	_, block, _ := strings.Cut(string(readme), "<!-- the output of: runhook serve --demo -->\n```\n")
	shown, _, _ := strings.Cut(block, "```")
	contains(t, "runhook serve --demo", demo.out.String(), addresses.Replace(shown))

	consoles := regexp.MustCompile("(?s)```console\n(.*?)```").FindAllStringSubmatch(string(readme), -1)
	commands := 0
	for _, console := range consoles {
		for _, example := range strings.Split(strings.TrimPrefix(console[1], "$ "), "\n$ ") {
			command, shown, _ := strings.Cut(addresses.Replace(example), "\n")
			out, err := exec.Command("sh", "-c", strings.Replace(command, "curl ", "curl -sS ", 1)).CombinedOutput()
			if err != nil {
				t.Errorf("%s: %v\n%s", command, err, out)
			}
			contains(t, command, strings.ReplaceAll(string(out), "\r", ""), shown)
			commands++
		}
	}
	if commands < 3 {
		t.Errorf("only %d commands found in the README", commands)
	}
}

// contains checks that every shown line is there, in order.
func contains(t *testing.T, what, out, shown string) {
	t.Helper()
	rest := out
	for line := range strings.Lines(shown) {
		line = strings.TrimRight(line, "\n")
		if line == "" {
			continue
		}
		pattern := strings.ReplaceAll(regexp.QuoteMeta(line), "…", ".*")
		at := regexp.MustCompile("(?m)^" + pattern + "$").FindStringIndex(rest)
		if at == nil {
			t.Errorf("%s: the README shows\n%s\nwhich is not in\n%s", what, line, out)
			continue
		}
		rest = rest[at[1]:]
	}
}
