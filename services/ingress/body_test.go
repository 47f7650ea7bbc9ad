package ingress

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"runhook/shared/task"
)

// show writes what a body was read as in one line: the parameters, then the other members.
func show(c content) string {
	var parts []string
	for _, g := range c.given {
		parts = append(parts, g.Key+"="+showValue(g.GivenValue))
	}
	if len(c.others) > 0 {
		var names []string
		for _, other := range c.others {
			names = append(names, other.name)
		}
		parts = append(parts, "others "+strings.Join(names, ","))
	}
	return strings.Join(parts, " ")
}

func showValue(v task.GivenValue) string {
	switch v.Kind {
	case task.GivenNull:
		return "null"
	case task.GivenString:
		return fmt.Sprintf("%q", v.Text)
	case task.GivenArray:
		var items []string
		for _, item := range v.Items {
			items = append(items, showValue(item))
		}
		return "[" + strings.Join(items, " ") + "]"
	case task.GivenObject:
		return "{}"
	}
	return v.Text
}

func TestBody(t *testing.T) {
	t.Parallel()
	const bom = "\xef\xbb\xbf"
	accepted := []struct{ name, body, want string }{
		{"nothing", ``, ``},
		{"white space", " \r\n\t", ``},
		{"a byte order mark alone", bom, ``},
		{"null", `null`, ``},
		{"an empty object", `{}`, ``},
		{"QueryParameters null", `{"QueryParameters": null}`, ``},
		{"no parameter", `{"QueryParameters":{}}`, ``},
		{"a string", `{"QueryParameters":{"FirstName":"Ann"}}`, `FirstName="Ann"`},
		{"an empty string", `{"QueryParameters":{"FirstName":""}}`, `FirstName=""`},
		{
			"the original page's template", "{\n  \"QueryParameters\": {\n    \"FirstName\": \"\",\n    \"LastName\": \"\", \n    \"Email\": \"\", \n  }\n}\n",
			`FirstName="" LastName="" Email=""`,
		},
		{"comments", "// who\n{/* all */\"QueryParameters\":{\"ID\":\"1\" // one\n}}", `ID="1"`},
		{"a byte order mark", bom + `{"QueryParameters":{"ID":"1"}}`, `ID="1"`},
		{"another letter case", `{"queryPARAMETERS":{"iD":"1"}}`, `iD="1"`},
		{"an escaped name", `{"Query\u0050arameters":{"\u0049D":"1"}}`, `ID="1"`},
		{"a small number", `{"QueryParameters":{"ID":1}}`, `ID=1`},
		{"a number beyond float64", `{"QueryParameters":{"ID":12345678901234567890.00100}}`, `ID=12345678901234567890.00100`},
		{"an exponent", `{"QueryParameters":{"ID":-1E+05}}`, `ID=-1E+05`},
		{"booleans and null", `{"QueryParameters":{"A":true,"B":false,"C":null}}`, `A=true B=false C=null`},
		{"an array", `{"QueryParameters":{"A":["x",1,null,[1],{"y":2}]}}`, `A=["x" 1 null [] {}]`},
		{"an object", `{"QueryParameters":{"A":{"B":1}}}`, `A={}`},
		{"other members", `{"id":7,"QueryParameters":{"A":"1"},"meta":{"x":[]}}`, `A="1" others id,meta`},
		{"escapes", `{"QueryParameters":{"A":"\"\\\/\n\u00e9\ud83d\ude00"}}`, `A="\"\\/\né😀"`},
		{"slashes in a string", `{"QueryParameters":{"A":"http://x/*y*/,}"}}`, `A="http://x/*y*/,}"`},
		{"the replacement character itself", `{"QueryParameters":{"A":"\ufffd"}}`, `A="` + "\ufffd" + `"`},
		{"an escaped backslash before ud800", `{"QueryParameters":{"A":"\\ud800"}}`, `A="\\ud800"`},
	}
	for _, c := range accepted {
		t.Run("accepted/"+c.name, func(t *testing.T) {
			body := []byte(c.body)
			read, err := parseBody(body)
			if err != nil {
				t.Fatalf("refused: %v", err)
			}
			for i := range body { // the server reuses a request's memory
				body[i] = 'x'
			}
			if got := show(read); got != c.want {
				t.Errorf("read as %s\n    want %s", got, c.want)
			}
		})
	}

	many := make([]string, 30)
	for i := range many {
		many[i] = fmt.Sprintf(`"P%d":"x"`, i)
	}
	refused := []struct{ name, body, want string }{
		{"an array", `[]`, "the body is an array; it must be an object"},
		{"a string", `"{}"`, "the body is a string"},
		{"a number", `1`, "the body is a number"},
		{"true", `true`, "the body is true or false"},
		{"cut off", `{"QueryParameters":{"ID":`, "line 1, column 26"},
		{"a bracket too many", "{\"QueryParameters\":{}}\n}", "line 2, column 1"},
		{"two bodies", `{} {}`, "after top-level value"},
		{"trailing text", `null x`, "after top-level value"},
		{"form fields", `FirstName=Ann&LastName=Lee`, "the body is not JSON"},
		{"single quotes", `{'QueryParameters':{}}`, "the body is not JSON"},
		{"a name without quotes", `{QueryParameters:{}}`, "the body is not JSON"},
		{"NaN", `{"QueryParameters":{"A":NaN}}`, "the body is not JSON"},
		{"a leading zero", `{"QueryParameters":{"A":007}}`, "the body is not JSON"},
		{"a tab in a string", "{\"QueryParameters\":{\"A\":\"\t\"}}", "the body is not JSON"},
		{"a comment alone", "// nothing\n", "the body is not JSON"},
		{"a long wrong literal", `{"A":` + strings.Repeat("x", 5000) + `}`, "…"},
		{"QueryParameters an array", `{"QueryParameters":["a"]}`, "QueryParameters is an array; it must be an object or null"},
		{"QueryParameters a string", `{"QueryParameters":""}`, "QueryParameters is a string"},
		{"one parameter twice", `{"QueryParameters":{"ID":"1","ID":"2"}}`, `"ID" and "ID" in QueryParameters are the same name`},
		{"one parameter in two cases", `{"QueryParameters":{"ID":"1","x":"","Id":"2"}}`, `"ID" and "Id" in QueryParameters are the same name`},
		{"one of many in two cases", `{"QueryParameters":{` + strings.Join(many, ",") + `,"p29":"y"}}`, `"P29" and "p29" in QueryParameters are the same name`},
		{"the Kelvin sign for a k", `{"QueryParameters":{"k":"1","` + "\u212a" + `":"2"}}`, "are the same name"},
		{"QueryParameters twice", `{"QueryParameters":{"ID":"1"},"QueryParameters":{}}`, `"QueryParameters" and "QueryParameters" are the same name`},
		{"QueryParameters in two cases", `{"queryparameters":{"ID":"1"},"QueryParameters":{}}`, `"queryparameters" and "QueryParameters" are the same name`},
		{"another member in two cases", `{"a":1,"A":2}`, `"a" and "A" are the same name`},
		{"UTF-16 little endian", "\xff\xfe{\x00}\x00", "UTF-16 or binary; send it in UTF-8"},
		{"UTF-16 big endian without a mark", "\x00{\x00}", "UTF-16 or binary"},
		{"Latin-1", "{\"QueryParameters\":\n{\"A\":\"caf\xe9\"}}", "line 2 of the body is not UTF-8 at byte 30"},
		{"gzip", "\x1f\x8b\x08\x00", "compressed"},
		{"half a surrogate pair", `{"QueryParameters":{"A":"\ud800"}}`, `"A" in QueryParameters: a string holds half of a surrogate pair`},
		{"the other half", `{"QueryParameters":{"A":"\udc00x"}}`, "half of a surrogate pair"},
		{"half and another escape", `{"QueryParameters":{"A":"\ud800\u0041"}}`, "half of a surrogate pair"},
		{"half a pair in a name", `{"\ud800":1}`, "half of a surrogate pair"},
		{"very deep", strings.Repeat("[", 100_000), "more than 10000 brackets"},
	}
	for _, c := range refused {
		t.Run("refused/"+c.name, func(t *testing.T) {
			read, err := parseBody([]byte(c.body))
			if err == nil {
				t.Fatalf("read as %s", show(read))
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("the error is %q, and should contain %q", err, c.want)
			}
			if len(err.Error()) > 300 {
				t.Errorf("the error has %d bytes", len(err.Error()))
			}
		})
	}
}

