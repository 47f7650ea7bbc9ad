//go:build !bench

package main

import (
	"strings"
	"testing"
)

// A run is followed to its end, and its result is the exit code.
func TestRunsWatch(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	i := begin(t, s.args()...).listening()
	release := s.hold()
	started := i.start(s.copy, nil)
	i.awaitRunning(started)
	watch := begin(t, "runs", "watch", started.Number.String(), "--server", i.url)
	watch.log.Await(t, "In progress", watch.ended)
	release()
	if code, out, messages := watch.said(); code != exitSuccess || !strings.HasPrefix(out, "Success after ") || !strings.Contains(messages, `Run 1 of "Copy people"`) {
		t.Errorf("exit code %d, %s%s", code, out, messages)
	}
	s.write("people.csv", "")
	i.awaitEnd(i.start(s.copy, nil))
	if code, _, messages := call(t, "runs", "watch", "2", "--server", i.url); code != exitFailed || !strings.Contains(messages, "run 2 failed") {
		t.Errorf("exit code %d, %s", code, messages)
	}
	for args, says := range map[string]string{"": "name the run to watch", "1 --task people": "leave it out, or the number", "x": "is not a run number", "99": "Run 99 does not exist"} {
		if code, _, messages := call(t, append([]string{"runs", "watch", "--server", i.url}, strings.Fields(args)...)...); code == exitSuccess || !oneLine(messages, says) {
			t.Errorf("%s: exit code %d, %s", args, code, messages)
		}
	}
}

// The runs of a task are a line for each change, from now on.
func TestRunsWatchATask(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	i := begin(t, s.args()...).listening()
	i.awaitEnd(i.start(s.copy, nil))
	watch := begin(t, "runs", "watch", "--task", "people", "--server", i.url)
	release := s.hold()
	started := i.start(s.copy, nil)
	watch.out.Await(t, `run 2: In progress`, watch.ended)
	release()
	i.awaitEnd(started)
	watch.out.Await(t, `run 2: Success: `, watch.ended)
	watch.end()
	if out := watch.out.String(); strings.Contains(out, "run 1:") || strings.Contains(out, "\x1b") || strings.Count(out, "run 2: Success") != 1 {
		t.Errorf("%s", out)
	}
}
