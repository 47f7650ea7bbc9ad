package main

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// listed is what `go list` tells of a package.
type listed struct {
	ImportPath string
	Imports    []string
}

// rule forbids imports. who and what are import paths, of which "…/" names all below it.
type rule struct {
	why string
	// who may not import what, but for those in except.
	who    []string
	what   []string
	except []string
}

// houseRules are what keeps the parts apart.
var houseRules = []rule{
	{
		why: "what services share knows none of them",
		who: []string{"runhook/shared/"}, what: []string{"runhook/services/"},
	},
	{
		why: "only shared/bus, and what is below it, knows NATS; shared/broker and shared/bustest run its server",
		who: []string{"runhook/"}, what: []string{"github.com/nats-io/"},
		// The example is what somebody else's program does.
		except: []string{"runhook/shared/bus", "runhook/shared/bus/", "runhook/shared/broker", "runhook/shared/bustest", "runhook/deploy/examples/"},
	},
	{
		why: "only the HTTP edge knows fasthttp",
		who: []string{"runhook/"}, what: []string{"github.com/valyala/fasthttp", "github.com/valyala/fasthttp/", "github.com/fasthttp/"},
		except: []string{"runhook/shared/web", "runhook/shared/openapi", "runhook/services/ingress", "runhook/services/status", "runhook/services/status/console"},
	},
	{
		why: "only the sql connector speaks to the servers of databases; shared/pgtest and shared/mariatest run one",
		who: []string{"runhook/"}, what: []string{"github.com/jackc/", "github.com/go-sql-driver/"},
		except: []string{"runhook/services/runner/connector/sqldb", "runhook/shared/pgtest", "runhook/shared/mariatest"},
	},
	{
		why: "services speak the verbs of the bus; the store is repaired and backed up around them",
		who: []string{"runhook/services/"}, what: []string{"runhook/shared/bus/"},
	},
	{
		why: "what is answered to an error depends on the error, not on who stored the run",
		who: []string{"runhook/shared/web"}, what: []string{"runhook/shared/bus", "runhook/shared/bus/", "github.com/nats-io/"},
	},
	{
		why: "who is signed in depends neither on how they ask nor on who keeps it",
		who: []string{"runhook/shared/session"}, what: []string{"github.com/nats-io/", "github.com/valyala/", "runhook/shared/bus", "runhook/shared/web"},
	},
	{
		why: "what a task and a run are depends on no technology",
		who: []string{"runhook/shared/task", "runhook/shared/run"},
		what: []string{
			"net/http", "github.com/nats-io/", "github.com/valyala/", "github.com/fasthttp/", "github.com/rs/zerolog", "runhook/shared/bus", "runhook/shared/web",
			"go.yaml.in/", "gopkg.in/", "sigs.k8s.io/yaml", "runhook/shared/taskfile",
		},
	},
	{
		why: "a run knows no kind of connector; who composes the program hands it their table",
		who: []string{
			"runhook/services/runner", "runhook/services/runner/pipeline", "runhook/services/runner/connector",
			"runhook/services/runner/connection", "runhook/services/runner/check", "runhook/services/runner/row",
		},
		what: []string{"runhook/services/runner/connector/"},
	},
}

// breaks lists the imports of a package that the rules forbid. deps are all that it imports,
// directly or not.
func breaks(path string, direct, deps []string) (broken []string) {
	for _, r := range houseRules {
		if !fits(path, r.who) || fits(path, r.except) {
			continue
		}
		imports := direct
		if slices.Contains(r.who, path) {
			imports = deps // a domain package may not get there by a detour either
		}
		for _, imported := range imports {
			if fits(imported, r.what) {
				broken = append(broken, path+" imports "+imported+": "+r.why)
			}
		}
	}
	service := func(path string) string {
		rest, ok := strings.CutPrefix(path, "runhook/services/")
		if !ok {
			return ""
		}
		name, _, _ := strings.Cut(rest, "/")
		return name
	}
	for _, imported := range deps {
		if mine, other := service(path), service(imported); mine != "" && other != "" && mine != other {
			broken = append(broken, path+" imports "+imported+": services do not know each other")
		}
	}
	return broken
}

// fits reports whether a path is one of those, or below one that ends with a slash.
func fits(path string, those []string) bool {
	return slices.ContainsFunc(those, func(that string) bool {
		return path == that || strings.HasSuffix(that, "/") && strings.HasPrefix(path, that)
	})
}

// findsZones reports whether a file looks for time zones by itself: only package zone knows which rules are the newest.
func findsZones(path, text string) bool {
	return strings.Contains(text, "time.Load"+"Location(") && !strings.Contains(path, "shared/zone/")
}

// atRoot lists the Go files among the entries of the repository's root, which shows rooms and no code.
func atRoot(entries []string) (files []string) {
	for _, name := range entries {
		if strings.HasSuffix(name, ".go") {
			files = append(files, name+" lies in the repository's root; the program is in cmd/runhook")
		}
	}
	return files
}

