package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"runhook/shared/run"
	"runhook/shared/task"
)

// foreign is what somebody else publishes.
type foreign struct {
	subject, data string
	header        nats.Header
}

// foreignCase is one or some messages, by what they pass for.
type foreignCase struct {
	// store names the test's store that they are published in: those that have to do with each other,
	// as with the same run, are apart.
	store, name string
	// named: the program meets one of them for certain.
	named    bool
	messages []foreign
}

// foreignMessages are some of each subject, of a store where a task has the run 1 and nothing else. The
// run that is posted next has the number next, unless there are requests.
func foreignMessages(id task.ID) []foreignCase {
	other := task.NewID()
	next := 2
	claim := func(id any, n any) string { return fmt.Sprintf("$KV.runs_0.claim.%v.%v", id, n) }
	final := func(id any, n any) string { return fmt.Sprintf("$KV.runs_0.final.%v.%v", id, n) }
	forged := fmt.Sprintf(`{"ExecuteId":%q,"ImportId":99999999,"TaskName":"x","Status":"D","StatusDescription":"Success","Success":true,"CreatedOn":"2026-01-01T00:00:00Z","UpdatedOn":"2026-01-01T00:00:00Z"}`, id)
	request := func(id task.ID) string {
		return fmt.Sprintf(`{"Task":%q,"TaskName":"x","Definition":"x","Trigger":"webhook","RetryAfter":30,"CreatedOn":"2026-01-01T00:00:00Z"}`, id)
	}
	key := nats.Header{"Nats-Msg-Id": {string(id) + ".key"}, "Runhook-Parameters": {"x"}}
	return []foreignCase{
		{store: "requests", name: "a request that is none", named: true, messages: []foreign{{subject: "run.request." + string(id), data: "no JSON"}}},
		{store: "requests", name: "an empty request", named: true, messages: []foreign{{subject: "run.request." + string(id), data: ""}}},
		{store: "requests", name: "a request without anything", named: true, messages: []foreign{{subject: "run.request." + string(id), data: "{}"}}},
		{store: "requests", name: "a request that only names its task", named: true, messages: []foreign{{subject: "run.request." + string(id), data: fmt.Sprintf(`{"Task":%q}`, id)}}},
		{store: "requests", name: "a request of another task", named: true, messages: []foreign{{subject: "run.request." + string(id), data: request(other)}}},
		{store: "requests", name: "a large request", named: true, messages: []foreign{{subject: "run.request." + string(id), data: `{"Task":"` + strings.Repeat("x", 3<<20) + `"}`}}},
		{store: "requests", name: "a request with the header of a status", named: true, messages: []foreign{{subject: "run.request." + string(id), header: nats.Header{"Status": {"503"}}}}},
		{store: "requests", name: "a request with the headers of an answer", named: true, messages: []foreign{{subject: "run.request." + string(id), data: request(id), header: nats.Header{
			"Nats-Stream": {"RUNS"}, "Nats-Subject": {"run.request.foo"}, "Nats-Sequence": {"1"}, "Nats-Time-Stamp": {"2026-01-01T00:00:00Z"},
		}}}},
		{store: "requests", name: "requests of no task", named: true, messages: []foreign{
			{subject: "run.request." + string(other), data: request(other)},
			{subject: "run.request.foo", data: "no JSON"},
			{subject: "run.request." + strings.ToUpper(string(id)), data: request(id)},
		}},
		{store: "requests", name: "a request with a caller's key", named: true, messages: []foreign{{subject: "run.request." + string(id), data: "no JSON", header: key}}},
		{store: "others", name: "a message that moves the sequence on", messages: []foreign{{subject: "run.skipped", data: "no JSON"}}},
		{store: "the next run's claim", name: "the next run's claim", named: true, messages: []foreign{{subject: claim(id, next), data: "no JSON"}}},
		{store: "the next run's claim, of nobody", name: "the next run's claim, of nobody", named: true, messages: []foreign{{subject: claim(id, next), data: "{}"}}},
		{store: "the next run's claim, of somebody", name: "the next run's claim, of somebody", named: true, messages: []foreign{{subject: claim(id, next), data: `{"Owner":"somebody"}`}}},
		{store: "the next run's claim, without end", name: "the next run's claim, which counts without end", named: true, messages: []foreign{{
			subject: claim(id, next), data: `{"Owner":"somebody","Hold":"x","Executions":1,"Checkpoint":{"Rejected":[{"Token":3,"From":1,"To":9223372036854775807}]}}`,
		}}},
		{store: "claims", name: "claims of no run", messages: []foreign{
			{subject: claim(id, "99999999999"), data: "no JSON"},
			{subject: claim("foo", "bar"), data: "no JSON"},
			{subject: claim("a/b", "1"), data: "no JSON"},
			{subject: claim(other, 1), data: "no JSON"},
		}},
		{store: "claims", name: "a claim of the ended run", messages: []foreign{{subject: claim(id, 1), data: "no JSON"}}},
		{store: "final documents", name: "the ended run's final document", named: true, messages: []foreign{{subject: final(id, 1), data: "no JSON"}}},
		{store: "final documents", name: "final documents of no run", messages: []foreign{
			{subject: final(id, "99999999999"), data: "no JSON"},
			{subject: final(id, "99999999"), data: forged, header: nats.Header{"ce-subject": {"99999999"}}},
			{subject: final("foo", "bar"), data: "no JSON"},
			{subject: final(other, 1), data: "{}"},
		}},
		{store: "results", name: "something else among the results", named: true, messages: []foreign{
			{subject: "$KV.runs_0.foo", data: "no JSON"},
			{subject: fmt.Sprintf("$KV.runs_0.foo.%s.%d", id, next), data: "no JSON"},
			{subject: fmt.Sprintf("$KV.runs_0.foo.%s.1", id), data: "no JSON"},
		}},
		{store: "tasks", name: "the task's record", named: true, messages: []foreign{{subject: "$KV.tasks." + string(id), data: "no JSON"}}},
		{store: "the task's record, of nothing", name: "the task's record, of nothing", named: true, messages: []foreign{{subject: "$KV.tasks." + string(id), data: "{}"}}},
		{store: "tasks", name: "records of no task", named: true, messages: []foreign{
			{subject: "$KV.tasks." + string(other), data: "no JSON"},
			{subject: "$KV.tasks.foo", data: "{}"},
			{subject: "$KV.tasks.fo\u00f6", data: "{}"},
			{subject: "$KV.tasks.foo.bar.baz", data: "{}"},
		}},
		{store: "tasks", name: "definitions", messages: []foreign{
			{subject: "$KV.tasks." + string(id) + ".foo", data: "no YAML: ["},
			{subject: "$KV.tasks.foo.bar", data: "no YAML: ["},
			{subject: "$KV.tasks.foo.baz", data: "no YAML: ["},
			{subject: "$KV.tasks.fo\u00f6.bar", data: "no YAML: ["},
			{subject: "$KV.tasks.fo\u00f6.baz", data: "no YAML: ["},
		}},
		{store: "others", name: "live documents", messages: []foreign{
			{subject: fmt.Sprintf("$KV.progress.%s.%d", id, next), data: "no JSON"},
			{subject: fmt.Sprintf("$KV.progress.%s.1", id), data: "{}"},
			{subject: "$KV.progress.foo", data: "no JSON"},
		}},
		{store: "others", name: "what is told to followers", messages: []foreign{{subject: fmt.Sprintf("run.status.%s.%d", id, next), data: "no JSON"}}},
		{store: "others", name: "what is known of keys", messages: []foreign{{subject: "$KV.keys." + string(id) + ".foo", data: "no JSON"}, {subject: "$KV.keys.foo", data: "{}"}}},
		{store: "the id of the store", name: "the id of the store", messages: []foreign{{subject: "$KV.control.store", data: "no\r\nid"}}},
		{store: "others", name: "the rest of the control bucket", messages: []foreign{
			{subject: "$KV.control.repair", data: "no JSON"},
			{subject: "$KV.control.foo", data: "no JSON"},
		}},
		{store: "strangers", name: "a definition of no hash", named: true, messages: []foreign{{subject: "$KV.tasks." + string(id) + ".zz", data: "no JSON"}}},
		{store: "strangers", name: "a definition of no task", named: true, messages: []foreign{{subject: "$KV.tasks.foo." + strings.Repeat("0", 64), data: "no JSON"}}},
		{store: "strangers", name: "a key of too many parts", named: true, messages: []foreign{{subject: "$KV.tasks." + string(id) + ".foo.bar", data: "no JSON"}}},
		{store: "strangers", name: "a bundle", named: true, messages: []foreign{{subject: "$KV.runs_0.bundle.0", data: "no JSON"}}},
		{store: "strangers", name: "what is apart of a bundle", named: true, messages: []foreign{{subject: "$KV.runs_0.apart.1.final", data: "no JSON"}}},
		{store: "strangers", name: "an index", named: true, messages: []foreign{{subject: "$KV.runs_0.index." + string(id), data: "no JSON"}}},
		{store: "strangers", name: "a key of a slice", named: true, messages: []foreign{{subject: "$KV.runs_0.foo", data: "no JSON"}}},
		{store: "strangers", name: "an entry of no task", named: true, messages: []foreign{{subject: "$KV.keys.a.b", data: "no JSON"}}},
		{store: "strangers", name: "an entry of no key", named: true, messages: []foreign{{subject: "$KV.keys." + string(id) + ".b", data: "no JSON"}}},
		{store: "strangers", name: "an entry", named: true, messages: []foreign{{subject: "$KV.keys.foo", data: "no JSON"}}},
		{store: "strangers", name: "rows of no run", named: true, messages: []foreign{{subject: "$O.rows.M.zz", data: "no JSON"}}},
		{store: "strangers", name: "pieces of rows", named: true, messages: []foreign{{subject: "$O.rows.C.zz", data: "no JSON"}}},
		{store: "strangers", name: "a key of the control bucket", named: true, messages: []foreign{{subject: "$KV.control.foo", data: "no JSON"}}},
		{store: "strangers", name: "a pace of no task", named: true, messages: []foreign{{subject: "$KV.control.pace.foo", data: "no JSON"}}},
		{store: "others", name: "the pace of the task", named: true, messages: []foreign{{subject: "$KV.control.pace." + string(id), data: "no JSON"}}},
		{store: "strangers", name: "a cancel of no run", named: true, messages: []foreign{{subject: "$KV.control.cancel." + string(id) + ".x", data: "no JSON"}}},
		{store: "strangers", name: "a live document of no task", named: true, messages: []foreign{{subject: "$KV.progress.foo.1", data: "no JSON"}}},
		{store: "strangers", name: "a live document of no number", named: true, messages: []foreign{{subject: "$KV.progress." + string(id) + ".x", data: "no JSON"}}},
		{store: "strangers", name: "a live document", named: true, messages: []foreign{{subject: "$KV.progress.foo", data: "no JSON"}}},
		{store: "others", name: "rejected rows", messages: []foreign{
			{subject: "$O.rows.C.foo", data: "no JSON"},
			{subject: "$O.rows.M.foo", data: "no JSON"},
		}},
	}
}

