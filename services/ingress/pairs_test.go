package ingress

import (
	"net/url"
	"strings"
	"testing"
)

// Names and values, objects in lines, and texts that are escaped as in JSON are data like the bodies that they stand for.
func TestPairsAndEscapedTexts(t *testing.T) {
	t.Parallel()
	def := parse(t, optional)
	for text, at := range map[string]string{
		`{\"QueryParameters\":{\"State\":\"CA\"}}`: ".QueryParameters", `{\\\"x\\\":{\\\"State\\\":1}}`: ".x.State", `{\n  "State": "CA"\n}`: ".State", `{\u0022State\u0022:\u0022CA\u0022}`: ".State", `{\r\n\t\"a\":\"\\\"\",\"State\":1}`: ".State",
		`\u003cr\u003e\u003cState\u003eCA\u003c/State\u003e\u003c/r\u003e`: ".r.State", `x: 1\nState: CA`: ".State", `<r>\n<State>CA<\/State>\n</r>`: ".r.State",
		`/* of the run */ {"State":"CA"}`: ".State", "// one\n[{\"State\":\"CA\"},]": "[0].State",
		"{\"x\":1}\n{\"State\":\"CA\"}": "[1].State", "{\"State\":\"CA\"}\r\n\r\n{\"State\":\"NV\"}\r\n": "[0].State", "{\n \"x\": 1\n}\n{\n \"QueryParameters\": {}\n}": "[1].QueryParameters", `{"x":[{"Status":1}]}{"y":2}`: "[0].x[0].Status",
		"# a filter\nState: CA\nCountry: US": ".State", "Country: US\n  # of the run\n\nStatus: x # new": ".Status", "---\n# one\nn: 1\nType: A\n...\n": ".Type",
		"State = CA\nCountry = US": ".State", "Country = \"US\"\nState = \"CA\"": ".State", "[filters]\nState = CA\nx = R&D": ".State", "n = 1\nJoined from = 2026-01-01": ".Joined from", "# x\nCountry=US\n[y]\nState=CA\n": ".State", "Country = US\nState: CA": ".State", "$State = 'CA'\n$x = 1": ".$State",
		`[{"field":"State","op":"eq","value":"CA"}]`: "[0].field", `{"where":{"column":"Status","values":["a"]}}`: ".where.column", `[{"Label":"Joined from","Value":null}]`: "[0].Label", `<f><c property="State" value="CA"/></f>`: ".f.c.property",
	} {
		for _, member := range []string{"body", "note"} {
			if got := faultOf(t, def, wrapped(member, text), ""); !strings.HasPrefix(got, `the member "`+member+at+`" `) {
				t.Errorf("%q in %s: %q", text, member, got)
			}
		}
		if got := faultOf(t, def, "", "note="+url.QueryEscape(text)); !strings.HasPrefix(got, `the value "note`+at+`" of the query string`) {
			t.Errorf("%q in the query string: %q", text, got)
		}
	}
	// One alone is data in a member that wraps bodies, and prose in another.
	for text, at := range map[string]string{"State=CA": ".State", "State = open": ".State", "# Status: x\nState: y": ".State", "Status : open": ".Status", "[x]\nState = \"CA\"": ".State", "Joined+from=2026": ".Joined from", "x=%7B%22State%22%3A1%7D": ".x.State"} {
		for _, member := range []string{"body", "filters", "payload"} {
			if got := faultOf(t, def, wrapped(member, text), ""); !strings.HasPrefix(got, `the member "`+member+at+`" `) {
				t.Errorf("%q in %s: %q", text, member, got)
			}
		}
		if got := faultOf(t, def, wrapped("comment", text), ""); got != "" && text[0] != 'x' {
			t.Errorf("%q in a comment: %s", text, got)
		}
	}
	if got := faultOf(t, def, wrapped("comment", "x=%7B%22State%22%3A1%7D"), ""); !strings.HasPrefix(got, `the member "comment.State" `) {
		t.Error(got)
	}
	for _, text := range []string{
		`C:\new\State: x`, `^State=(\w+)$`, `a \"State: CA\" b`, "# State\n\nThe state of things", "State == CA\nx == 1", "# Report\n- State: CA\n- x: 1", "[State]", "[Name] wrote\nState: x", "{\"x\":1}\nState", "Set the State = CA", "select 1 where State='CA'", "State: CA; x", "{\"a\":1}\n{\"State\":", `{"a":"x","value":"State"}`, `{"field":"State","op":"eq"}`,
	} {
		if got := faultOf(t, def, wrapped("note", text), ""); got != "" {
			t.Errorf("%q: %s", text, got)
		}
	}
}
