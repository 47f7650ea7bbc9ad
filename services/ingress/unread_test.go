package ingress

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/web"
)

// A body in whose inside the parameters stand would start the run on all rows.
func TestWrappedBodies(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	coded := func(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }
	twice := func(text string) string { return coded(coded(text)) }
	inside := `{"QueryParameters":{"FirstName":"Ann"}}`
	text := strings.ReplaceAll(inside, `"`, `\"`)
	for name, c := range map[string]struct{ body, at, what string }{
		"an object":               {`{"body":` + inside + `}`, "body.QueryParameters", "looks like QueryParameters"},
		"two objects":             {`{"event":{"data":` + inside + `}}`, "event.data.QueryParameters", "looks like"},
		"a list":                  {`{"value":[1,[` + inside + `]]}`, "value[1][0].QueryParameters", "looks like"},
		"another spelling":        {`{"body":{"query_parameters":{}}}`, "body.query_parameters", "looks like"},
		"a parameter alone":       {`{"data":{"firstname":"Ann"}}`, "data.firstname", "is the task's parameter FirstName"},
		"a qualified one":         {`{"data":[{"CsContact.LastName":"Lee"}]}`, "data[0].CsContact.LastName", "is the task's parameter LastName"},
		"a qualified one, barely": {`{"data":{"LastName":"Lee"}}`, "data.LastName", "is the task's parameter LastName"},
		"a text":                  {`{"body":"` + text + `"}`, "body.QueryParameters", "looks like"},
		"a text in a list":        {`{"body":["\n [{\"ID\":1}]"]}`, "body[0][0].ID", "is the task's parameter ID"},
		"a text in a text":        {`{"body":"{\"x\":\"{\\\"Email\\\":1}\"}"}`, "body.x.Email", "is the task's parameter Email"},
		"base64":                  {`{"body":{"$content-type":"application/json","$content":"` + base64.StdEncoding.EncodeToString([]byte(inside)) + `"}}`, "body.$content.QueryParameters", "looks like"},
		"a form":                  {`{"body":"queryparameters[FirstName]=Ann"}`, "body.queryparameters[FirstName]", "looks like"},
		"a form of parameters":    {`{"body":"LastName=Lee&x=1"}`, "body.LastName", "is the task's parameter LastName"},
		"a part of a name":        {`{"p":{"QueryParameters.FirstName":"Ann"}}`, "p.QueryParameters.FirstName", "looks like"},
		"a name in brackets":      {`{"p":{"params[FirstName]":"Ann"}}`, "p.params[FirstName]", "is the task's parameter FirstName"},
		"a name with blanks":      {`{"p":{" FirstName ":"Ann"}}`, "p. FirstName ", "is the task's parameter FirstName"},
		"names and values":        {`{"p":[{"Name":"FirstName","Value":"Ann"}]}`, "p[0].Name", "is the task's parameter FirstName"},
		"base64 without its end":  {`{"body":"` + base64.RawURLEncoding.EncodeToString([]byte(inside+" ")) + `"}`, "body.QueryParameters", "looks like"},
		"beside no value":         {`{"QueryParameters":{"FirstName":""},"data":{"FirstName":"Ann"}}`, "data.FirstName", "is the task's parameter FirstName"},
		"beside null":             {`{"QueryParameters":null,"data":{"FirstName":"Ann"}}`, "data.FirstName", "is the task's parameter FirstName"},
		"beside another value":    {`{"QueryParameters":{"LastName":"Lee"},"data":{"FirstName":"Ann"}}`, "data.FirstName", "is the task's parameter FirstName"},
		"beside the same":         {`{"QueryParameters":{"FirstName":"Ann"},"data":` + inside + `}`, "data.QueryParameters", "looks like"},
	} {
		t.Run(name, func(t *testing.T) {
			got := h.post(t, "/task/execute/"+membersID, c.body)
			if got.Status != 400 {
				t.Fatalf("%d %s", got.Status, got.Body)
			}
			p := got.problem(t)
			if p.Type != "urn:runhook:problem:misplaced-parameter" || string(p.Template) != `{"QueryParameters":{"FirstName":"","LastName":"","Email":"","ID":[]}}` ||
				len(p.Errors) == 0 || p.Errors[0].Name != c.at || !strings.Contains(p.Detail, `the member "`+c.at+`" `) || !strings.Contains(p.Detail, c.what) {
				t.Errorf("%s", got.Body)
			}
		})
	}
	for name, c := range map[string]struct{ text, at, what string }{
		"XML":                        {`<?xml version="1.0"?><request><FirstName>Ann</FirstName></request>`, "body.request.FirstName", "is the task's parameter FirstName"},
		"XML with a namespace":       {`<s:Envelope xmlns:s="http://x/"><s:Body><q:query_parameters/></s:Body></s:Envelope>`, "body.Envelope.Body.query_parameters", "looks like"},
		"XML attributes":             {`<x LastName='Lee' y="1"/>`, "body.x.LastName", "is the task's parameter LastName"},
		"XML of names":               {`<list><item name="Email" value="a"/></list>`, "body.list.item.name", "is the task's parameter Email"},
		"XML of keys":                {"\n<list><entry><Key>\n FirstName </Key><Value>Ann</Value></entry></list>", "body.list.entry.Key", "is the task's parameter FirstName"},
		"XML of another program":     {`<FirstName>Ann & Co</FirstName><x/>`, "body.FirstName", "is the task's parameter FirstName"},
		"an object of JavaScript":    {`{FirstName: 'Ann', n: 1}`, "body.FirstName", "is the task's parameter FirstName"},
		"one of Python":              {`{'x': None, 'QueryParameters': {'LastName': 'Lee'}}`, "body.QueryParameters", "looks like"},
		"one of Ruby":                {`{:n=>1, "FirstName"=>"Ann"}`, "body.FirstName", "is the task's parameter FirstName"},
		"one of PowerShell":          {"@{\n  n=1\n  LastName=Lee\n}", "body.LastName", "is the task's parameter LastName"},
		"one that is called with":    {`callback({"FirstName" : "Ann"});`, "body[0].FirstName", "is the task's parameter FirstName"},
		"a list of them":             {`[{nr: 1, 'CsContact.LastName': 'Lee'}]`, "body[0].CsContact.LastName", "is the task's parameter LastName"},
		"a form in parts":            {"--x\r\nContent-Disposition: form-data; name=\"n\"\r\n\r\n1\r\n--x\r\nContent-Disposition: form-data; name=\"FirstName\"\r\n\r\nAnn\r\n--x--", "body.FirstName", "is the task's parameter FirstName"},
		"a part of a flow's form":    {`{"$multipart":[{"headers":{"Content-Disposition":"form-data; name=\"Email\""}}]}`, "body.$multipart[0].headers.Content-Disposition.Email", "is the task's parameter Email"},
		"YAML":                       {"n: 1\nFirstName: Ann\n", "body.FirstName", "is the task's parameter FirstName"},
		"a text in JSON":             {`"{\"FirstName\":\"Ann\"}"`, "body.FirstName", "is the task's parameter FirstName"},
		"base64 twice":               {twice(inside), "body.QueryParameters", "looks like"},
		"base64 of a form":           {coded("FirstName=Ann&x=1"), "body.FirstName", "is the task's parameter FirstName"},
		"base64 of XML":              {coded("<r><Email>x</Email></r>"), "body.r.Email", "is the task's parameter Email"},
		"base64 in lines":            {coded(inside)[:20] + "\r\n" + coded(inside)[20:] + "\r\n", "body.QueryParameters", "looks like"},
		"base64 of UTF-16":           {coded("{\x00\"\x00E\x00m\x00a\x00i\x00l\x00\"\x00:\x001\x00}\x00"), "body.Email", "is the task's parameter Email"},
		"a data address":             {"data:application/json;charset=utf-8;base64," + coded(inside), "body.QueryParameters", "looks like"},
		"percent signs":              {url.QueryEscape(`{"LastName":"Lee"}`), "body.LastName", "is the task's parameter LastName"},
		"percent signs of a form":    {url.QueryEscape(`LastName=Lee`), "body.LastName", "is the task's parameter LastName"},
		"signs of HTML":              {`{&quot;Email&quot;:&quot;x&quot;}`, "body.Email", "is the task's parameter Email"},
		"base64 of JSON with base64": {coded(`{"a":"` + coded(`{"b":"{Email:1}"}`) + `"}`), "body.a.b.Email", "is the task's parameter Email"},
	} {
		t.Run(name, func(t *testing.T) {
			body, _ := json.Marshal(map[string]string{"body": c.text})
			got := h.post(t, "/task/execute/"+membersID, string(body))
			if got.Status != 400 {
				t.Fatalf("%d %s", got.Status, got.Body)
			}
			if p := got.problem(t); p.Type != "urn:runhook:problem:misplaced-parameter" || len(p.Template) == 0 || len(p.Errors) == 0 || p.Errors[0].Name != c.at || !strings.Contains(p.Detail, c.what) ||
				name == "one of Python" && len(p.Errors) != 2 { // each of them once
				t.Errorf("%s", got.Body)
			}
			// The same in the query string, beside no body.
			got = h.post(t, "/task/execute/"+membersID+"?x=1&body="+url.QueryEscape(c.text), "")
			if p := got.problem(t); got.Status != 400 || p.Type != "urn:runhook:problem:misplaced-parameter" || len(p.Errors) == 0 || p.Errors[0].Name != c.at ||
				!strings.HasPrefix(p.Detail, `the value "`+c.at+`" of the query string `) || !strings.Contains(p.Detail, c.what) {
				t.Errorf("%d %s", got.Status, got.Body)
			}
		})
	}
	for _, query := range []string{"?sig=eyJh&code=a%2Bb%3D%3D&x={y}", "?body={}&data=null", "?from=flow&note=Ann%3A+1", "?next=https%3A%2F%2Fexample.org%2F%3FEmail%3Dx"} {
		if got := h.post(t, "/task/execute/"+membersID+query, ""); got.Status != 200 {
			t.Errorf("%s: %d %s", query, got.Status, got.Body)
		}
	}
	if got := h.post(t, "/task/execute/"+membersID, "<r><FirstName>Ann</FirstName></r>"); got.Status != 400 || !strings.Contains(got.problem(t).Detail, "the body is XML or HTML; send JSON") {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	for name, body := range map[string]string{
		"other texts":            `{"note":"Dear {FirstName}: hello","xml":"<note>Email</note>","js":"{name: 'Email', n: 'FirstName'}","prose":"Please note: Email is due\nsoon","b":"RW1haWw=","a <":"a < b","p":"100%25 Email","link":"https://example.org/?q=a%26Email%3D1","h":"<html><p id='1'>Hello, <b>Email</b><input name='FirstName'></p></html>","h2":"<div FirstName='x'>","y":"<r><Name>x</Name> Email </r>"}`,
		"one that is read":       `{"body":"{FirstName: 'x'}","QueryParameters":{"FirstName":"Ann"}}`,
		"other forms":            `{"link":"https://example.org/?a=1&b=2","name":"x","list":[{"name":"Ann","key":"k=v"}],"field":{"name":"Email"}}`,
		"other members":          `{"data":{"name":"x","list":[{"text":"{not JSON","number":1}],"coded":"eyJh"}}`,
		"one that is given":      `{"data":{"FirstName":"x","LastName":"y"},"QueryParameters":{"firstname":"Ann","CsContact.LastName":"Lee"}}`,
		"JSON as a value":        `{"QueryParameters":{"FirstName":"{\"Email\":1}"}}`,
		"a text of another sort": `{"text":"[1, 2] {} Email"}`,
	} {
		if got := h.post(t, "/task/execute/"+membersID, body); got.Status != 200 {
			t.Errorf("%s: %d %s", name, got.Status, got.Body)
		}
	}
	required := h.post(t, "/task/execute/"+listedID, `{"body":{"QueryParameters":{"Region":"x"}}}`)
	if detail := required.problem(t).Detail; required.Status != 400 || !strings.Contains(detail, "body.QueryParameters") {
		t.Errorf("%d %s", required.Status, required.Body)
	}
	deep := `{"a":` + strings.Repeat(`{"QueryParameters":`, 4000) + "1" + strings.Repeat("}", 4000) + "}"
	if got := h.post(t, "/task/execute/"+membersID, deep); got.Status != 400 || len(got.Body) > 10_000 || len(got.problem(t).Errors) != maxFaults {
		t.Errorf("%d, %d bytes", got.Status, len(got.Body))
	}
}

// optional is a task that runs on all rows where its parameters, of common names, have no value.
const optional = `
id: ` + absentID + `
name: Optional
parameters: [{name: State}, {name: Status}, {name: Name}, {name: Type}, {name: ID}, {name: Joined from}]
source:
  csv: {connection: drop, path: in.csv}
mapping: {id: ID}
destination:
  csv: {connection: drop, path: out.csv, action: replace}
`

// faultOf is what refuses a POST to the optional task, "" where nothing does.
func faultOf(t testing.TB, def *task.Definition, body, query string) string {
	t.Helper()
	rc := posted()
	rc.Request.SetBodyString(body)
	rc.Request.URI().SetQueryString(query)
	_, err := parameters(rc, def)
	problem, refused := errors.AsType[*web.Problem](err)
	switch {
	case err == nil:
		return ""
	case !refused || len(problem.Errors) == 0:
		t.Fatal(err)
	}
	return problem.Errors[0].Detail
}

func wrapped(name, text string) string {
	body, err := json.Marshal(map[string]string{name: text})
	if err != nil {
		panic(err)
	}
	return string(body)
}

func gzipped(text string) string {
	var data bytes.Buffer
	w := gzip.NewWriter(&data)
	_, _ = w.Write([]byte(text))
	_ = w.Close()
	return base64.StdEncoding.EncodeToString(data.Bytes())
}

// A text that is data as a whole is searched, whatever the member's name.
func TestTextsOfData(t *testing.T) {
	t.Parallel()
	def := parse(t, optional)
	utf16 := func(text string) string {
		data := []byte{0xff, 0xfe}
		for _, c := range []byte(text) {
			data = append(data, c, 0)
		}
		return base64.StdEncoding.EncodeToString(data)
	}
	for text, at := range map[string]string{
		`{Joined from: 2026-01-01}`:                                ".Joined from",
		`{'Joined from': '2026-01-01'}`:                            ".Joined from",
		`{"joined FROM" => "2026-01-01",}`:                         ".joined FROM",
		`{"Joined from":"2026-01-01"}`:                             ".Joined from",
		`Joined+from=2026-01-01&x=1`:                               ".Joined from",
		"n: 1\nJoined from: 2026-01-01":                            ".Joined from",
		"---\nfilters:\n  \"State\": CA\n":                         ".State",
		"State: \nn: 2":                                            ".State",
		"Parameters:\n  Stat: CA":                                  ".Parameters",
		`{x=1, State=CA}`:                                          ".State", // Java
		`[State: 'CA']`:                                            ".State", // Groovy
		`['a' => ['State' => 'CA']]`:                               ".a.State",
		`array('State' => 'CA')`:                                   ".State",
		`dict(State='CA')`:                                         ".State",
		`var filter = {n: new Date("2026-01-01"), "State": "CA"};`: ".State",
		`$p = @{ n = 1; State = 'O"Hara' }`:                        ".State",
		`new { n = 1, State = "CA" }`:                              ".State",

		`{'d': datetime.date(2026, 1, 1), 'b': b'},', 'Q': {'State': 'x'}}`: ".Q.State",
		`{name: O'Brien, state: CA}`:                                        ".name",
		`[('State', 'CA')]`:                                                 "[0]",
		`[["x",1],["State",["CA","NV"]]]`:                                   "[1]",
		`[["a", {"State":"CA"}, 3]]`:                                        "[0][1].State",
		`[{"Parameter":"State","Value":"CA"}]`:                              "[0].Parameter",
		`[{"id":"State","value":"CA"}]`:                                     "[0].id",
		`{"key":"State","VALUE":null}`:                                      ".key",
		`{"@State":"CA"}`:                                                   ".@State",
		`{"q:State":"CA"}`:                                                  ".q:State",
		`{"Parameters":{"Stat":"CA"}}`:                                      ".Parameters",
		`{"query":"{\"Stat\":1}"}`:                                          ".query",
		`{"x":{"params[Stat]":"CA"}}`:                                       ".x.params[Stat]",
		`<data><State>CA</State></data>`:                                    ".data.State",
		`<body><State>CA</State></body>`:                                    ".body.State",
		`<Table><row State="CA"/></Table>`:                                  ".Table.row.State",
		`<item name="State">CA</item>`:                                      ".item.name",
		`<x><item id="State" value="CA"/></x>`:                              ".x.item.id",
		`<Parameters><Stat>CA</Stat></Parameters>`:                          ".Parameters",
		`<?xml version="1.0" encoding="utf-16"?><r><State>CA</State></r>`:   ".r.State",
		`<r><![CDATA[{"State":"CA"}]]></r>`:                                 ".r.State",
		"State=CA\nx=1":                                                     ".State",
		`?x=1&State=`:                                                       ".State",
		`x=1&amp;State=CA`:                                                  ".State",
		"--b\nContent-Disposition: form-data; name=\"State\"\n\nCA\n--b--":  ".State",
		gzipped(`{"State":"CA"}`):                                           ".State",
		gzipped(gzipped("x: 1\nState: CA")):                                 ".State",
		utf16(`<r State="CA"/>`):                                            ".r.State",

		strings.ReplaceAll(base64.StdEncoding.EncodeToString([]byte(`{"x":"~~~","State":1}`)), "+", " "): ".State", // + in a query string
		"data:application/x-www-form-urlencoded,x%3D1%26State%3DCA":                                      ".State",
	} {
		for _, member := range []string{"body", "note"} {
			want := `the member "` + member + at + `" `
			if got := faultOf(t, def, wrapped(member, text), ""); !strings.HasPrefix(got, want) {
				t.Errorf("%q in %s: %q, not %s", text, member, got, want)
			}
			if got := faultOf(t, def, "", "note="+url.QueryEscape(text)); !strings.HasPrefix(got, `the value "note`+at+`" of the query string`) {
				t.Errorf("%q in the query string: %q", text, got)
			}
		}
	}
	// A single line is data in a member that is named as one that wraps a body.
	for _, member := range []string{"body", "Data", "$content", "inputs", "raw-body", "payload"} {
		for text, at := range map[string]string{"Joined from: 2026-01-01": ".Joined from", "State: CA": ".State", `"Status": open`: ".Status", base64.StdEncoding.EncodeToString([]byte("ID: 1\n")): ".ID"} {
			if got := faultOf(t, def, wrapped(member, text), ""); !strings.HasPrefix(got, `the member "`+member+at+`" `) {
				t.Errorf("%q in %s: %q", text, member, got)
			}
		}
	}
	if got := faultOf(t, def, `{"body":["x","State: CA"]}`, ""); !strings.Contains(got, `"body[1].State"`) {
		t.Error(got)
	}
}

// Words such as Parameters are refused with data in them, at the top as below.
func TestWordsForQueryParameters(t *testing.T) {
	t.Parallel()
	def := parse(t, optional)
	for _, value := range []string{`{"Stat":"CA"}`, `["CA"]`, `{}`, `"{\"Stat\":1}"`, `"a=b"`, `"Stat: CA"`} {
		for _, body := range []string{`{"Parameters":` + value + `}`, `{"query":` + value + `}`, `{"body":{"params":` + value + `}}`, `{"a":{"b":[{"query":` + value + `}]}}`} {
			if got := faultOf(t, def, body, ""); !strings.Contains(got, "looks like QueryParameters") {
				t.Errorf("%s: %q", body, got)
			}
		}
	}
	for _, value := range []string{`null`, `1`, `true`, `""`, `"CA"`, `"select a, b from t where c = 1"`, `"{ members(state: \"CA\") { Name Status } }"`, `"{ m: members { Name } }"`, `"query ($s: String) { members(State: $s) { Name } }"`, `"https://x/?State=CA"`} {
		for _, body := range []string{`{"Parameters":` + value + `}`, `{"query":` + value + `}`, `{"body":{"query":` + value + `}}`} {
			if got := faultOf(t, def, body, ""); got != "" {
				t.Errorf("%s: %q", body, got)
			}
		}
		if got := faultOf(t, def, `{"query_parameters":`+value+`}`, ""); !strings.Contains(got, "looks like QueryParameters") {
			t.Errorf("%s: %q", value, got)
		}
	}
}

// Texts for people, addresses and programs are not data, though they name parameters.
func TestTextsOfNoData(t *testing.T) {
	t.Parallel()
	def := parse(t, optional)
	for _, text := range []string{
		"https://x/cb?id=1&Status=done", "https://prod-1.logic.azure.com:443/workflows/1/runs/2?api-version=1&Name=x&sig=y", "http://x/{State}?Status=done",
		"https%3A%2F%2Fx%3Fa%3D1%26State%3DCA", "/cb?id=1&Status=done", "x.example.org/cb?id=1&Status=done", "mailto:a@example.org?subject=x&Status=1",
		"Hello {{name}}, Status: …", "{{name}}", "{% if State %}State: {{ State }}{% endif %}", "${State}", "The order {id: 5} went to state: CA", "{id: 5} went to state: CA",
		"- Name: Ann\n- State: CA", "> State: x\n> Status: y", "[State](https://x/?State=1)", "Please set QueryParameters.State = CA", "Name and State: see below\nThanks",
		"a{type: b}", ".x { state: y }\n#id { name: z }", "Hello team:\nStatus: waiting", "if (State == 'CA') { Status = 1 }", `{"State":"C`, "<State>CA", "<State>CA</Zip>", "<Name> has joined", "<b>Status</b>: open",
		"<Name>x</Name>, please", "<State@example.org> wrote: Status",
		"Error: x\n    at State (file.js:1:2)", "java.lang.X: state\n\tat a.b.State(State.java:12)\nCaused by: y", "Traceback (most recent call last):\n  File \"x\", line 1\nState: y",
		`<a name="x">y</a>`, `<ul type="x"><li id="1"/></ul>`, `<h1>x<a name="y"/></h1>`, `<strong>x <input name="State"/></strong>`, `<svg id="x"><g id="y"/></svg>`, `<path id="x"/>`, `<body><p id="x">y</p></body>`,
		`<!DOCTYPE html><html><body id="x"/></html>`, `<P ID="x">y</P>`, `<TABLE ID="x"><TR/></TABLE>`, `<!-- x --><div id="x"/>`,
		"eyJhbGciOiJub25lIn0." + base64.RawURLEncoding.EncodeToString([]byte(`{"Name":"Ann"}`)) + ".c2ln", base64.StdEncoding.EncodeToString([]byte("The State: CA")), gzipped("The State: CA, or {State: x}"),
		gzipped(`{"x":"` + strings.Repeat("x", maxInflated) + `","State":1}`), `[["State","Zip","City"],["CA","1","x"]]`, `[["State"]]`, "[State: 1}", "[}", `["State","CA"]`, `{"field":{"key":"State"}}`, "State,Zip\nCA,1", "100%25 State=x y", "Tom & Jerry", "", " ",
	} {
		for _, member := range []string{"body", "message"} {
			if got := faultOf(t, def, wrapped(member, text), ""); got != "" {
				t.Errorf("%q in %s: %s", text, member, got)
			}
		}
		if got := faultOf(t, def, "", "x="+url.QueryEscape(text)); got != "" {
			t.Errorf("%q in the query string: %s", text, got)
		}
	}
	for _, text := range []string{"State: all good", "Status: waiting for approval", "Joined from: 2026"} {
		if got := faultOf(t, def, wrapped("message", text), ""); got != "" {
			t.Errorf("%q: %s", text, got)
		}
	}
}

// An earlier status document asks for nothing, but what was put into it does.
func TestEarlierDocumentsPass(t *testing.T) {
	t.Parallel()
	def := parse(t, optional)
	request := run.Request{Task: def.ID, TaskName: "x", Parameters: task.Values{"State": {From: task.FromTask}}, CreatedOn: time.Now()}
	data, err := json.Marshal(run.QueuedDocument(request, 1))
	if err != nil {
		t.Fatal(err)
	}
	document := string(data)
	with := func(member string) string { return strings.TrimSuffix(document, "}") + "," + member + "}" }
	for _, body := range []string{`{"previous":` + document + `}`, `{"body":{"a":[` + document + `]}}`, wrapped("body", document)} {
		if got := faultOf(t, def, body, ""); got != "" {
			t.Errorf("%s: %s", body, got)
		}
	}
	for body, at := range map[string]string{
		`{"previous":` + with(`"State":"CA"`) + `}`:               "previous.State",
		`{"previous":` + with(`"QueryParameters":{"x":1}`) + `}`:  "previous.QueryParameters",
		`{"previous":{"ImportId":1,"Parameters":{"State":"CA"}}}`: "previous.Parameters",
		document: "Status",
	} {
		if got := faultOf(t, def, body, ""); !strings.HasPrefix(got, `the member "`+at+`" `) {
			t.Errorf("%s: %s", body, got)
		}
	}
}

// BenchmarkOtherTexts is what a text of 1 MB in another member costs, of each kind of data and of none.
func BenchmarkOtherTexts(b *testing.B) {
	def := parse(b, optional)
	times := func(text string) string { return strings.Repeat(text, 1_000_000/len(text)) }
	object := "{" + times(`"member":"value",`) + `"x":1}`
	for name, text := range map[string]string{
		"prose": times("The quick brown fox: it jumps. "), "word": times("word"), "spaces": times(" x "), "JSON": object, "likeNames": "{" + times(`"QueryPxxxxxxxx":1,`) + `"x":1}`,
		"literal": strings.ReplaceAll(object, `"`, "'"), "list": "[" + times("a, b c,") + "1]", "lines": times("member: value\n"), "form": times("member=value&") + "x=1",
		"XML": "<r>" + times("<a>x</a>y") + "</r>", "base64": base64.StdEncoding.EncodeToString([]byte(times("some text "))), "base64Of": base64.StdEncoding.EncodeToString([]byte(object)), "gzip": gzipped(object),
		"entities": times("a &amp; b "), "percent": times("%41"), "parts": times("--b\n\n"), "brackets": times("a]}"), "quotes": "{" + times(`'\`), "cutXML": times("<a>"),
	} {
		b.Run(name, func(b *testing.B) {
			body := wrapped("body", text)
			for b.Loop() {
				if got := faultOf(b, def, body, ""); got != "" {
					b.Fatal(got)
				}
			}
		})
	}
}
