package httpjson

import (
	"strings"
	"testing"

	"runhook/shared/task"
)

// A page that says that it failed fails the run, whatever it has as its list.
func TestPageThatSaysThatItFailed(t *testing.T) {
	const failed = ": the service seems to say that it failed"
	byPage := &task.NextPage{Page: "page"}
	two, none := `"d":`+ids(1, 2), `"d":[]`
	first := said{body: `{` + two + `}`}
	for name, c := range map[string]struct {
		pages map[string]said
		from  task.HTTPSource
		rows  int
		says  string // in the failure, or in the warning of a run that ends well
	}{
		"an empty list":     {pages: map[string]said{"/": {body: `{` + none + `,"success":false}`}}, says: "page 1 of /, connection partner, has something at success beside its list of rows" + failed},
		"GraphQL":           {pages: map[string]said{"/": {body: `{"data":{"d":[]},"errors":[{"message":"x"}]}`}}, from: task.HTTPSource{Items: "data.d"}, says: "something at errors beside its list of rows" + failed},
		"some of the rows":  {pages: map[string]said{"/": {body: `{` + two + `,"errors":[{"message":"x"}]}`}}, says: "something at errors beside its list of rows" + failed},
		"before the list":   {pages: map[string]said{"/": {body: `{"Error":{"code":17},` + two + `}`}}, says: "something at Error beside its list of rows" + failed},
		"a later page":      {pages: map[string]said{"/": {body: `{` + two + `,"next":"/2"}`}, "/2": {body: `{` + none + `,"error":"timeout"}`}}, from: task.HTTPSource{Next: &task.NextPage{Link: "next"}}, says: "page 2 of /, connection partner, has something at error beside"},
		"in meta":           {pages: map[string]said{"/": {body: `{` + none + `,"meta":{"error_message":"x"}}`}}, says: "something at meta.error_message beside"},
		"around the list":   {pages: map[string]said{"/": {body: `{"result":{"ok":"false",` + none + `}}`}}, from: task.HTTPSource{Items: "result.d"}, says: "something at result.ok beside"},
		"out of time":       {pages: map[string]said{"/": {body: `{"timed_out":true,` + two + `}`}}, says: "something at timed_out beside"},
		"without a total":   {pages: map[string]said{"/": {body: `{` + none + `,"success":false}`}}, from: task.HTTPSource{Total: "none"}, says: "something at success beside"},
		"a status, no rows": {pages: map[string]said{"/": {body: `{` + none + `,"code":500}`}}, says: "something at code beside"},

		"a status, and rows": {
			pages: map[string]said{"/": {body: `{"status":"failed",` + two + `}`}}, rows: 2,
			says: "page 1 of /, connection partner, has something at status by which services say that they failed, beside its list of rows; look at whether all are there",
		},
		"an item's fault":   {pages: map[string]said{"/": {body: `{"d":[{"id":1,"error":"x"},{"id":2,"success":false}],"x":{"error":"y"}}`}}, rows: 2},
		"no fault":          {pages: map[string]said{"/": {body: `{` + two + `,"error":{"code":0,"message":"OK"},"errors":[],"errorCode":"0","error_message":"","success":"true","status":"ok","code":200}`}}, rows: 2},
		"nothing in it":     {pages: map[string]said{"/": {body: `{` + two + `,"error":{"code":"","message":null},"errors":[null,""],"exception":false,"fault":"No error","error_code":"0000","errorMessage":"Success","hasErrors":false}`}}, rows: 2},
		"a code of none":    {pages: map[string]said{"/": {body: `{` + two + `,"error":{"message":"All is well","code":"0"},"fault":{"errorCode":0,"text":"fine"}}`}}, rows: 2},
		"another code":      {pages: map[string]said{"/": {body: `{` + two + `,"error":{"message":"","code":"17"}}`}}, says: "something at error beside"},
		"a fault of no one": {pages: map[string]said{"/": {body: `{"error":{"code":0,"message":"OK"},"total":0}`}}},

		"behind a short page":   {pages: map[string]said{"/?limit=3": {body: `{` + two + `}`}, "/?limit=3&page=2": {body: `{` + none + `,"code":404}`}}, from: task.HTTPSource{Path: "/?limit=3", Next: byPage}, rows: 2},
		"behind all rows":       {pages: map[string]said{"/": {body: `{` + two + `,"n":2}`}, "/?page=2": {body: `{"success":false,"message":"no such page"}`}}, from: task.HTTPSource{Next: byPage, Total: "n"}, rows: 2},
		"behind it, said twice": {pages: map[string]said{"/?limit=3": {body: `{` + two + `}`}, "/?limit=3&page=2": {body: `{"success":false,"code":404,` + none + `}`}}, from: task.HTTPSource{Path: "/?limit=3", Next: byPage}, rows: 2},
		"and the other way":     {pages: map[string]said{"/?limit=3": {body: `{` + two + `}`}, "/?limit=3&page=2": {body: `{"code":"404","success":false,` + none + `}`}}, from: task.HTTPSource{Path: "/?limit=3", Next: byPage}, rows: 2},
		"timeout behind short":  {pages: map[string]said{"/?limit=3": {body: `{` + two + `}`}, "/?limit=3&page=2": {body: `{` + none + `,"error":"x"}`}}, from: task.HTTPSource{Path: "/?limit=3", Next: byPage}, says: "page 2 of /, connection partner, has something at error"},
		"404 behind a full one": {pages: map[string]said{"/": first, "/?page=2": {body: `{` + none + `,"status":404}`}}, from: task.HTTPSource{Next: byPage}, rows: 2, says: "page 2 of /, connection partner, has something at status by which services say that they failed, beside its list of rows"},
		"404, no list":          {pages: map[string]said{"/": first, "/?page=2": {body: `{"status":404}`}}, from: task.HTTPSource{Next: byPage}, says: "page 2 of /, connection partner, has no list of rows, and something at status"},
		"no more records":       {pages: map[string]said{"/": first, "/?page=2": {body: `{"d":null,"error":"No more records","code":404}`}}, from: task.HTTPSource{Next: byPage}, says: "something at error" + failed + "; if that means that there is no such page, set source.http.total or source.http.next.pages, by which a run knows the last one"},
		"a code that is no end": {pages: map[string]said{"/": first, "/?page=2": {body: `{"d":null,"code":500}`}}, from: task.HTTPSource{Next: byPage}, says: "something at code" + failed},
		"none found":            {pages: map[string]said{"/": {body: `{"code":404,"message":"no records",` + none + `}`}}, says: "page 1 of /, connection partner, has something at code by which services say that they failed, beside"},
		"none found of 0":       {pages: map[string]said{"/": {body: `{"code":404,"total":0,` + none + `}`}}, from: task.HTTPSource{Total: "total"}},
		"403 and an empty list": {pages: map[string]said{"/": {body: `{"code":403,` + none + `}`}}, says: "page 1 of /, connection partner, has something at code beside"},
		"404 and no success":    {pages: map[string]said{"/": {body: `{"code":404,"success":false,` + none + `}`}}, says: "page 1 of /, connection partner, has something at success beside"},

		"a last line":        {pages: map[string]said{"/": {body: "{\"id\":1}\n{\"id\":2}\n{\"error\":\"backend timeout\"}\n"}}, from: task.HTTPSource{Lines: true}, says: "page 1 of /, connection partner, has nothing but an error as its line 3" + failed},
		"a line with a code": {pages: map[string]said{"/": {body: "{\"id\":1}\n{\"message\":\"x\",\"success\":false}\n"}}, from: task.HTTPSource{Lines: true}, says: "has nothing but an error as its line 2"},
		"a line of page 2":   {pages: map[string]said{"/": {body: "{\"id\":1}\n", headers: []string{"Link: </2>; rel=next"}}, "/2": {body: `{"errors":[{}],"code":500, "error":"x"}`}}, from: task.HTTPSource{Lines: true, Next: &task.NextPage{Header: true}}, says: "page 2 of /, connection partner, has nothing but an error as its line 1"},
		"lines with errors":  {pages: map[string]said{"/": {body: "{\"id\":1}\n{\"error\":\"x\",\"id\":2}\n{\"note\":1}\n{\"error\":null}\n{\"code\":500}"}}, from: task.HTTPSource{Lines: true}, rows: 5},
		"a log of errors":    {pages: map[string]said{"/": {body: "{\"error\":\"x\"}\n{ \"error\" : \"y\"}"}}, from: task.HTTPSource{Lines: true}, rows: 2},
	} {
		t.Run(name, func(t *testing.T) {
			s := script(t, c.pages)
			if c.from.Path == "" {
				c.from.Path = "/"
			}
			if c.from.Items == "" && !c.from.Lines {
				c.from.Items = "d"
			}
			rows, warnings, err := readWarned(t, s.URL, &c.from, nil)
			got := strings.Join(warnings, "; ")
			if err != nil {
				got, rows = err.Error(), nil
			}
			if len(rows) != c.rows || c.says == "" && got != "" || !strings.Contains(got, c.says) {
				t.Errorf("got %q, %s; want %d, %s", rows, got, c.rows, c.says)
			}
		})
	}
}

// A list of objects that are surely no rows does not stand for one that is left out.
func TestListsThatAreNoRows(t *testing.T) {
	for text, good := range map[string]bool{
		`{"total":3,"warnings":[{"text":"x"}]}`: true, `{"facets":[{"a":1}]}`: true, `{"meta":{"messages":[{"a":1}]}}`: true, `{"appliedFilters":[{"a":1}]}`: true,
		`{"people":[{"id":1}]}`: false, `{"meta":{"people":[{"id":1}]},"warnings":[{}]}`: false, `{"warnings":[{}],"d2":[{"id":1}]}`: false,
	} {
		s := script(t, map[string]said{"/": {body: text}})
		if rows, err := read(t, s.URL, &task.HTTPSource{Path: "/", Items: "d"}, nil); (err == nil) != good || len(rows) > 0 {
			t.Errorf("%s: %q, %v", text, rows, err)
		}
	}
}
