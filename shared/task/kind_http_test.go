package task

import (
	"net/url"
	"strings"
	"testing"
)

func TestExpandHTTP(t *testing.T) {
	params := map[string]any{
		"State": "CA", "Odd": "a&b=c d/../?#%é{x}", "Strange": "a&b=c d;?#%é{x}", "Parent": "../admin", "None": "", "States": []string{"CA", "N V"}, "NoStates": []string{}, "Dots": "..", "C.Id": "7",
	}
	for path, want := range map[string]string{
		"/people":                              "/people",
		"/people?state={params.State}":         "/people?state=CA",
		"/people?state={params.Odd}&x=1":       "/people?state=a%26b%3Dc%20d%2F..%2F%3F%23%25%C3%A9%7Bx%7D&x=1",
		"/people?state={params.None}&x=1":      "/people?x=1",
		"/people?x=1&state={params.None}":      "/people?x=1",
		"/people?state={params.None}":          "/people",
		"/people?state={params.States}&x=1":    "/people?state=CA&state=N%20V&x=1",
		"/people?state={params.NoStates}":      "/people",
		"/people?q=state:{params.State}":       "/people?q=state:CA",
		"/people?q=state:{params.None}":        "/people?q=state:",
		"/people/{params.State}/{params.C.Id}": "/people/CA/7",
		"/people/{params.Strange}":             "/people/a&b=c%20d%3B%3F%23%25%C3%A9%7Bx%7D",
		"/x?a={params.State}{params.State}":    "/x?a=CACA",
		// What was written stays, byte for byte.
		"/x?&a;b=%&flat&&c=%20+": "/x?&a;b=%&flat&&c=%20+",
		"/x?":                    "/x?",
		"/x?a={params.None}&q=s:{params.State}&r={params.None}&&t": "/x?q=s:CA&&t",
		"/x?a={params.None}&b={params.NoStates}":                   "/x",
		"/x?a={params.State}&b={params.None}":                      "/x?a=CA",
	} {
		got, err := (&HTTPSource{Path: path}).Expand(params)
		if err != nil || got != want {
			t.Errorf("%s: got %s, %v; want %s", path, got, err, want)
		}
	}
	for _, path := range []string{"/people/{params.None}", "/people/{params.Dots}", "/people/{params.Odd}", "/people/x{params.Parent}", "/people/{params.States}", "/people?a=x{params.States}"} {
		if got, err := (&HTTPSource{Path: path}).Expand(params); err == nil {
			t.Errorf("%s became %s", path, got)
		}
	}
}

// A value that may be a path is one, and nothing else.
func TestExpandAnyPath(t *testing.T) {
	source := HTTPSource{Path: "/a/{params.P}?q={params.P}", AnyPath: []string{"P"}}
	for value, want := range map[string]string{
		"b": "/a/b?q=b", "b/c": "/a/b/c?q=b%2Fc", "../c": "/a/../c?q=..%2Fc", "b?x=1#y": "/a/b%3Fx=1%23y?q=b%3Fx%3D1%23y", "b%2Fc": "/a/b%252Fc?q=b%252Fc", `b\c`: "/a/b%5Cc?q=b%5Cc",
	} {
		if got, err := source.Expand(map[string]any{"P": value}); err != nil || got != want {
			t.Errorf("%s: got %s, %v; want %s", value, got, err, want)
		}
	}
}

// Dots that only some services see would lead out of the connection's url, which the runner cannot tell.
func TestExpandAnyPathRefusesHiddenDots(t *testing.T) {
	source := HTTPSource{Path: "/a/{params.P}", AnyPath: []string{"P"}}
	for _, value := range []string{`..\..\c`, `b\..\c`, "..%2f..%2fc", "%2e%2e/c", "b/%252e%252e", "．．/c", "b／‥／c", "b%00", "..;x/c"} {
		if got, err := source.Expand(map[string]any{"P": value}); err == nil {
			t.Errorf("%s became %s", value, got)
		}
	}
}

// A segment of a path is one to every service, however it decodes.
func TestIsSegment(t *testing.T) {
	for value, want := range map[string]bool{
		"7": true, "a.b": true, "...": true, ".a": true, "50%": true, "%41": true, "a;b=..": true, "": true, "漢字": true, "2026-01-31": true, "%zz": true, "a b": true,
		"a/b": false, "/": false, `a\b`: false, ".": false, "..": false, "..;x": false, "%2e%2E": false, "a%2fb": false, "%5c": false, "%252f": false, "50%%2f": false,
		"%25252525252f": false, "a／b": false, "‥": false, "．．": false, "a\u2215b": false, "%ef%bc%8f": false, "%c0%af": false, "a\x00b": false, "a%00b": false, "a\nb": false, "\x7f": false,
	} {
		if got := IsSegment(value); got != want {
			t.Errorf("%q: %v", value, got)
		}
	}
}

// Whatever a value is, it stays the one value of its place.
func FuzzExpandHTTP(f *testing.F) {
	f.Add("a&b=c", "x/../y")
	f.Add("..", "%2e")
	f.Fuzz(func(t *testing.T, inQuery, inPath string) {
		target, err := (&HTTPSource{Path: "/a/{params.P}/z?q={params.Q}&r=1"}).Expand(map[string]any{"Q": inQuery, "P": inPath})
		if err != nil {
			return
		}
		u, err := url.Parse(target)
		if err != nil || u.Host != "" || u.Fragment != "" {
			t.Fatalf("%q, %q: %s is %+v, %v", inQuery, inPath, target, u, err)
		}
		query := u.Query()
		if len(query) > 2 || query.Get("r") != "1" || query.Get("q") != inQuery {
			t.Errorf("%q became %s", inQuery, target)
		}
		if parts := strings.Split(u.EscapedPath(), "/"); len(parts) != 4 || u.Path != "/a/"+inPath+"/z" {
			t.Errorf("%q became %s", inPath, target)
		}
	})
}
