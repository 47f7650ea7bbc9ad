package task

import (
	"errors"
	"slices"
	"strconv"
	"testing"
)

func TestCutQuery(t *testing.T) {
	numbered := func(n int) string { return "?" + strconv.Itoa(n) }
	for query, want := range map[string]struct {
		text  string
		names []string
	}{
		"select 1":                      {"select 1", nil},
		"select :a, @b, $a, :c.d where": {"select ?1, ?2, ?1, ?3 where", []string{"a", "b", "c.d"}},
		"select ':x', \":y\", `:z`, [:w] -- :v\n, '''' /* :u */ ; ": {"select ':x', \":y\", `:z`, [:w] -- :v\n, '''' /* :u */  ", nil},
		"with a as (select 1) select * from a;;":                    {"with a as (select 1) select * from a", nil},
		"values (:Größe)":                                           {"values (?1)", []string{"Größe"}},
		"select :a.":                                                {"select ?1.", []string{"a"}},
		"select a::int, b @> :b, f(c := @c), d<@e, f @@ g[1:2]":     {"select a::int, b @> ?1, f(c := ?2), d<@e, f @@ g[1:2]", []string{"b", "c"}},
		"select $$it's (:a$$, $x$$$) $x$, $a":                       {"select 'it''s (:a', '$$) ', ?1", []string{"a"}},
		"select replace(a,b)":                                       {"select replace(a,b)", nil},
	} {
		text, names, err := CutQuery(query, numbered)
		if err != nil || text != want.text || !slices.Equal(names, want.names) {
			t.Errorf("%s: got %q, %q, %v; want %q", query, text, names, err, want)
		}
	}
}

// A parameter stands apart: it would be a part of the word before it otherwise.
func TestCutQueryGlued(t *testing.T) {
	for _, query := range []string{"select$a", "select x:a", "select :a@b", "select * from v$session"} {
		if text, _, err := CutQuery(query, func(int) string { return "?" }); !errors.Is(err, errQueryGlued) {
			t.Errorf("%s: got %q, %v", query, text, err)
		}
	}
	if text, _, err := CutQuery("select/**/:a,id=:b", func(int) string { return "?" }); err != nil || text != "select/**/?,id=?" {
		t.Errorf("got %q, %v", text, err)
	}
}

func FuzzCutQuery(f *testing.F) {
	for _, seed := range []string{"select :a.b from [x] where '''' = \"\" ; -- x", "with a as (select 1) values (@a) /* x */", "select \xff:é", "select $a$ ) '$$ $a$, b::text", "seleCt$0"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, query string) {
		// What was cut can be cut again, and has no parameter left.
		text, _, err := CutQuery(query, func(int) string { return "null" })
		if err != nil {
			return
		}
		again, names, err := CutQuery(text, func(int) string { return "x" })
		if err != nil || len(names) > 0 || again != text {
			t.Errorf("%q became %q, then %q, %q, %v", query, text, again, names, err)
		}
	})
}