func TestRulesOfTheHouse(t *testing.T) {
	t.Parallel()
	listing := exec.Command("go", "list", "-json=ImportPath,Imports", "runhook/...")
	out, err := listing.Output()
	if err != nil {
		t.Fatal(err)
	}
	imports := map[string][]string{}
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		imports[p.ImportPath] = p.Imports
	}
	if len(imports) < 10 {
		t.Fatalf("go list found %d packages", len(imports))
	}
	for path, direct := range imports {
		for _, broken := range breaks(path, direct, reach(path, imports)) {
			t.Error(broken)
		}
	}
	err = filepath.WalkDir("../..", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") {
			return err
		}
		text, err := os.ReadFile(path)
		if findsZones(path, string(text)) {
			t.Errorf("%s looks for time zones by itself: use zone.Load", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	root, err := os.ReadDir("../..")
	if err != nil {
		t.Fatal(err)
	}
	var entries []string
	for _, entry := range root {
		entries = append(entries, entry.Name())
	}
	if !slices.Contains(entries, "go.mod") {
		t.Fatalf("%v is not the root", entries)
	}
	for _, file := range atRoot(entries) {
		t.Error(file)
	}
}

// reach lists what a package imports, directly or through packages of this module.
func reach(path string, imports map[string][]string) []string {
	seen := map[string]bool{}
	for next := slices.Clone(imports[path]); len(next) > 0; {
		imported := next[0]
		next = next[1:]
		if !seen[imported] {
			seen[imported] = true
			next = append(next, imports[imported]...)
		}
	}
	var all []string
	for imported := range seen {
		all = append(all, imported)
	}
	slices.Sort(all)
	return all
}

// The rules catch what they forbid.
func TestRulesCatch(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		path, imports string
		broken        bool
	}{
		{"runhook/services/ingress", "runhook/services/status", true},
		{"runhook/services/runner/pipeline", "runhook/services/ingress", true},
		{"runhook/services/runner", "runhook/services/runner/pipeline", false},
		{"runhook/shared/web", "runhook/services/status", true},
		{"runhook/services/status", "runhook/shared/bus/recovery", true},
		{"runhook/services/status", "runhook/shared/bus", false},
		{"runhook/shared/bus/recovery", "github.com/nats-io/nats.go", false},
		{"runhook/shared/web", "runhook/shared/bus", true},
		{"runhook/services/ingress", "github.com/nats-io/nats.go/jetstream", true},
		{"runhook/cmd/runhook", "github.com/nats-io/nats.go", true},
		{"runhook/shared/bus", "github.com/nats-io/nats.go/jetstream", false},
		{"runhook/shared/web", "runhook/shared/run", false},
		{"runhook/services/runner", "github.com/valyala/fasthttp", true},
		{"runhook/cmd/runhook", "github.com/valyala/fasthttp/reuseport", true},
		{"runhook/services/status", "github.com/valyala/fasthttp", false},
		{"runhook/services/status/sweep", "github.com/valyala/fasthttp", true},
		{"runhook/services/status/console", "github.com/valyala/fasthttp", false},
		{"runhook/services/runner/connection", "github.com/jackc/pgx/v5", true},
		{"runhook/services/runner/connector/sqldb", "github.com/jackc/pgx/v5/stdlib", false},
		{"runhook/shared/task", "net/http", true},
		{"runhook/shared/task", "go.yaml.in/yaml/v4", true},
		{"runhook/shared/task", "runhook/shared/taskfile", true},
		{"runhook/shared/run", "gopkg.in/yaml.v3", true},
		{"runhook/shared/taskfile", "go.yaml.in/yaml/v4", false},
		{"runhook/shared/run", "runhook/shared/task", false},
		{"runhook/shared/run", "runhook/shared/bus", true},
		{"runhook/cmd/runhook", "runhook/services/runner", false},
		{"runhook/services/runner/pipeline", "runhook/services/runner/connector/sqldb", true},
		{"runhook/services/runner", "runhook/services/runner/connector/builtin", true},
		{"runhook/services/runner", "runhook/services/runner/connector", false},
		{"runhook/services/runner/connector/xlsxfile", "runhook/services/runner/connector/csvfile", false},
		{"runhook/cmd/runhook", "runhook/services/runner/connector/builtin", false},
	} {
		if broken := breaks(c.path, []string{c.imports}, []string{c.imports}); (len(broken) > 0) != c.broken {
			t.Errorf("%s imports %s: %v", c.path, c.imports, broken)
		}
	}
	if load := "time.Load" + "Location(name)"; !findsZones("../../shared/mapping/bounds.go", load) || findsZones("../../shared/zone/zone.go", load) {
		t.Error("who looks for zones is not seen")
	}
	if files := atRoot([]string{".ci", "go.mod", "README.md", "serve.go", "serve_test.go"}); len(files) != 2 {
		t.Errorf("code in the root: %v", files)
	}
	if broken := breaks("runhook/shared/task", []string{"runhook/shared/nearest"}, []string{"go.yaml.in/yaml/v4", "runhook/shared/nearest"}); len(broken) == 0 {
		t.Error("a domain package may come to YAML by a detour")
	}
}