// FuzzBody holds the parser against the standard library on everything that is strict JSON.
func FuzzBody(f *testing.F) {
	for _, seed := range []string{
		``, `null`, `{}`, `{"QueryParameters":{"A":"x","B":1.50,"C":[true,null],"D":{}}}`, `{"queryparameters":null,"x":1}`,
		`{"QueryParameters":{"A":"\ud83d\ude00\n"}}`, "{//\n}", `{"a":1,}`, `[`, "\xef\xbb\xbf{}", "\xff\xfe", `{"A":"\ud800"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		before := bytes.Clone(body)
		read, err := parseBody(body)
		if !bytes.Equal(before, body) {
			t.Fatal("the body was changed")
		}
		if err != nil {
			if err.Error() == "" {
				t.Fatal("an error without a word")
			}
			return
		}
		if !json.Valid(body) {
			return
		}
		var members map[string]json.RawMessage
		if err := json.Unmarshal(body, &members); err != nil {
			t.Fatalf("accepted, and is no object: %v", err)
		}
		var others []string
		var parameters map[string]any
		for name, raw := range members {
			if !strings.EqualFold(name, "QueryParameters") {
				others = append(others, name)
				continue
			}
			decoder := json.NewDecoder(bytes.NewReader(raw))
			decoder.UseNumber()
			if err := decoder.Decode(&parameters); err != nil {
				t.Fatal(err)
			}
		}
		var names []string
		for _, other := range read.others {
			names = append(names, other.name)
		}
		slices.Sort(others)
		slices.Sort(names)
		if !slices.Equal(others, names) {
			t.Errorf("other members %q, and the standard library sees %q", names, others)
		}
		if len(read.given) != len(parameters) {
			t.Errorf("%d parameters, and the standard library sees %d", len(read.given), len(parameters))
		}
		for _, g := range read.given {
			if want := givenOf(parameters[g.Key], true); !reflect.DeepEqual(g.GivenValue, want) {
				t.Errorf("%q is %+v, and the standard library sees %+v", g.Key, g.GivenValue, want)
			}
		}
	})
}

func givenOf(value any, withItems bool) task.GivenValue {
	switch value := value.(type) {
	case string:
		return task.GivenValue{Kind: task.GivenString, Text: value}
	case json.Number:
		return task.GivenValue{Kind: task.GivenNumber, Text: value.String()}
	case bool:
		return task.GivenValue{Kind: task.GivenBool, Text: fmt.Sprint(value)}
	case map[string]any:
		return task.GivenValue{Kind: task.GivenObject}
	case []any:
		array := task.GivenValue{Kind: task.GivenArray}
		for _, item := range value {
			if withItems {
				array.Items = append(array.Items, givenOf(item, false))
			}
		}
		return array
	}
	return task.GivenValue{Kind: task.GivenNull}
}

func BenchmarkParseBody(b *testing.B) {
	for _, c := range []struct{ name, body string }{
		{"empty", ``},
		{"one", `{"QueryParameters":{"FirstName":"Ann"}}`},
		{"ten", `{"QueryParameters":{` + strings.TrimSuffix(strings.Repeat(`"P%d":"value",`, 10), ",") + `}}`},
	} {
		body := c.body
		for i := range strings.Count(body, "%d") {
			body = strings.Replace(body, "%d", fmt.Sprint(i), 1)
		}
		b.Run(c.name, func(b *testing.B) {
			data := []byte(body)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := parseBody(data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
