//go:build !bench

package main

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/bustest"
	"runhook/shared/run"
	"runhook/shared/task"
)

// The task whose messages are forged, and the one whose runs have to go on.
const (
	forgedTask  = task.ID("0f0f0f0f-0000-4000-8000-000000000001")
	control     = task.ID("0f0f0f0f-0000-4000-8000-000000000002")
	forgedKey   = "key"
	definition  = "0000000000000000000000000000000000000000000000000000000000000000"
	nobodysTask = "0f0f0f0f-0000-4000-8000-00000000000f"
)

// forgedSubjects are subjects of each sort; T stands for the task, N for a number, and X for any text.
var forgedSubjects = []string{
	"run.request.T", "run.request." + nobodysTask, "run.request.X", "run.skipped", "run.status.T.N",
	"$KV.runs_0.claim.T.N", "$KV.runs_0.final.T.N", "$KV.runs_0.claim." + nobodysTask + ".N", "$KV.runs_0.final." + nobodysTask + ".N",
	"$KV.runs_0.other.T.N", "$KV.runs_0.X", "$KV.progress.T.N", "$KV.progress.X",
	"$KV.tasks.T", "$KV.tasks.T." + definition, "$KV.tasks.X", "$KV.tasks.X.X", "$KV.keys.T.K", "$KV.keys.X",
	"$KV.control.X", "$KV.control.turn", "$KV.control.sessions", "$KV.control.pace.T", "$O.rows.M.O", "$O.rows.C.X",
}