// Messages that do not decode, or do not belong where they are, on any subject: the runs before and
// after them end and answer, runs are listed, and the program starts again, after a loss of data too.
func TestForeignMessages(t *testing.T) {
	t.Parallel()
	var stores []string
	for _, c := range foreignMessages("") {
		if !slices.Contains(stores, c.store) {
			stores = append(stores, c.store)
		}
	}
	for _, store := range stores {
		t.Run(store, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			i := begin(t, s.args()...).listening()
			before := i.start(s.copy, nil)
			was := i.awaitEnd(before)
			cases := slices.DeleteFunc(foreignMessages(s.copy), func(c foreignCase) bool { return c.store != store })
			requests := 0
			for _, c := range cases {
				i.publishForeign(c.messages)
				if len(c.messages) == 1 && c.messages[0].subject == "run.request."+string(s.copy) {
					requests++
				}
			}
			i.livesOn(s, was)
			i.endsForeign(requests)
			i.namesOnce(cases, s.copy)
			i.end()

			i = spawn(t, s.args()...).listening()
			i.livesOn(s, was)
			i.end()

			// The last bytes of the requests are lost.
			block := s.path("data/nats/jetstream/$G/streams/RUNS/msgs/1.blk")
			info, err := os.Stat(block)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(block, info.Size()-7); err != nil {
				t.Fatal(err)
			}
			i = spawn(t, s.args()...).listening()
			i.log.Await(t, `the data directory is damaged: the last accepted requests are lost`, i.ended)
			i.livesOn(s, was)
			i.end()
		})
	}
}

