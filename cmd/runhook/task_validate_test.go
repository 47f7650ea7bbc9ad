package main

import (
	"strings"
	"testing"
)

func TestTaskValidate(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.write("append.yaml", "id: 11111111-2222-4333-8444-555555555555\nname: Log\nsource: {csv: {connection: here, path: people.csv}}\n"+
		"mapping: {id: id}\ndestination: {csv: {connection: here, path: log.csv, action: append}}\n")
	s.write("broken.yaml", "id: 1\nnmae: Broken\n")
	s.write("twin.yaml", read(t, s.path("tasks/copy.yaml")))
	for name, c := range map[string]struct {
		paths []string
		code  int
		// out and says are parts of the output and of the messages.
		out, says string
	}{
		"a file":                  {[]string{"tasks/copy.yaml"}, exitSuccess, "Copy people (" + string(s.copy) + ") is valid", ""},
		"a folder":                {[]string{"tasks"}, exitSuccess, "is valid", ""},
		"what cannot start over":  {[]string{"append.yaml"}, exitSuccess, "note: an interrupted run continues after the last confirmed batch if the file is unchanged, otherwise it ends Failed", ""},
		"a broken one":            {[]string{"broken.yaml", "tasks/copy.yaml"}, exitFailed, "Copy people", "broken.yaml:2: "},
		"two of one id":           {[]string{"tasks/copy.yaml", "twin.yaml"}, exitFailed, "Copy people", "have the same id"},
		"the same twice":          {[]string{"tasks/copy.yaml", "tasks/copy.yaml"}, exitSuccess, "Copy people", ""},
		"none":                    {[]string{"none.yaml"}, exitFailed, "", "none.yaml"},
		"no task file":            {[]string{"people.csv"}, exitFailed, "", "people.csv:"},
		"a folder without a task": {[]string{"."}, exitFailed, "", "broken.yaml:2: "},
	} {
		t.Run(name, func(t *testing.T) {
			args := []string{"task", "validate"}
			for _, path := range c.paths {
				args = append(args, s.path(path))
			}
			code, out, messages := ask(t, args...)
			if code != c.code || !strings.Contains(out, c.out) || !strings.Contains(messages, c.says) || c.says == "" && messages != "" {
				t.Errorf("exit code %d, output %q, messages %q", code, out, messages)
			}
		})
	}
}
