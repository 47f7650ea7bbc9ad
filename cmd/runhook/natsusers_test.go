//go:build !bench

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"runhook/shared/bustest"
	"runhook/shared/run"
)

// An integration without a login follows a run live, reads events, and has consumers of its own. Whatever else it
// tries changes nothing and is not answered.
func TestIntegrationWithoutLogin(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	i := begin(t, s.args()...).listening()
	if !strings.Contains(i.out.String(), "programs of this machine follow runs and read events without a login, nothing else") {
		t.Errorf("the start does not say who may do what: %s", i.out)
	}
	nc := login(t, i, "")
	everything, err := nc.SubscribeSync(">")
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	if doc := i.awaitEnd(i.start(s.copy, nil)); doc.Outcome() != run.Success {
		t.Fatalf("%+v", doc)
	}
	readsEvents(t, nc, s, "mine")
	for {
		msg, err := everything.NextMsg(time.Second)
		if errors.Is(err, nats.ErrTimeout) {
			t.Fatal("the run's final document did not come")
		}
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(msg.Subject, "_INBOX.") {
			continue
		}
		if want := fmt.Sprintf("run.status.%s.1", s.copy); msg.Subject != want {
			t.Errorf("it hears of %s", msg.Subject)
		}
		if strings.Contains(string(msg.Data), `"Success"`) {
			break
		}
	}
	if err := everything.Unsubscribe(); err != nil {
		t.Fatal(err)
	}
	keepsOut(t, i.nats, nc, string(s.copy), "mine")
}

// With a file of users nobody comes in without a login; each integration has its own consumer and no other's, and
// an operator may do everything.
func TestIntegrationsWithLogins(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.writeFor(0o600, "users", "# of two programs\ncrm: 0123456789abcdef-crm\nbilling: 0123456789abcdef-billing\n\nops(operator): 0123456789abcdef-ops\n")
	i := begin(t, s.args("--nats-auth-file", s.path("users"))...).listening()
	if !strings.Contains(i.out.String(), "NATS: crm, billing follow runs and read events with their passwords, nothing else; operator (") || !strings.Contains(i.out.String(), "ops may do everything") {
		t.Errorf("the start does not say who may do what: %s", i.out)
	}
	for _, wrong := range []string{"", "crm:", "crm:0123456789abcdef-billing", "nobody:0123456789abcdef-crm", ":0123456789abcdef-crm", "runhook-internal:", "guests:"} {
		if nc, err := nats.Connect("nats://"+i.natsAddress(), credentials(wrong)...); err == nil {
			nc.Close()
			t.Errorf("%q came in", wrong)
		}
	}
	if doc := i.awaitEnd(i.start(s.copy, nil)); doc.Outcome() != run.Success {
		t.Fatalf("%+v", doc)
	}
	crm, billing := login(t, i, "crm:0123456789abcdef-crm"), login(t, i, "billing:0123456789abcdef-billing")
	readsEvents(t, crm, s, "crm")
	readsEvents(t, billing, s, "billing")
	for _, subject := range []string{
		"$JS.API.CONSUMER.INFO.EVENTS.billing", "$JS.API.CONSUMER.DELETE.EVENTS.billing", "$JS.API.CONSUMER.MSG.NEXT.EVENTS.billing",
		"$JS.API.CONSUMER.CREATE.EVENTS.other", "$JS.API.CONSUMER.CREATE.EVENTS.billing.run.completed.*", "$JS.ACK.EVENTS.billing.1.1.1.1.0",
	} {
		unanswered(t, crm, subject, `{"stream_name":"EVENTS","config":{"name":"billing","durable_name":"billing","ack_policy":"explicit"}}`)
	}
	answer, err := crm.Request("$JS.API.CONSUMER.CREATE.EVENTS.crm", []byte(`{"stream_name":"EVENTS","config":{"name":"billing","durable_name":"billing","ack_policy":"none"}}`), limit)
	if err != nil || !strings.Contains(string(answer.Data), `"error"`) {
		t.Errorf("a consumer of another's name: %v %v", answer, err)
	}
	keepsOut(t, i.nats, crm, string(s.copy), "crm")
	ops := login(t, i, "ops:0123456789abcdef-ops")
	js, err := jetstream.New(ops)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "run.request."+string(s.copy), nil); err != nil {
		t.Errorf("an operator may not publish: %v", err)
	}
}

