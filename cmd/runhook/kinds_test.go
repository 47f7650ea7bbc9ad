package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// kinds are what shared/task has of sources and destinations: their types, and the constants that name
// them with their values.
type kinds struct {
	types map[string]bool
	names map[string]string
}

// readKinds reads them from the package's files, so that a new kind needs no word here.
func readKinds(t *testing.T) kinds {
	t.Helper()
	known := kinds{map[string]bool{}, map[string]string{}}
	folder := "../../shared/task"
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if path.Ext(entry.Name()) != ".go" {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path.Join(folder, entry.Name()), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, known.learn)
	}
	if len(known.types) < 9 || len(known.names) < 5 {
		t.Fatalf("shared/task has the kinds %v", known)
	}
	return known
}

// learn takes up a type that says the name of its kind, and such a name.
func (k kinds) learn(node ast.Node) bool {
	switch n := node.(type) {
	case *ast.FuncDecl:
		if n.Recv == nil || n.Name.Name != "Name" || n.Type.Results == nil {
			return false
		}
		result, ok := n.Type.Results.List[0].Type.(*ast.Ident)
		star, isStar := n.Recv.List[0].Type.(*ast.StarExpr)
		if ok && isStar && result.Name == "Kind" {
			k.types[star.X.(*ast.Ident).Name] = true
		}
	case *ast.ValueSpec:
		if kind, ok := n.Type.(*ast.Ident); ok && kind.Name == "Kind" {
			k.names[n.Names[0].Name], _ = strconv.Unquote(n.Values[0].(*ast.BasicLit).Value)
		}
	}
	return true
}

// asks finds the places of a Go file that ask which kind a source or destination is. A kind's own room
// may: its connector, and its file of how it is written.
func (k kinds) asks(t *testing.T, name, text string) (places []string) {
	t.Helper()
	folder := path.Dir(name)
	if path.Dir(folder) == "services/runner/connector" || folder == "shared/taskfile" || strings.HasSuffix(name, "_test.go") {
		return nil
	}
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, name, text, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	within := folder == "shared/task"
	var named map[string]bool
	ast.Inspect(file, func(node ast.Node) bool {
		asked := false
		switch n := node.(type) {
		case *ast.FuncDecl:
			named = namedIn(n)
		case *ast.TypeAssertExpr:
			asked = k.isType(n.Type, within)
		case *ast.IndexExpr: // a generic function's
			asked = k.isType(n.Index, within)
		case *ast.CaseClause:
			for _, one := range n.List {
				asked = asked || k.isType(one, within) || within && k.isName(one, within)
			}
		case *ast.SelectorExpr: // outside of shared/task nobody names a kind but to ask for it
			asked = !within && k.isName(n, within)
		case *ast.SwitchStmt:
			for _, clause := range n.Body.List {
				for _, one := range clause.(*ast.CaseClause).List {
					asked = asked || k.isText(n.Tag, one, named)
				}
			}
		case *ast.BinaryExpr:
			asked = (n.Op == token.EQL || n.Op == token.NEQ) &&
				(within && (k.isName(n.X, within) || k.isName(n.Y, within)) || k.isText(n.X, n.Y, named) || k.isText(n.Y, n.X, named))
		}
		if asked {
			places = append(places, set.Position(node.Pos()).String())
		}
		return true
	})
	return places
}

// called is the name that an expression has in shared/task; within says that it stands there itself.
func called(expression ast.Expr, within bool) string {
	switch e := expression.(type) {
	case *ast.Ident:
		if within {
			return e.Name
		}
	case *ast.SelectorExpr:
		if in, ok := e.X.(*ast.Ident); ok && in.Name == "task" {
			return e.Sel.Name
		}
	}
	return ""
}

func (k kinds) isType(expression ast.Expr, within bool) bool {
	star, ok := expression.(*ast.StarExpr)
	return ok && k.types[called(star.X, within)]
}

func (k kinds) isName(expression ast.Expr, within bool) bool {
	_, ok := k.names[called(expression, within)]
	return ok
}

// isText reports whether the name of something, as isNamed finds it, is compared with a kind's name as text.
func (k kinds) isText(name, text ast.Expr, named map[string]bool) bool {
	literal, isLiteral := text.(*ast.BasicLit)
	if !isLiteral || !isNamed(name, named) {
		return false
	}
	value, _ := strconv.Unquote(literal.Value)
	return slices.Contains(slices.Collect(maps.Values(k.names)), value)
}

// isNamed reports whether an expression is what a call of Name returns, a string of it, or a variable of
// those that have it.
func isNamed(expression ast.Expr, named map[string]bool) bool {
	switch e := expression.(type) {
	case *ast.Ident:
		return named[e.Name]
	case *ast.CallExpr:
		if converts, ok := e.Fun.(*ast.Ident); ok && converts.Name == "string" {
			return isNamed(e.Args[0], named)
		}
		method, ok := e.Fun.(*ast.SelectorExpr)
		return ok && method.Sel.Name == "Name"
	}
	return false
}

