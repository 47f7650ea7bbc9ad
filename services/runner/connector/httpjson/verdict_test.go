package httpjson

import (
	"strings"
	"testing"

	"runhook/shared/task"
)

// An empty list is none where the page says in its own words that it failed, and stays one where it says that it did not.
func TestEmptyListOfAServiceThatFailed(t *testing.T) {
	for text, where := range map[string]string{
		`{"code":40100,"msg":"token is bad","d":[]}`: "code", `{"code":1001,"message":"请登录","d":[]}`: "code", `{"success":0,"message":"x","d":[]}`: "success",
		`{"errcode":42001,"errmsg":"x","d":[]}`: "errcode", `{"errCode":"E7","d":[]}`: "errCode", `{"resultCode":-5,"d":[]}`: "resultCode", `{"faultstring":"x"}`: "faultstring",
		`{"faultcode":"Client","d":null}`: "faultcode", `{"error_description":"x","d":[]}`: "error_description", `{"ResponseStatus":{"ErrorCode":"Denied","Message":"x"},"d":[]}`: "ResponseStatus.ErrorCode",
		`{"message":"API rate limit exceeded"}`: "message", `{"detail":"Authentication failed"}`: "detail", `{"msg":"no permission","d":[]}`: "msg", `{"header":{"returnCode":"-1"},"d":[]}`: "header.returnCode",
		`{"status":false,"d":[]}`: "status", `{"status":{"code":503},"d":[]}`: "status.code", `{"code":"INVALID_TOKEN","d":[]}`: "code", `{"ok":"n","d":[]}`: "ok", `{"failed":3,"d":[]}`: "failed", `{"error_message":"x","error_code":7,"d":[]}`: "error_code",
		`{"errno":110,"d":[]}`: "errno", `{"exceptionMessage":"x","d":[]}`: "exceptionMessage",

		`{"code":0,"d":[]}`: "", `{"code":200,"msg":"x","d":[]}`: "", `{"code":"0","message":"x","d":[]}`: "", `{"code":"00","message":"x","d":[]}`: "", `{"code":"0000","d":[]}`: "", `{"code":"OK","d":[]}`: "",
		`{"code":"SUCCESS","msg":"x","d":[]}`: "", `{"code":1,"msg":"x","d":[]}`: "", `{"code":10000,"msg":"Success","d":[]}`: "", `{"code":20000,"d":[]}`: "", `{"code":"DE","name":"Germany","d":[]}`: "",
		`{"errcode":0,"errmsg":"ok","d":[]}`: "", `{"errorCode":"00","errorMessage":"Approved by the bank","d":[]}`: "", `{"errorMessage":"Approved by the bank","errorCode":"00","d":[]}`: "", `{"header":{"resultCode":"00","resultMsg":"NORMAL SERVICE."},"d":[]}`: "",
		`{"message":"nothing there","d":[]}`: "", `{"message":"0 failed","failed":0,"rejected":[],"d":[]}`: "", `{"success":1,"ok":true,"status":"active","d":[]}`: "", `{"errorCode":"","faultString":null,"d":[]}`: "", `{"errno":0,"d":[]}`: "",
		`{"reason":"completed without errors","d":[]}`: "", `{"code":17,"d":[]}`: "", `{"params":{"error":"x"},"d":[]}`: "",
	} {
		s := script(t, map[string]said{"/": {body: text}})
		rows, warnings, err := readWarned(t, s.URL, &task.HTTPSource{Path: "/", Items: "d"}, nil)
		want := "something at " + where + " beside its list of rows: the service seems"
		if !strings.Contains(text, `"d":[`) {
			want = "no list of rows, and something at " + where + ": the service seems"
		}
		if where == "" && (err != nil || len(rows)+len(warnings) > 0) || where != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, %q; want %s", text, err, warnings, where)
		}
	}
}

// What may speak of something else than the page fails no run that has rows.
func TestFaultBesideRows(t *testing.T) {
	const warns = "by which services say that they failed, beside its list of rows"
	for text, want := range map[string]string{
		`"errcode":42001`: "failed", `"errorMessage":"backend timeout"`: "failed", `"success":0`: "failed", `"status":false`: warns, `"code":504,"msg":"x"`: warns,
		`"code":40100,"msg":"token is bad"`: "", `"message":"permission denied"`: "", `"failed":3`: "", `"code":-1`: "", `"errorCode":"00","errorMessage":"Approved"`: "", `"errorMessage":"Approved","errorCode":"000"`: "", `"detail":"x","reason":"expired"`: "",
	} {
		s := script(t, map[string]said{"/": {body: `{` + text + `,"d":` + ids(1, 2) + `}`}})
		_, warnings, err := readWarned(t, s.URL, &task.HTTPSource{Path: "/", Items: "d"}, nil)
		got := strings.Join(warnings, "; ")
		if err != nil {
			got = "failed"
		}
		if !strings.Contains(got, want) || want == "" && got != "" {
			t.Errorf("%s: %s, %v; want %s", text, got, err, want)
		}
	}
}
