package taskfile

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"runhook/shared/task"
)

// commented is a task file with comments, gaps and an order of its own.
const commented = `# Members who lapsed.
id: 555e1a89-5d7d-4daf-ae0e-7b9b2b7933dd   # do not give away
name:   'Refresh lapsed members'

# Where they come from:
source:
    csv: {connection: drop, path: in.csv}   # every night
mapping:
  full_name: FirstName + " " + LastName
  id: ID


destination: {sql: {connection: warehouse, table: members, key: [id], action: upsert}}
# the end`

func TestSetEnabledChangesOneLine(t *testing.T) {
	for name, c := range map[string]struct{ text, removed, added string }{
		"without the field": {commented, "", "enabled: false"},
		"with it":           {commented + "\nenabled:   true  # for now\n", "enabled:   true  # for now", "enabled:   false  # for now"},
		"a quoted key":      {commented + "\n\"enabled\": true", `"enabled": true`, `"enabled": false`},
		"CRLF":              {strings.ReplaceAll(sample, "\n", "\r\n"), "", "enabled: false\r"},
		"a byte order mark": {"\ufeff" + sample, "", "enabled: false"},
		"indented":          {"  " + strings.ReplaceAll(strings.TrimSuffix(sample, "\n"), "\n", "\n  ") + "\n", "", "  enabled: false"},
		"name is last":      {strings.Replace(sample, "name: Refresh lapsed members\n", "", 1) + "name: Last", "", "enabled: false"},
		"a block behind it": {strings.Replace(sample, "\nparameters:", "\ndescription: |+\n  # no comment\n\n\nparameters:", 1), "", "enabled: false"},
		"letters of two":    {with("Refresh lapsed members", "Größe") + "enabled: true # é", "enabled: true # é", "enabled: false # é"},
		"a name of lines":   {with("Refresh lapsed members", "Refresh\n  lapsed\n  # all of them\n"), "", "enabled: false"},
	} {
		t.Run(name, func(t *testing.T) {
			disabled, err := SetEnabled([]byte(c.text), false)
			if err != nil {
				t.Fatal(err)
			}
			removed, added := difference(c.text, string(disabled))
			if removed != c.removed || added != c.added {
				t.Errorf("removed %q and added %q, want %q and %q:\n%s", removed, added, c.removed, c.added, disabled)
			}
			if again, err := SetEnabled(disabled, false); err != nil || string(again) != string(disabled) {
				t.Errorf("disabled twice: %v\n%s", err, again)
			}
			enabled, err := SetEnabled(disabled, true)
			if err != nil {
				t.Fatal(err)
			}
			if _, added := difference(string(disabled), string(enabled)); added != strings.Replace(c.added, "false", "true", 1) {
				t.Errorf("enabling it again added %q", added)
			}
			if c.removed != "" && string(enabled) != c.text {
				t.Errorf("there and back is not the same file:\n%s", enabled)
			}
		})
	}
}

// difference is what stands between the common beginning and the common end of two texts' lines.
func difference(before, after string) (removed, added string) {
	a, b := strings.Split(before, "\n"), strings.Split(after, "\n")
	for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	for len(a) > 0 && len(b) > 0 && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	return strings.Join(a, "\n"), strings.Join(b, "\n")
}

func TestSetEnabledOfOneFlowMapping(t *testing.T) {
	text := `{"id": "555e1a89-5d7d-4daf-ae0e-7b9b2b7933dd", "name": "x", "source": {"csv": {"connection": "a", "path": "b"}}, "mapping": {"a": "b"}, "destination": {"csv": {"connection": "a", "path": "c", "action": "replace"}}}`
	disabled, err := SetEnabled([]byte(text), false)
	if err != nil || string(disabled) != `{"enabled": false, `+text[1:] {
		t.Errorf("%v: %s", err, disabled)
	}
	rotated, err := Rotate([]byte(text), formerA, time.Date(2031, 2, 1, 0, 0, 0, 0, time.UTC))
	want := `{"webhook": {"id": "` + formerA + `", "former": [{"id": "555e1a89-5d7d-4daf-ae0e-7b9b2b7933dd", "until": "2031-01-31"}]}, ` + text[1:]
	if err != nil || string(rotated) != want {
		t.Errorf("%v: %s", err, rotated)
	}
	plain := strings.Replace(text, `{"id"`, `{"webhook": {"id": "`+formerB+`"}, "id"`, 1)
	rotated, err = Rotate([]byte(plain), formerA, time.Date(2031, 2, 1, 0, 0, 0, 0, time.UTC))
	want = strings.Replace(plain, `{"id": "`+formerB+`"`, `{"former": [{"id": "`+formerB+`", "until": "2031-01-31"}], "id": "`+formerA+`"`, 1)
	if err != nil || string(rotated) != want {
		t.Errorf("%v: %s", err, rotated)
	}
}