// namedIn are the variables of a function, by their names, that are given the name of something.
func namedIn(function *ast.FuncDecl) map[string]bool {
	named := map[string]bool{}
	give := func(to, from ast.Expr) {
		if variable, ok := to.(*ast.Ident); ok && isNamed(from, named) {
			named[variable.Name] = true
		}
	}
	ast.Inspect(function, func(node ast.Node) bool {
		switch n := node.(type) {
		case *ast.AssignStmt:
			for i, from := range n.Rhs {
				give(n.Lhs[i], from)
			}
		case *ast.ValueSpec:
			for i, from := range n.Values {
				give(n.Names[i], from)
			}
		}
		return true
	})
	return named
}

// A kind is one folder and one file: nothing else asks which one it has.
func TestNobodyAsksForTheKind(t *testing.T) {
	t.Parallel()
	known, tree, files := readKinds(t), os.DirFS("../.."), 0
	err := fs.WalkDir(tree, ".", func(name string, _ fs.DirEntry, err error) error {
		if err != nil || path.Ext(name) != ".go" {
			return err
		}
		files++
		text, err := fs.ReadFile(tree, name)
		for _, place := range known.asks(t, name, string(text)) {
			t.Errorf("%s asks which kind it is: the kind's own type says what differs, through task.Source or task.Destination", place)
		}
		return err
	})
	if err != nil || files < 100 {
		t.Errorf("%d files read: %v", files, err)
	}
}

// The rule catches what it forbids.
func TestAskingIsCaught(t *testing.T) {
	t.Parallel()
	known := readKinds(t)
	for _, c := range []struct {
		file, code string
		caught     bool
	}{
		{"services/runner/pipeline/writer.go", "if to, ok := job.Task.Destination.(*task.SQLDestination); ok {}", true},
		{"services/runner/rejected.go", "switch s.(type) { case *task.CSVSource: }", true},
		{"services/runner/rejected.go", "switch from := s.(type) {\ncase fmt.Stringer,\n*task.CSVSource: }", true},
		{"services/runner/rejected.go", "from, ok := is[*task.CSVSource](s)", true},
		{"services/status/memory.go", "if def.Source.Name() == task.IMIS {}", true},
		{"services/status/memory.go", "if task.IMIS != def.Source.Name() {}", true},
		{"services/status/memory.go", `if def.Source.Name() == "imis" {}`, true},
		{"services/status/memory.go", "switch def.Source.Name() { case task.IMIS: }", true},
		{"services/status/memory.go", `if string(def.Source.Name()) == "imis" {}`, true},
		{"services/status/memory.go", `switch def.Source.Name() { case "imis": }`, true},
		{"services/status/memory.go", `name := def.Source.Name(); if name == "imis" {}`, true},
		{"services/status/memory.go", `name := string(def.Source.Name()); again := name; if "imis" != again {}`, true},
		{"services/status/memory.go", `switch name := def.Source.Name(); name { case "imis": }`, true},
		{"services/status/memory.go", `var n, name = 1, def.Source.Name(); func() { _ = string(name) == "imis" }()`, true},
		{"services/status/memory.go", `name := file.Name(); if name == "tasks" {}`, false},
		{"services/status/memory.go", `name := def.Title; if name == "imis" {}`, false},
		{"services/status/memory.go", `if map[task.Kind]bool{task.IMIS: true}[def.Source.Name()] {}`, true},
		{"services/status/memory.go", `if slices.Contains(files, def.Source.Name()) {}`, false},
		{"services/status/memory.go", `if file.Name() == "tasks" {}`, false},
		{"services/status/memory.go", `switch file.Name() { case "tasks": }`, false},
		{"shared/task/interruption.go", "_, ok := d.Source.(*CSVSource)", true},
		{"shared/task/interruption.go", "if d.Source.Name() != CSV {}", true},
		{"shared/task/interruption.go", "if d.Source.Ordered() {}", false},
		{"services/runner/connector/connector.go", "switch s.(type) { case *task.CSVSource: }", true},
		{"services/runner/pipeline/pipelinetest/bench.go", "_ = b.Job.Task.Destination.(*task.SQLDestination)", true},
		{"services/runner/connector/csvfile/kind.go", "from := job.Task.Source.(*task.CSVSource)", false},
		{"shared/taskfile/csv.go", "from, ok := def.Source.(*task.CSVSource)", false},
		{"services/runner/draft/draft.go", "d.Source = &task.SQLSource{Connection: name}", false},
		{"services/runner/draft/draft.go", "var from *task.CSVSource = open(from)", false},
	} {
		if places := known.asks(t, c.file, "package p\n\nfunc f() {\n"+c.code+"\n}\n"); (len(places) > 0) != c.caught {
			t.Errorf("%s: %s: %v", c.file, c.code, places)
		}
	}
}