// SIGHUP reads the users again: who has gone is cut off, who has come comes in, and an operator's file that was removed
// is made again. A file that cannot be used changes nothing.
func TestUsersAreReadAgain(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.writeFor(0o600, "users", "crm: 0123456789abcdef-crm\nbilling: 0123456789abcdef-billing\n")
	i := begin(t, s.args("--nats-auth-file", s.path("users"))...).listening()
	crm, billing := login(t, i, "crm:0123456789abcdef-crm"), login(t, i, "billing:0123456789abcdef-billing")
	operator := strings.TrimSpace(read(t, s.path("data/nats.operator")))
	s.writeFor(0o600, "users", "crm: short\n")
	i.hangups <- syscall.SIGHUP
	i.log.Await(t, "the NATS users were not read again", i.ended)
	if err := errors.Join(crm.FlushTimeout(limit), billing.FlushTimeout(limit)); err != nil {
		t.Errorf("a file that cannot be used: %v", err)
	}
	if strings.Contains(i.log.String(), "crm: short") {
		t.Error("the log has a password")
	}
	s.writeFor(0o600, "users", "billing: 0123456789abcdef-billing\nshop: 0123456789abcdef-shop\n")
	if err := os.Remove(s.path("data/nats.operator")); err != nil {
		t.Fatal(err)
	}
	i.hangups <- syscall.SIGHUP
	i.log.Await(t, "the NATS users were read again", i.ended)
	if err := billing.FlushTimeout(limit); err != nil {
		t.Errorf("billing: %v", err)
	}
	login(t, i, "shop:0123456789abcdef-shop")
	if next := strings.TrimSpace(read(t, s.path("data/nats.operator"))); next == operator {
		t.Error("the operator's password is the same")
	} else {
		login(t, i, next)
	}
	for _, former := range []string{"crm:0123456789abcdef-crm", operator} {
		if nc, err := nats.Connect("nats://"+i.natsAddress(), credentials(former)...); err == nil {
			nc.Close()
			t.Errorf("%q came in", former)
		}
	}
	eventually(t, i, "crm is cut off", func() bool { return !crm.IsConnected() })
}

func credentials(login string) []nats.Option {
	name, password, ok := strings.Cut(login, ":")
	if !ok {
		return nil
	}
	return []nats.Option{nats.UserInfo(name, password)}
}