func TestRotate(t *testing.T) {
	const old = "555e1a89-5d7d-4daf-ae0e-7b9b2b7933dd"
	until := time.Date(2031, 2, 1, 0, 0, 0, 0, time.UTC)
	rotate := func(t *testing.T, text string, to task.ID) string {
		t.Helper()
		rotated, err := Rotate([]byte(text), to, until)
		if err != nil {
			t.Fatal(err)
		}
		return string(rotated)
	}
	for name, c := range map[string]struct{ text, want string }{
		"the first time": {
			commented,
			strings.Replace(commented, "give away\n", "give away\nwebhook:\n  id: "+formerA+"\n  former:\n    - {id: "+old+", until: 2031-01-31}\n", 1),
		},
		"before others": {
			and("webhook:\n  id: " + formerB + " # now\n  former:\n  # leaked\n  - id: " + old + "\n    until: 2030-01-01"),
			sample + "webhook:\n  id: " + formerA + " # now\n  former:\n  # leaked\n  - {id: " + formerB + ", until: 2031-01-31}\n  - id: " + old + "\n    until: 2030-01-01\n",
		},
		"into a flow list": {
			and("webhook: {id: " + formerB + ", former: [{id: " + old + ", until: 2030-01-01}]} # before"),
			sample + "webhook: {id: " + formerA + ", former: [{id: " + formerB + ", until: 2031-01-31}, {id: " + old + ", until: 2030-01-01}]} # before\n",
		},
		"without former ones": {
			and("webhook:\n    id: '" + formerB + "'"),
			sample + "webhook:\n    former:\n      - {id: " + formerB + ", until: 2031-01-31}\n    id: '" + formerA + "'\n",
		},
		"without former ones, in braces": {
			and("webhook: {id: " + formerB + "}"),
			sample + "webhook: {former: [{id: " + formerB + ", until: 2031-01-31}], id: " + formerA + "}\n",
		},
		"beside ids of before": {
			and("former_ids: [{id: " + formerB + ", until: 2030-01-01}]"),
			with("id: "+old, "id: "+old+"\nwebhook:\n  id: "+formerA+"\n  former:\n    - {id: "+old+", until: 2031-01-31}") + "former_ids: [{id: " + formerB + ", until: 2030-01-01}]\n",
		},
		"an id in quotes and braces": {
			with(old, `"{555E1A89-5D7D-4DAF-AE0E-7B9B2B7933DD}"`),
			with("id: "+old, `id: "{555E1A89-5D7D-4DAF-AE0E-7B9B2B7933DD}"`+"\nwebhook:\n  id: "+formerA+"\n  former:\n    - {id: "+old+", until: 2031-01-31}"),
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := rotate(t, c.text, formerA); got != c.want {
				t.Errorf("got:\n%s\nwant:\n%s", got, c.want)
			}
		})
	}
	twice, err := Parse([]byte(rotate(t, rotate(t, commented, formerA), formerB)), "twice.yaml")
	if err != nil || twice.ID != old || twice.WebhookID() != formerB || len(twice.Webhook.Former) != 2 || twice.Webhook.Former[0].ID != formerA || twice.Webhook.Former[1].ID != old {
		t.Errorf("rotated twice: %v %+v", err, twice)
	}
	moment := time.Date(2031, 1, 31, 10, 20, 30, 400, time.UTC)
	timed, err := Rotate([]byte(sample), formerA, moment)
	if err != nil || !strings.Contains(string(timed), "until: 2031-01-31T10:20:30Z}") {
		t.Errorf("%v\n%s", err, timed)
	}
}

func TestEditsRefuse(t *testing.T) {
	if _, err := SetEnabled([]byte("name: x"), false); err == nil {
		t.Error("a broken file was edited")
	}
	if _, err := Rotate([]byte(and("webhook:\n  id: >-\n    "+formerB)), formerA, time.Now()); !errors.Is(err, ErrNotEditable) {
		t.Errorf("an id in a block: %v", err)
	}
	full := and("webhook:\n  id: " + formerB + "\n  former:\n")
	for range maxFormerIDs {
		full += "    - {id: " + string(task.NewID()) + ", until: 2031-01-31}\n"
	}
	if _, err := Rotate([]byte(full), formerA, time.Now()); err == nil || !strings.Contains(err.Error(), "webhook.former") {
		t.Errorf("a full list: %v", err)
	}
}

// What we ship and what `task new` makes can be edited.
func TestShippedFilesCanBeEdited(t *testing.T) {
	texts := map[string][]byte{"new": NewFile(task.NewID(), "x")}
	files, err := filepath.Glob("../../cmd/runhook/demo/tasks/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if texts[file], err = os.ReadFile(file); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range texts {
		disabled, err := SetEnabled(text, false)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if removed, added := difference(string(text), string(disabled)); removed != "" || added != "enabled: false" {
			t.Errorf("%s: removed %q, added %q", name, removed, added)
		}
		if _, err := Rotate(disabled, task.NewID(), time.Now()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzEdit looks for a file that an edit breaks.
func FuzzEdit(f *testing.F) {
	f.Add(sample)
	f.Add(commented)
	f.Add(and("enabled: true"))
	f.Add(and("former_ids: []\nwebhook: {id: " + formerA + "}"))
	f.Fuzz(func(t *testing.T, text string) {
		before, err := Parse([]byte(text), "fuzz.yaml")
		if err != nil {
			return
		}
		for _, edit := range []func() ([]byte, error){
			func() ([]byte, error) { return SetEnabled([]byte(text), !before.Enabled) },
			func() ([]byte, error) { return Rotate([]byte(text), formerA, time.Unix(1_900_000_000, 0)) },
		} {
			edited, err := edit()
			if err != nil {
				continue
			}
			after, err := Parse(edited, "edited.yaml")
			if err != nil || after.Name != before.Name || len(after.Mapping) != len(before.Mapping) || after.Destination.Traits().Restartable != before.Destination.Traits().Restartable {
				t.Errorf("%v: %q became %q", err, text, edited)
			}
		}
	})
}