// endsForeign wants what stands in the place of so many requests to end Failed under its task's name.
func (i *instance) endsForeign(requests int) {
	i.t.Helper()
	eventually(i.t, i, "what is no request has ended Failed", func() bool {
		_, body := i.body(i.url + "/api/runs")
		var list struct{ Runs []run.Document }
		if err := json.Unmarshal(body, &list); err != nil {
			i.t.Fatalf("the list of runs: %v: %s", err, body)
		}
		failed := 0
		for _, doc := range list.Runs {
			overwritten := strings.HasPrefix(doc.Message, "How this run ended is unknown")
			if doc.Outcome() == run.Failed && !overwritten && doc.TaskName == list.Runs[len(list.Runs)-1].TaskName {
				failed++
			}
		}
		return failed == requests
	})
}

// namesOnce wants one line in the log for each message that was met, and as many in the metric.
func (i *instance) namesOnce(cases []foreignCase, id task.ID) {
	i.t.Helper()
	line := regexp.MustCompile(`"stream":"(\w+)","subject":"([^"]+)","sequence":\d+,.*is not what its subject says`)
	metric := regexp.MustCompile(`(?m)^runhook_messages_passed_over_total\{stream="\w+"\} (\d+)$`)
	// The log names tasks, once it knows them.
	shown := func(subject string) string { return strings.ReplaceAll(subject, string(id), "Copy people") }
	for range 2 { // whoever asks again meets the same messages
		_, _ = i.body(i.url + "/api/runs")
	}
	eventually(i.t, i, "what was met is named and counted", func() bool {
		named, subjects := map[string]bool{}, map[string]int{}
		lines := line.FindAllStringSubmatch(i.log.String(), -1)
		for _, found := range lines {
			named[found[0]] = true
			if bucket, ok := strings.CutPrefix(found[1], "KV_"); ok && !strings.HasPrefix(found[2], "$KV."+bucket+".") {
				i.t.Fatalf("the subject is not whole: %s", found[0])
			}
			subjects[shown(found[2])]++
		}
		if len(named) != len(lines) {
			i.t.Fatalf("a message is named again:\n%s", i.log)
		}
		for _, c := range cases {
			met := slices.IndexFunc(c.messages, func(m foreign) bool { return subjects[shown(m.subject)] > 0 })
			if met >= 0 {
				subjects[shown(c.messages[met].subject)]--
			} else if c.named {
				return false
			}
		}
		_, metrics := i.body(i.url + "/metrics")
		counted := 0
		for _, found := range metric.FindAllSubmatch(metrics, -1) {
			n, _ := strconv.Atoi(string(found[1])) // digits
			counted += n
		}
		return counted == len(named)
	})
}

