package imissite_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"runhook/services/runner/connector/imis/imissite"
)

func newSite() *imissite.Site {
	return imissite.New("u", "p", imissite.Query{
		Path: "$/A", Columns: []imissite.Column{{Name: "ID", Type: "Int32"}}, Count: 600, Row: func(i int) []any { return []any{i} },
		Prompts: []imissite.Prompt{{Property: "ID", Column: "ID"}},
	})
}

func ask(site *imissite.Site, method, target, token, kind, body string) (status int, text string) {
	request := httptest.NewRequest(method, target, strings.NewReader(body))
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	request.Header.Set("Content-Type", kind)
	answer := httptest.NewRecorder()
	site.ServeHTTP(answer, request)
	all, _ := io.ReadAll(answer.Body)
	return answer.Code, string(all)
}

const form = "application/x-www-form-urlencoded"

func signIn(t *testing.T, site *imissite.Site) string {
	t.Helper()
	status, text := ask(site, "POST", "/token", "", form, url.Values{"grant_type": {"password"}, "username": {"u"}, "password": {"p"}}.Encode())
	var granted struct {
		Token string `json:"access_token"`
	}
	if status != http.StatusOK || json.Unmarshal([]byte(text), &granted) != nil {
		t.Fatalf("%d %s", status, text)
	}
	return granted.Token
}

// The stand-in lets nothing pass that iMIS might refuse.
func TestRefusals(t *testing.T) {
	site := newSite()
	token := signIn(t, site)
	const execute = "/api/QueryDefinition/_execute"
	whole := `{"$type":"Asi.Soa.Core.DataContracts.GenericExecuteRequest, Asi.Contracts","OperationName":"FindByPath","EntityTypeName":"QueryDefinition",` +
		`"Parameters":{"$type":"System.Collections.ObjectModel.Collection` + "`" + `1[[System.Object, mscorlib]], mscorlib","$values":[{"$type":"System.String","$value":"$/A"}]},` +
		`"ParameterTypeName":{"$type":"System.Collections.ObjectModel.Collection` + "`" + `1[[System.String, mscorlib]], mscorlib","$values":["System.String"]},"UseJson":false}`
	for name, c := range map[string]struct {
		method, target, token, body string
		status                      int
	}{
		"a page":                   {"GET", "/api/query?QueryName=$/A&limit=500", token, "", 200},
		"in other letters":         {"GET", "/API/Query?queryname=$/a&LIMIT=1&Id=7", token, "", 200},
		"by position":              {"GET", "/api/iqa?QueryName=$/A&parameter=7", token, "", 200},
		"no token":                 {"GET", "/api/query?QueryName=$/A", "", "", 401},
		"another token":            {"GET", "/api/query?QueryName=$/A", "x", "", 401},
		"too long a page":          {"GET", "/api/query?QueryName=$/A&limit=501", token, "", 400},
		"no page":                  {"GET", "/api/query?QueryName=$/A&limit=0", token, "", 400},
		"an offset before all":     {"GET", "/api/query?QueryName=$/A&offset=-1", token, "", 400},
		"no name":                  {"GET", "/api/query", token, "", 400},
		"two names":                {"GET", "/api/query?QueryName=$/A&QueryName=$/B", token, "", 400},
		"a prompt that is none":    {"GET", "/api/query?QueryName=$/A&Name=x", token, "", 400},
		"a prompt twice":           {"GET", "/api/query?QueryName=$/A&ID=1&ID=2", token, "", 400},
		"by position, by name":     {"GET", "/api/iqa?QueryName=$/A&ID=1", token, "", 400},
		"too many prompts":         {"GET", "/api/iqa?QueryName=$/A&parameter=1&parameter=2", token, "", 400},
		"an operator, by position": {"GET", "/api/iqa?QueryName=$/A&parameter=ne:1", token, "", 400},
		"another path":             {"GET", "/api/query?QueryName=$/B", token, "", 404},
		"another service":          {"GET", "/api/Nothing", token, "", 501},
		"a definition":             {"POST", execute, token, whole, 200},
		"one without its type":     {"POST", execute, token, strings.Replace(whole, `"$type":"Asi`, `"$type":"X`, 1), 400},
		"one with more":            {"POST", execute, token, strings.Replace(whole, `"UseJson"`, `"More":1,"UseJson"`, 1), 400},
		"a bare path":              {"POST", execute, token, strings.Replace(whole, `{"$type":"System.String","$value":"$/A"}`, `"$/A"`, 1), 400},
		"another operation":        {"POST", execute, token, strings.Replace(whole, "FindByPath", "FindById", 1), 501},
	} {
		if status, text := ask(site, c.method, c.target, c.token, "application/json", c.body); status != c.status {
			t.Errorf("%s: %d %s, want %d", name, status, text, c.status)
		}
	}
}

// Five failed logins lock the account, for the right password too.
func TestAccountIsLocked(t *testing.T) {
	site := newSite()
	for range 5 {
		if status, text := ask(site, "POST", "/token", "", form, "grant_type=password&username=u&password=x"); status != 400 || !strings.Contains(text, "invalid_grant") {
			t.Errorf("%d %s", status, text)
		}
	}
	if status, _ := ask(site, "POST", "/token", "", form, "grant_type=password&username=u&password=p"); status != 400 {
		t.Errorf("the account is not locked: %d", status)
	}
}

func TestPageLimitAndTokens(t *testing.T) {
	site := newSite()
	token := signIn(t, site)
	site.SetPageLimit(100)
	_, text := ask(site, "GET", "/api/query?QueryName=$/A&limit=500&offset=100", token, "", "")
	if !strings.HasSuffix(text, `"Offset":100,"Limit":100,"Count":100,"TotalCount":600,"NextPageLink":null,"HasNext":true,"NextOffset":200}`) {
		t.Errorf("got …%s", text[max(0, len(text)-200):])
	}
	site.ExpireTokens()
	if status, _ := ask(site, "GET", "/api/query?QueryName=$/A", token, "", ""); status != 401 {
		t.Errorf("an expired token: %d", status)
	}
}
