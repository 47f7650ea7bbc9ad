package httpjson

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"runhook/services/runner/row"
	"runhook/shared/task"
)

// An answer with a status of success says of the rows what a page of rows would say of itself.
func TestAnswersThatSayThatTheyFailed(t *testing.T) {
	const part = "and it is not known which were taken: set destination.http.batch to 1"
	for _, c := range []struct {
		rows   int
		status int
		body   string
		want   string // a letter for each row, or the end of the failure
	}{
		// The whole failed.
		{2, 200, `{"error":"no such list"}`, "ff"},
		{1, 201, `{"error":{"text":"x"}}`, "f"},
		{3, 200, `{"code":422,"message":"x"}`, "fff"},
		{1, 200, `{"status":"FAILED","detail":"x"}`, "f"},
		{2, 200, `{"errcode":40001,"errmsg":"invalid credential"}`, "ff"},
		{1, 200, `{"ResponseStatus":{"ErrorCode":"Denied"}}`, "f"},
		{1, 200, `{"message":"Unauthenticated."}`, "f"},
		{2, 200, `{"result_code":-3}`, "ff"},
		{1, 200, `{"meta":{"success":0}}`, "f"},
		{1, 200, `{"success":"no"}`, "f"},
		{2, 202, `[{"exception":"x"}]`, "ff"},
		{1, 200, `"error: no such list"`, "i"},
		{1, 200, `"ERROR"`, "f"},
		{1, 200, `{"status":{"code":500}}`, "f"},
		{1, 200, `{"status":false}`, "f"},
		{1, 200, `{"hasErrors":true}`, "f"},
		{2, 200, `{"rejected":2}`, "ff"},
		// Some of it failed.
		{3, 200, `{"hasErrors":true}`, part},
		{3, 200, `{"created":2,"failures":1}`, part},
		{3, 201, `{"rejected":["7"]}`, part},
		{2, 200, `{"status":"ok","errorCount":1}`, part},
		{2, 200, `{"meta":{"partial":true}}`, part},
		// Each row has an answer of its own.
		{3, 200, `[{"success":true,"errors":[]},{"success":false,"errors":[{"text":"dup"}]},{"success":true}]`, "ifi"},
		{3, 201, `[{"id":1},{"status":"error","error":"dup"},{"status":201}]`, "ifi"},
		{3, 207, `{"responses":[{"status":409},{"status":201},{"status":500}]}`, "fif"},
		{3, 200, `{"errors":true,"items":[{"index":{"status":201}},{"index":{"status":409,"error":{"type":"x"}}},{"index":{"status":200}}]}`, "ifi"},
		{2, 200, `{"errors":[{"text":"x"}],"people":[{"id":1},{"id":2,"error":"x"}]}`, "if"},
		{2, 200, `["ok","failed"]`, "if"},
		{1, 200, `{"results":[{"code":400}]}`, "f"},
		{1, 207, `[{"status":409}]`, "f"},
		// An answer for each row was to come.
		{3, 207, `[{"status":201}]`, part},
		{2, 207, ``, part},
		{3, 200, `[{"id":1},{"id":2}]`, "is answered with status 200 and a list of 2; the 3 rows were sent, " + part},
		{1, 207, ``, part},
		{2, 207, `{"ok":true}`, part},
		// A page for people.
		{2, 200, ` <!DOCTYPE html><p>log in`, "is answered with status 200 and a web page; perhaps it asks to log in"},
		{1, 201, `<html lang="en">`, "and a web page"},
		// However it is written.
		{1, 200, "\n{ \"id\" : \"a\\\"b\", \"\\u0065rror\" : \"x\" }", "f"},
		{2, 200, ` [ {"id":"error: \"status\""},{"id":2 , "ERROR" :"x"}]`, "if"},
		{2, 200, `[{"id":"error"},{"id":"status"}]`, "ii"},
		// Nothing failed.
		{1, 201, ``, "i"},
		{2, 204, ``, "ii"},
		{2, 200, `Created`, "ii"},
		{2, 200, `[]`, "ii"},
		{2, 200, `{"code":0,"msg":"x"}`, "ii"},
		{2, 200, `{"code":"0000","message":"Approved","errorMessage":""}`, "ii"},
		{1, 201, `{"code":1,"msg":"saved"}`, "i"},
		{1, 200, `{"code":20000,"message":"success"}`, "i"},
		{1, 200, `{"id":7,"code":70012}`, "i"},
		{2, 200, `{"inserted":2,"failed":0,"errors":[],"error":null}`, "ii"},
		{1, 200, `{"id":7,"message":"no error, and a fault of the row's"}`, "i"},
		{2, 207, `{"results":[{"status":201},{"status":200}]}`, "ii"},
		{2, 200, `[{"inserted":2}]`, "ii"},
		{1, 200, `{"tags":[{"status":"error"}]}`, "i"},
		{1, 200, `{"id":7,"message":"payment failed"}`, "i"},
		{1, 207, `{"status":201}`, "i"},
		{2, 207, `{"errors":[]}`, "ii"},
		{1, 200, `<ok/>`, "i"},
		{1, 200, `{"errcode":0,"errmsg":"all is well"}`, "i"},
	} {
		r := receive(t, func(_ int, w http.ResponseWriter, _ string) {
			w.WriteHeader(c.status)
			_, _ = io.WriteString(w, c.body)
		})
		rows := batch(c.rows, "Ann")
		err := r.open(t, task.HTTPDestination{Batch: c.rows}).Write(t.Context(), rows, anyTime)
		got := outcomes(rows)
		if err != nil {
			got = err.Error()
		}
		if len(c.want) > 3 && !strings.Contains(got, c.want) || len(c.want) <= 3 && got != c.want {
			t.Errorf("%d rows, %d, %s: %s; want %s", c.rows, c.status, c.body, got, c.want)
		}
	}
	r := receive(t, func(_ int, w http.ResponseWriter, _ string) { w.Header().Set("Content-Type", "text/html") })
	if err := r.open(t, task.HTTPDestination{}).Write(t.Context(), batch(1, "Ann"), anyTime); err == nil || !strings.Contains(err.Error(), "a web page") {
		t.Errorf("a web page by its type: %v", err)
	}
}