func (i *instance) publishForeign(messages []foreign) {
	i.t.Helper()
	nc, err := nats.Connect(i.nats)
	if err != nil {
		i.t.Fatal(err)
	}
	defer nc.Close()
	for _, m := range messages {
		if err := nc.PublishMsg(&nats.Msg{Subject: m.subject, Data: []byte(m.data), Header: m.header}); err != nil {
			i.t.Fatal(err)
		}
	}
	if err := nc.Flush(); err != nil {
		i.t.Fatal(err)
	}
}

// livesOn posts a run, and looks that it ends, that the run was answers as it did, and that runs are
// listed under their names, none of them from before its time.
func (i *instance) livesOn(s *site, was run.Document) {
	i.t.Helper()
	post, err := http.NewRequestWithContext(i.t.Context(), http.MethodPost, i.url+"/task/executepolling/"+string(s.copy), nil)
	if err != nil {
		i.t.Fatal(err)
	}
	post.Header.Set("Idempotency-Key", "key")
	for range 2 { // the key is the same each time
		response, err := http.DefaultClient.Do(post)
		if err != nil {
			i.t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != http.StatusAccepted {
			i.t.Fatalf("a POST with a key: %d\n%s", response.StatusCode, i.log)
		}
	}
	posted := i.start(s.copy, nil)
	if doc := i.awaitEnd(posted); doc.Outcome() != run.Success {
		i.t.Errorf("a run that was posted after it: %+v", doc)
	}
	status, body := i.body(strings.Replace(posted.Document.PollingURL, "/"+posted.Number.String()+"/", "/"+was.ImportID.String()+"/", 1))
	if status != http.StatusOK {
		i.t.Errorf("the run before it: %d %s", status, body)
	}
	eventually(i.t, i, "every run has ended and has its name", func() bool {
		status, body = i.body(i.url + "/api/runs")
		var list struct{ Runs []run.Document }
		if err := json.Unmarshal(body, &list); err != nil || status != http.StatusOK || len(list.Runs) < 2 {
			i.t.Fatalf("the list of runs: %d %s\n%s", status, body, i.log)
		}
		for _, doc := range list.Runs {
			if doc.Outcome() == "" || doc.TaskName == "" || time.Since(time.Time(doc.CreatedOn)) > time.Hour*24*365*2 {
				return false
			}
		}
		return true
	})
}

func (i *instance) body(url string) (status int, body []byte) {
	i.t.Helper()
	request, err := http.NewRequestWithContext(i.t.Context(), http.MethodGet, url, nil)
	if err != nil {
		i.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+i.token())
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		i.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if body, err = io.ReadAll(response.Body); err != nil {
		i.t.Fatal(err)
	}
	return response.StatusCode, body
}
