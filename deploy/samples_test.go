package deploy_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"runhook/shared/proctest"
)

// The samples of the original product's page, as printed but for host, GUID and run number
// (docs.csiinc.com, "Webhooks and HTTP Triggers").

type document struct {
	ExecuteId, Status, StatusDescription, PollingUrl string
	ImportId, RowsProcessed                          int64
	Success                                          *bool
}

func TestCurlSamples(t *testing.T) {
	need(t, "curl")
	s := start(t)
	curl := func(command string) string {
		t.Helper()
		args := strings.Fields(relocate(command, s.url))
		out, err := exec.Command(args[0], append([]string{"-sS", "-i"}, args[1:]...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", command, err, out)
		}
		return string(out)
	}
	answer := curl("curl -X POST https://iimport.cloud.csiinc.com/task/execute/00000000-0000-0000-0000-000000000000")
	if !strings.HasPrefix(answer, "HTTP/1.1 200 OK") || strings.Contains(answer, "Location:") {
		t.Errorf("standard webhook:\n%s", answer)
	}
	answer = curl("curl -X POST https://iimport.cloud.csiinc.com/task/executepolling/00000000-0000-0000-0000-000000000000")
	if !strings.HasPrefix(answer, "HTTP/1.1 202 Accepted") || !regexp.MustCompile(`Retry-After: [1-9][0-9]?\r\n`).MatchString(answer) {
		t.Errorf("polling webhook:\n%s", answer)
	}
	_, rest, _ := strings.Cut(answer, "Location: ")
	location, _, _ := strings.Cut(rest, "\r\n")
	path := strings.TrimPrefix(location, s.url)
	number := strings.Split(path, "/")[4]
	poll := strings.Replace("curl https://iimport.cloud.csiinc.com/task/executepolling/00000000-0000-0000-0000-000000000000/00000/status", "/00000/", "/"+number+"/", 1)
	for strings.HasPrefix(answer, "HTTP/1.1 202") { // "Repeat at regular intervals"
		answer = curl(poll)
	}
	if !strings.HasPrefix(answer, "HTTP/1.1 200 OK") || strings.Contains(answer, "Retry-After:") || !strings.Contains(answer, `"StatusDescription":"Success"`) {
		t.Errorf("the poll at the end:\n%s", answer)
	}
	if again := curl(poll); body(again) != body(answer) {
		t.Errorf("later GETs answer something else:\n%s\n%s", body(answer), body(again))
	}
}

func body(answer string) string {
	_, body, _ := strings.Cut(answer, "\r\n\r\n")
	return body
}

func TestRawHTTPSamples(t *testing.T) {
	s := start(t)
	for _, sample := range []struct{ request, want string }{
		{"POST /task/execute/00000000-0000-0000-0000-000000000000 HTTP/1.1\nHost: iimport.cloud.csiinc.com\nUser-Agent: example-documentation/1.0\nContent-Length: 0\n", "200 OK"},
		{"POST /task/executepolling/00000000-0000-0000-0000-000000000000 HTTP/1.1\nHost: iimport.cloud.csiinc.com\nUser-Agent: example-documentation/1.0\nContent-Length: 0\n", "202 Accepted"},
		{"GET /task/executepolling/00000000-0000-0000-0000-000000000000/00001/status HTTP/1.1\nHost: iimport.cloud.csiinc.com\nUser-Agent: example-documentation/1.0\nContent-Length: 0\n", ""},
	} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		request := strings.ReplaceAll(strings.Replace(relocate(sample.request, s.url), "/00001/", "/1/", 1), "\n", "\r\n") + "\r\n"
		if _, err := io.WriteString(conn, request); err != nil {
			t.Fatal(err)
		}
		answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		if sample.want != "" && answer.Status != sample.want {
			t.Errorf("%q: %s, want %s", sample.request, answer.Status, sample.want)
		}
		polling := answer.StatusCode == http.StatusAccepted
		after, _ := strconv.Atoi(answer.Header.Get("Retry-After"))
		if got := answer.Header.Get("Location") != "" && after >= 1 && after <= 60; got != polling {
			t.Errorf("%q: %s with headers %v", sample.request, answer.Status, answer.Header)
		}
		if answer.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%q: Content-Type %q", sample.request, answer.Header.Get("Content-Type"))
		}
		_ = conn.Close()
	}
}