// FuzzForgedMessages publishes what no service would, on a subject of each sort, to the running program: runs of the
// task go on to some end, those of another succeed, and whatever is asked of a run is answered.
func FuzzForgedMessages(f *testing.F) {
	s := newSite(f)
	s.copy = control
	s.write("tasks/copy.yaml", fmt.Sprintf(siteTask, control))
	s.write("tasks/forged.yaml", strings.Replace(strings.Replace(fmt.Sprintf(siteTask, forgedTask), "Copy people", "Forged", 1), "table: people", "table: forged", 1))
	i := begin(f, s.args("--lease", "2s", "--log-level", "error")...).listening()
	i.awaitEnd(i.start(forgedTask, nil))
	js := bustest.JetStream(f, i.nats)
	record := lastOf(f, js, "KV_tasks", "$KV.tasks."+string(forgedTask))
	// What a store has is what the forgeries are made of.
	real := map[string][]byte{
		"run.request.T":        lastOf(f, js, "RUNS", "run.request.>"),
		"$KV.runs_0.claim.T.N": lastOf(f, js, "KV_runs_0", "$KV.runs_0.claim.>"),
		"$KV.runs_0.final.T.N": lastOf(f, js, "KV_runs_0", "$KV.runs_0.final.>"),
		"$KV.progress.T.N":     []byte(strings.NewReplacer(`"D"`, `"P"`, "Success\"", "In progress\"").Replace(string(lastOf(f, js, "KV_runs_0", "$KV.runs_0.final.>")))),
		"$KV.tasks.T":          record,
		"$KV.control.pace.T":   []byte(`{"LastMs":[6,7200000]}`),
		"$KV.keys.T.K":         []byte(`{"From":18446744073709551615,"Searched":1,"Task":"*","Run":2}`),
		"$O.rows.M.O":          []byte(`{"name":"x","bucket":"rows","nuid":"x","size":9007199254740993,"chunks":4294967295,"digest":"SHA-256=x"}`),
	}
	for kind, subject := range forgedSubjects {
		if body := real[subject]; body != nil {
			f.Add(uint8(kind), uint64(0), "", body)
			f.Add(uint8(kind), uint64(1), "Runhook-Rejected: 1 1 9223372036854775807", body)
			f.Add(uint8(kind), uint64(0), "Nats-Stream: RUNS\nNats-Sequence: 1\nNats-Subject: x\nNats-Time-Stamp: x", body)
			f.Add(uint8(kind), uint64(0), "Status: 409\nDescription: Consumer Deleted", []byte{})
		} else {
			f.Add(uint8(kind), uint64(1<<63), "Nats-Msg-Id: "+string(forgedTask)+"."+forgedKey, []byte("\x00\xff{"))
		}
	}
	var nc *nats.Conn
	f.Cleanup(func() { nc.Close() })
	next, key := run.Number(2), sha256.Sum256([]byte(forgedKey))
	f.Fuzz(func(t *testing.T, kind uint8, number uint64, header string, body []byte) {
		i.t = t
		subject := forgedSubjects[int(kind)%len(forgedSubjects)]
		n := run.Number(number)
		if number == 0 {
			n = next
		}
		msg := &nats.Msg{Data: body, Header: nats.Header{}, Subject: strings.NewReplacer(
			"T", string(forgedTask), "N", n.String(), "X", base64.RawURLEncoding.EncodeToString([]byte(header+"x")),
			"K", base64.RawURLEncoding.EncodeToString(key[:16]), "O", base64.URLEncoding.EncodeToString(fmt.Appendf(nil, "%s.%s.1.1", forgedTask, n)),
		).Replace(subject)}
		for line := range strings.Lines(header) {
			if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
				msg.Header[name] = append(msg.Header[name], strings.TrimSpace(value))
			}
		}
		if nc == nil || !nc.IsConnected() { // the server ends a connection for what it cannot read
			if nc != nil {
				nc.Close()
			}
			var err error
			if nc, err = nats.Connect(i.nats, nats.NoReconnect(), nats.Timeout(limit), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})); err != nil {
				t.Fatalf("%v\n%s", err, i.log)
			}
		}
		if nc.PublishMsg(msg) != nil {
			return // it does not leave this program
		}
		_ = nc.Flush() // and one that the server does not take is a forgery too
		location := i.startForged(strings.Contains(subject, "keys"))
		started := i.start(control, nil)
		next = started.Number + 1
		if doc := i.awaitEnd(started); doc.Outcome() != run.Success {
			t.Fatalf("%+v\n%s", doc, i.log)
		}
		if location != "" && !strings.HasPrefix(subject, "$KV.tasks.") {
			eventually(t, i, "the run has ended somehow", func() bool { return i.answers(location) == http.StatusOK })
		}
		eventually(t, i, "runs are listed", func() bool { return i.answers(i.url+"/api/runs") == http.StatusOK }) // a busy machine reads late
		for _, path := range []string{"/readyz", "/api/tasks/" + string(forgedTask), run.RejectedPath(forgedTask, n), strings.Replace(run.RejectedPath(forgedTask, n), "/rejected", "/status", 1)} {
			i.answers(i.url + path)
		}
		if strings.HasPrefix(subject, "$KV.tasks.") {
			if _, err := js.Publish(t.Context(), "$KV.tasks."+string(forgedTask), record); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// lastOf is the last message of a stream with a subject.
func lastOf(t testing.TB, js jetstream.JetStream, stream, subject string) []byte {
	t.Helper()
	of, err := js.Stream(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	msg, err := of.GetLastMsgForSubject(t.Context(), subject)
	if err != nil {
		t.Fatal(err)
	}
	return msg.Data
}

// startForged starts a run of the forged task, perhaps with the key, and returns where its status is, "" if it is
// refused.
func (i *instance) startForged(keyed bool) (location string) {
	i.t.Helper()
	post, err := http.NewRequestWithContext(i.t.Context(), http.MethodPost, i.url+"/task/executepolling/"+string(forgedTask), nil)
	if err != nil {
		i.t.Fatal(err)
	}
	if keyed {
		post.Header.Set("Idempotency-Key", forgedKey)
	}
	answer, err := http.DefaultClient.Do(post)
	if err != nil {
		i.t.Fatalf("%v\n%s", err, i.log)
	}
	_ = answer.Body.Close()
	if answer.StatusCode == http.StatusInternalServerError {
		i.t.Fatalf("a POST: %s\n%s", answer.Status, i.log)
	}
	return answer.Header.Get("Location")
}

// answers is what the program answers, with its token, which must not be that something is broken.
func (i *instance) answers(url string) (status int) {
	i.t.Helper()
	ctx, cancel := context.WithTimeout(i.t.Context(), limit)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		i.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+i.token())
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		i.t.Fatalf("%s: %v\n%s", url, err, i.log)
	}
	defer func() { _ = answer.Body.Close() }()
	if _, err = io.Copy(io.Discard, answer.Body); err != nil || answer.StatusCode == http.StatusInternalServerError {
		i.t.Fatalf("%s: %s, %v\n%s", url, answer.Status, err, i.log)
	}
	return answer.StatusCode
}
