package ingress

import (
	"encoding/base64"
	"strings"
	"testing"
)

// A body in whose inside the parameters stand would start the run on all rows.
func TestWrappedBodies(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
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
	for name, body := range map[string]string{
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
