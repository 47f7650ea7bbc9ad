package task_test

import (
	"slices"
	"strings"
	"testing"

	"runhook/shared/task"
	"runhook/shared/taskfile"
)

func TestResolveBoundsValues(t *testing.T) {
	def := parameterized(t, "{name: A}", "{name: B, multiple: true, max_bytes: 10}", "{name: C, default: "+strings.Repeat("x", 5000)+"}")
	for _, c := range []struct {
		given task.Given
		want  string
	}{
		{str("A", strings.Repeat("x", 4096)), ""},
		{str("A", strings.Repeat("x", 4097)), "A has 4097 bytes, and may have 4096"},
		{str("A", strings.Repeat("é", 2049)), "A has 4098 bytes, and may have 4096"},
		{array("B", item("12345"), item("67890")), ""},
		{array("B", item("12345"), item("678901")), "B has 11 bytes, and may have 10"},
	} {
		_, err := def.Resolve([]task.Given{c.given})
		if err == nil && c.want != "" || err != nil && err.Error() != c.want {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
}

// A value that goes into a path stays one segment of it, also for a service that decodes more than it should.
func TestResolveKeepsValuesInTheirSegment(t *testing.T) {
	parse := func(parameter, path string) *task.Definition {
		t.Helper()
		def, err := taskfile.Parse([]byte("id: 555e1a89-5d7d-4daf-ae0e-7b9b2b7933dd\nname: x\nparameters: ["+parameter+"]\n"+
			"source: {http: {connection: c, path: '"+path+"'}}\nmapping: {id: ID}\ndestination: {csv: {connection: c, path: q, action: replace}}\n"), "task.yaml")
		if err != nil {
			t.Fatal(err)
		}
		return def
	}
	strict := parse("{filter: T.A}", "/a/{params.T.A}/b?x={params.A}")
	several := parse("{name: A, path: true}", "/a/{params.A}")
	loose := map[string]*task.Definition{
		"in a query":             parse("{name: A}", "/a?x={params.A}"),
		"path: true, in a query": parse("{name: A, path: true}", "/a?x={params.A}"),
	}
	for value, fits := range map[string]bool{
		"a": true, "..a": true, "100%": true, "é ?#&:@": true,
		"..": false, "../admin": false, `a\b`: false, `..\..\admin`: false, "a/..%5cadmin": false, "a/%2e%2e/b": false, "a/．．/b": false, "a／b": false, "..%2Fadmin": false, "%252f": false, "‥": false,
	} {
		_, err := strict.Resolve([]task.Given{str("A", value)})
		if (err == nil) != fits || err != nil && err.Error() != "A goes into a path, so it cannot have a slash, a backslash or a control character in it, or be dots alone, also in escapes" {
			t.Errorf("%s: %v", value, err)
		}
		// With path: true slashes and dots count as they stand, and dots that only some services see do not pass.
		fits = fits || slices.Contains([]string{"..", "../admin", `a\b`, "%252f", "a／b"}, value)
		if _, err := several.Resolve([]task.Given{str("A", value)}); (err == nil) != fits || err != nil && err.Error() != "A goes into a path, so it cannot have a control character in it, or dots alone between backslashes or in escapes" {
			t.Errorf("path: true, %s: %v", value, err)
		}
		for name, def := range loose {
			if _, err := def.Resolve([]task.Given{str("A", value)}); err != nil {
				t.Errorf("%s, %s: %v", value, name, err)
			}
		}
	}
}