func login(t *testing.T, i *instance, as string) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect("nats://"+i.natsAddress(), append(credentials(as), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// readsEvents wants the first event to come to a consumer, and to be acknowledged.
func readsEvents(t *testing.T, nc *nats.Conn, s *site, name string) {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	events, err := js.Stream(t.Context(), "EVENTS")
	if err != nil {
		t.Fatal(err)
	}
	consumer, err := events.CreateOrUpdateConsumer(t.Context(), jetstream.ConsumerConfig{Durable: name, FilterSubject: "run.completed.*", AckPolicy: jetstream.AckExplicitPolicy})
	if err != nil {
		t.Fatal(err)
	}
	event, err := consumer.Next(jetstream.FetchMaxWait(limit))
	if err != nil {
		t.Fatal(err)
	}
	if err := event.DoubleAck(t.Context()); err != nil || event.Subject() != "run.completed."+string(s.copy) {
		t.Errorf("the event %s: %v", event.Subject(), err)
	}
	if info, err := consumer.Info(t.Context()); err != nil || info.NumAckPending != 0 || info.AckFloor.Stream != 1 {
		t.Errorf("the consumer: %+v, %v", info, err)
	}
	if last, err := events.GetLastMsgForSubject(t.Context(), event.Subject()); err != nil || last.Sequence != 1 {
		t.Errorf("the last event: %+v, %v", last, err)
	}
}

// unanswered wants a request to be answered by nobody.
func unanswered(t *testing.T, nc *nats.Conn, subject, body string) {
	t.Helper()
	answer, err := nc.Request(subject, []byte(body), 5*time.Second)
	if !errors.Is(err, nats.ErrNoResponders) {
		t.Errorf("%s: %v, %+v", subject, err, answer)
	}
}

// keepsOut wants everything that an integration must not do to be left undone. operator is the URL of who may do
// everything, and consumer one of the integration's own.
func keepsOut(t *testing.T, operator string, nc *nats.Conn, id, consumer string) {
	t.Helper()
	store := bustest.JetStream(t, operator)
	before := contents(t, store)
	for _, subject := range []string{
		"run.request." + id, "run.skipped", "run.completed." + id, "run.status." + id + ".1", "$KV.runs_0.final." + id + ".1", "$KV.runs_0.claim." + id + ".2",
		"$KV.tasks." + id, "$KV.keys." + id + ".x", "$KV.control.store", "$KV.progress." + id + ".1", "$O.rows.M.eA==", "$O.rows.C.x",
	} {
		for _, rollup := range []string{"", "all", "sub"} {
			msg := &nats.Msg{Subject: subject, Data: []byte("forged"), Header: nats.Header{}}
			if rollup != "" {
				msg.Header.Set("Nats-Rollup", rollup)
			}
			if err := nc.PublishMsg(msg); err != nil {
				t.Fatal(err)
			}
		}
	}
	for stream := range before {
		for _, api := range []string{"INFO", "PURGE", "DELETE", "UPDATE", "CREATE", "MSG.GET", "MSG.DELETE", "SNAPSHOT", "RESTORE", "LEADER.STEPDOWN", "PEER.REMOVE"} {
			if stream != "EVENTS" || api != "INFO" {
				unanswered(t, nc, "$JS.API.STREAM."+api+"."+stream, `{"last_by_subj":">"}`)
			}
		}
		for _, api := range []string{"LIST." + stream, "NAMES." + stream} {
			unanswered(t, nc, "$JS.API.CONSUMER."+api, "")
		}
		if stream == "EVENTS" {
			continue
		}
		for _, subject := range []string{
			"CONSUMER.CREATE." + stream + "." + consumer, "CONSUMER.CREATE." + stream, "CONSUMER.DURABLE.CREATE." + stream + "." + consumer, "CONSUMER.MSG.NEXT." + stream + "." + id,
			"CONSUMER.INFO." + stream + "." + id, "CONSUMER.DELETE." + stream + "." + id, "DIRECT.GET." + stream, "DIRECT.GET." + stream + ".run.request." + id,
		} {
			unanswered(t, nc, "$JS.API."+subject, `{"seq":1}`)
		}
	}
	// A consumer that would send by itself.
	for setting, value := range map[string]string{"deliver_subject": `"run.request.` + id + `"`, "flow_control": "true", "direct": "true", "sourcing": "true"} {
		body := fmt.Sprintf(`{"stream_name":"EVENTS","config":{"name":%q,"durable_name":%[1]q,"ack_policy":"none",%q:%s}}`, consumer, setting, value)
		for _, subject := range []string{consumer, consumer + ".run.completed.*"} {
			answer, err := nc.Request("$JS.API.CONSUMER.CREATE.EVENTS."+subject, []byte(body), limit)
			if err != nil || !strings.Contains(string(answer.Data), "leave out "+setting) {
				t.Errorf("%s: %v %+v", setting, err, answer)
			}
		}
	}
	for _, copying := range []string{`"mirror":{"name":"RUNS"}`, `"sources":[{"name":"RUNS"}]`, `"subjects":["x"],"republish":{"src":">","dest":"run.request.x"}`} {
		unanswered(t, nc, "$JS.API.STREAM.CREATE.COPY", `{"name":"COPY",`+copying+`}`)
	}
	for _, subject := range []string{
		"$JS.API.STREAM.LIST", "$JS.API.STREAM.NAMES", "$JS.API.ACCOUNT.PURGE.$G", "$JS.API.META.LEADER.STEPDOWN", "$JS.API.CONSUMER.PAUSE.EVENTS." + consumer,
		"$JS.API.CONSUMER.LEADER.STEPDOWN.EVENTS." + consumer, "$JS.ACK.RUNS." + id + ".1.1.1.1.0",
		"$SYS.REQ.SERVER.PING", "$SYS.REQ.SERVER.PING.JSZ", "$SYS.REQ.ACCOUNT.$G.CONNZ", "$SYS.REQ.ACCOUNT.$G.SUBSZ", "$SRV.PING",
	} {
		unanswered(t, nc, subject, "")
	}
	if after := contents(t, store); !maps.Equal(after, before) {
		t.Errorf("the store has changed from %v to %v", before, after)
	}
}

// contents is what the streams of a store hold.
func contents(t *testing.T, js jetstream.JetStream) map[string]string {
	t.Helper()
	all, streams := map[string]string{}, js.ListStreams(t.Context())
	for info := range streams.Info() {
		config, err := json.Marshal(info.Config)
		if err != nil {
			t.Fatal(err)
		}
		durable := 0 // others come and go: the services read so, and the server itself
		if info.Config.Name != "EVENTS" {
			stream, err := js.Stream(t.Context(), info.Config.Name)
			if err != nil {
				t.Fatal(err)
			}
			for consumer := range stream.ListConsumers(t.Context()).Info() {
				if consumer.Config.Durable != "" {
					durable++
				}
			}
		}
		all[info.Config.Name] = fmt.Sprintf("%s %d %d %d %d", config, info.State.Msgs, info.State.FirstSeq, info.State.LastSeq, durable)
	}
	if err := streams.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}
