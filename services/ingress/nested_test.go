package ingress

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strings"
	"testing"
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
		"a form":                  {`{"body":"queryparameters[FirstName]=Ann"}`, "body", "names QueryParameters"},
		"a form of parameters":    {`{"body":"LastName=Lee&x=1"}`, "body", "is the task's parameter LastName"},
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
		"XML":                        {`<?xml version="1.0"?><request><FirstName>Ann</FirstName></request>`, "body.FirstName", "is the task's parameter FirstName"},
		"XML with a namespace":       {`<s:Envelope xmlns:s="http://x/"><s:Body><q:query_parameters/></s:Body></s:Envelope>`, "body.query_parameters", "looks like"},
		"XML attributes":             {`<x LastName='Lee' y="1"/>`, "body.LastName", "is the task's parameter LastName"},
		"XML of names":               {`<params><param name="Email" value="a"/></params>`, "body.name", "is the task's parameter Email"},
		"XML of keys":                {"\n<list><entry><Key>\n FirstName </Key><Value>Ann</Value></entry></list>", "body.Key", "is the task's parameter FirstName"},
		"XML without its end":        {`<a><FirstName>Ann`, "body.FirstName", "is the task's parameter FirstName"},
		"XML of another program":     {`<FirstName>Ann & Co</FirstName><x>`, "body.FirstName", "is the task's parameter FirstName"},
		"an object of JavaScript":    {`{FirstName: 'Ann', n: 1}`, "body.FirstName", "is the task's parameter FirstName"},
		"one of Python":              {`{'x': None, 'QueryParameters': {'LastName': 'Lee'}}`, "body.QueryParameters", "looks like"},
		"one of Ruby":                {`{:n=>1, "FirstName"=>"Ann"}`, "body.FirstName", "is the task's parameter FirstName"},
		"one of PowerShell":          {`@{n=1; LastName=Lee}`, "body.LastName", "is the task's parameter LastName"},
		"one that is called with":    {`callback({"FirstName" : "Ann"});`, "body.FirstName", "is the task's parameter FirstName"},
		"one that is cut":            {`{"n":1,"Email":"a`, "body.Email", "is the task's parameter Email"},
		"a list of them":             {`[{nr: 1, 'CsContact.LastName': 'Lee'}]`, "body.CsContact.LastName", "is the task's parameter LastName"},
		"a form in parts":            {"--x\r\nContent-Disposition: form-data; name=\"n\"\r\n\r\n1\r\n--x\r\nContent-Disposition: form-data; name=\"FirstName\"\r\n\r\nAnn\r\n--x--", "body.FirstName", "is the task's parameter FirstName"},
		"a part of a flow's form":    {`{"$multipart":[{"headers":{"Content-Disposition":"form-data; name=\"Email\""}}]}`, "body.$multipart[0].headers.Content-Disposition.Email", "is the task's parameter Email"},
		"YAML":                       {"n: 1\nFirstName: Ann\n", "body.FirstName", "is the task's parameter FirstName"},
		"a text in JSON":             {`"{\"FirstName\":\"Ann\"}"`, "body.FirstName", "is the task's parameter FirstName"},
		"base64 twice":               {twice(inside), "body.QueryParameters", "looks like"},
		"base64 of a form":           {coded("FirstName=Ann&x=1"), "body", "is the task's parameter FirstName"},
		"base64 of XML":              {coded("<a><Email>x</Email></a>"), "body.Email", "is the task's parameter Email"},
		"base64 in lines":            {coded(inside)[:20] + "\r\n" + coded(inside)[20:] + "\r\n", "body.QueryParameters", "looks like"},
		"base64 of UTF-16":           {coded("{\x00\"\x00E\x00m\x00a\x00i\x00l\x00\"\x00:\x001\x00}\x00"), "body.Email", "is the task's parameter Email"},
		"a data address":             {"data:application/json;charset=utf-8;base64," + coded(inside), "body.QueryParameters", "looks like"},
		"a token":                    {"eyJhbGciOiJub25lIn0." + base64.RawURLEncoding.EncodeToString([]byte(`{"FirstName":"Ann"}`)) + ".c2ln", "body.FirstName", "is the task's parameter FirstName"},
		"percent signs":              {url.QueryEscape(`{"LastName":"Lee"}`), "body.LastName", "is the task's parameter LastName"},
		"percent signs of a form":    {url.QueryEscape(`LastName=Lee`), "body", "is the task's parameter LastName"},
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
	if got := h.post(t, "/task/execute/"+membersID, "<a><FirstName>Ann</FirstName></a>"); got.Status != 400 || !strings.Contains(got.problem(t).Detail, "the body is XML or HTML; send JSON") {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	for name, body := range map[string]string{
		"other texts":            `{"note":"Dear {FirstName}: hello","xml":"<note>Email</note>","js":"{name: 'Email', n: 'FirstName'}","prose":"Please note: Email is due\nsoon","b":"RW1haWw=","a <":"a < b","p":"100%25 Email","link":"https://example.org/?q=a%26Email%3D1","h":"<html><p id='1'>Hello, <b>Email</b><input name='FirstName'></p></html>","h2":"<div FirstName='x'>","y":"<a><Name>x</Name> Email </a>"}`,
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