// A service that answers with the row as it was stored has not refused it, whatever its columns are named.
func TestAnswersThatRepeatTheRow(t *testing.T) {
	for _, c := range []struct {
		values []any // of the columns error, status and code
		batch  int
		body   string
		want   string
	}{
		{[]any{"E17", "failed", int64(404)}, 1, `{"id":9,"error":"E17","status":"failed","code":404}`, "i"},
		{[]any{"E17", "failed", int64(404)}, 1, `{"Error":" e17","Status":"FAILED","Code":"404","message":"stored"}`, "i"},
		{[]any{[]any{"x"}, "error", "400"}, 2, `[{"error":["x"],"status":"error","code":400},{"error":["x"],"status":"error","code":400}]`, "ii"},
		{[]any{"E17", "failed", int64(404)}, 2, `{"data":[{"error":"E17","status":"failed"},{"error":"E17","status":"failed","code":404}]}`, "ii"},
		{[]any{nil, "new", nil}, 1, `{"error":"E17","status":"new","code":null}`, "f"},
		{[]any{"E17", "failed", int64(404)}, 1, `{"error":"E18"}`, "f"},
		{[]any{"E17", "failed", int64(404)}, 2, `[{"error":"E17","status":"failed"},{"error":"E17","status":409}]`, "if"},
		{[]any{"E17", "failed", int64(404)}, 2, `{"error":"E17"}`, "ff"},
	} {
		r := receive(t, func(_ int, w http.ResponseWriter, _ string) { _, _ = io.WriteString(w, c.body) })
		d := r.open(t, task.HTTPDestination{Batch: c.batch})
		d.columns = []string{"error", "status", "code"}
		rows := row.NewBatch(3)
		for i := range c.batch {
			copy(rows.Add(int64(i+1)).Values, c.values)
		}
		if err := d.Write(t.Context(), rows, anyTime); err != nil || outcomes(rows) != c.want {
			t.Errorf("%v, %s: %s, %v; want %s", c.values, c.body, outcomes(rows), err, c.want)
		}
	}
}