// The loop of the C# sample: HttpClient without a BaseAddress, so a relative Location throws;
// Retry-After read once, from the first answer; anything but 202 ends the loop.
func TestCSharpSample(t *testing.T) {
	s := start(t)
	started, err := http.Post(s.url+"/task/executepolling/"+sampleTask, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = started.Body.Close()
	pollingURL := started.Header.Get("Location")
	if !strings.HasPrefix(pollingURL, "http://") {
		t.Fatalf("Location %q is not absolute: GetAsync throws", pollingURL)
	}
	seconds, err := strconv.Atoi(started.Header.Get("Retry-After"))
	if err != nil || seconds != 30 {
		t.Fatalf("Retry-After %q, want 30", started.Header.Get("Retry-After"))
	}
	var last *http.Response
	for last == nil || last.StatusCode == http.StatusAccepted {
		if last != nil {
			_ = last.Body.Close()
		}
		time.Sleep(time.Duration(seconds) * time.Millisecond) // the sample waits a thousand times as long
		if last, err = http.Get(pollingURL); err != nil {
			t.Fatal(err)
		}
	}
	defer last.Body.Close()
	var status document
	if err := json.NewDecoder(last.Body).Decode(&status); err != nil {
		t.Fatal(err)
	}
	if last.StatusCode != http.StatusOK || status.Status != "D" || status.Success == nil || !*status.Success || status.RowsProcessed != 3 {
		t.Errorf("%s %+v", last.Status, status)
	}
}

// The template that the original shows, trailing comma and all, and null for "use the default".
func TestParameterSamples(t *testing.T) {
	s := start(t)
	for body, rows := range map[string]int64{
		"{\n  \"QueryParameters\": {\n    \"ID\": \"\", \n  }\n}\n": 3,
		`{"QueryParameters":{"ID":null}}`:                           3,
		`{"QueryParameters":{"ID":"TX"}}`:                           1,
	} {
		request, err := http.NewRequest(http.MethodPost, s.url+"/task/executepolling/"+sampleTask, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Prefer", "wait=30")
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		var status document
		if err := json.NewDecoder(answer.Body).Decode(&status); err != nil || answer.StatusCode != 200 || status.RowsProcessed != rows {
			t.Errorf("%s: %s %+v, want %d rows (%v)", body, answer.Status, status, rows, err)
		}
		_ = answer.Body.Close()
	}
}

// The jQuery sample in a real browser, on a page of another origin.
func TestJQuerySample(t *testing.T) {
	chromium := need(t, "chromium")
	needPackages(t)
	s := start(t)
	logged := make(chan string, 8)
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/":
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			fmt.Fprint(w, relocate(read(t, "testdata/jquery.html"), s.url))
		case "/jquery.js":
			w.Header().Set("Content-Type", "text/javascript")
			fmt.Fprint(w, read(t, "examples/node_modules/jquery/dist/jquery.min.js"))
		case "/logged":
			data, _ := io.ReadAll(r.Body)
			logged <- string(data)
		default:
			http.NotFound(w, r)
		}
	}))
	defer page.Close()
	launch(t, chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync",
		"--user-data-dir="+t.TempDir(), "--remote-debugging-port=0", page.URL)

	limit := time.After(proctest.Limit)
	for range 2 {
		var entry struct {
			document
			Poller                     bool
			Started, Polled, Wrong     int
			RetryAfter, Outcome, Error string
			Problem                    string
		}
		select {
		case text := <-logged:
			if err := json.Unmarshal([]byte(text), &entry); err != nil || entry.Error != "" {
				t.Fatalf("the page logged %s (%v)", text, err)
			}
		case <-limit:
			t.Fatal("the page logs nothing")
		}
		if entry.Poller {
			after, err := strconv.Atoi(entry.RetryAfter)
			if entry.Started != 202 || err != nil || after < 1 || after > 60 || entry.Polled != 200 || entry.Outcome != "Success" ||
				entry.Wrong != 400 || entry.Problem == "" {
				t.Errorf("the poller saw %+v", entry)
			}
		} else if entry.ExecuteId != sampleTask || entry.Status != "Q" || entry.ImportId == 0 {
			t.Errorf("the sample saw %+v", entry.document)
		}
	}
}
