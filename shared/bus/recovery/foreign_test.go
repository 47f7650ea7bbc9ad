package recovery_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"runhook/shared/bus"
	"runhook/shared/bus/recovery"
	"runhook/shared/bustest"
	"runhook/shared/run"
)

const damaged = "the data directory is damaged: the last accepted requests are lost"

// look starts the server, which was stopped, looks for damage, and returns the log of that.
func (r *ran) look(t *testing.T, listen string) string {
	t.Helper()
	r.Start(listen)
	r.awaitReady(t)
	var log bytes.Buffer
	again, err := bus.Connect(t.Context(), bus.Config{InProcess: r.Broker, Log: zerolog.New(&log)})
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Init(t.Context(), bus.Topology{}); err != nil {
		t.Fatal(err)
	}
	if err := recovery.Repair(t.Context(), again, r.Broker.CutOff, r.Broker.Unsynced); err != nil {
		t.Fatal(err)
	}
	again.Close()
	return log.String()
}

// What somebody else has published for runs behind the last one is named at the next start, and tells of no
// damage: the next run has the next number.
func TestForeignMessageBehindTheLastRunIsNoDamage(t *testing.T) {
	t.Parallel()
	r := newRan(t, 3)
	js := bustest.JetStream(t, r.Broker.URL())
	subject := func(kind string, n int) string { return fmt.Sprintf("$KV.runs_0.%s.%s.%d", kind, r.request.Task, n) }
	forged := strings.Replace(r.finals[3], `"ImportId":3`, `"ImportId":8`, 1)
	for _, msg := range []*nats.Msg{
		{Subject: subject("final", 5), Data: []byte("no JSON"), Header: nats.Header{"ce-subject": {"5"}}},
		{Subject: subject("claim", 6), Data: []byte("no JSON")},
		{Subject: subject("claim", 7), Data: []byte(`{"Owner":"somebody"}`)},
		{Subject: subject("final", 9), Data: []byte("no JSON"), Header: nats.Header{"ce-subject": {"9"}, "Runhook-Hold": {"x"}}},
		{Subject: subject("final", 8), Data: []byte(forged), Header: nats.Header{"ce-subject": {"8"}}},
	} {
		if _, err := js.PublishMsg(t.Context(), msg); err != nil {
			t.Fatal(err)
		}
	}
	r.events(t, 6)
	listen := r.Broker.Addr().String()
	r.Broker.Stop()
	log := r.look(t, listen)
	for _, foreign := range []string{subject("final", 5), subject("claim", 6), subject("claim", 7), subject("final", 8), subject("final", 9)} {
		if !strings.Contains(log, foreign) {
			t.Errorf("%s is not named", foreign)
		}
	}
	if strings.Contains(log, "damaged") || strings.Count(log, "is not what its subject says") != 5 {
		t.Errorf("the log: %s", log)
	}
	if n := bustest.Submit(t, r.Bus, r.request); n != 4 {
		t.Errorf("the next run is %s", n)
	}
}

// A claim, a final document or an event that Runhook has written tells that the request of its run is lost,
// though the files end where a message does, the queues have forgotten it, and the server was stopped.
func TestLostRequestsAreToldBy(t *testing.T) {
	t.Parallel()
	for witness, lost := range map[string]map[string]int{
		"a claim": {"RUNS": 1}, "a final document": {"RUNS": 2}, "an event": {"RUNS": 2, "KV_runs_0": 3},
	} {
		t.Run(witness, func(t *testing.T) {
			t.Parallel()
			r := newRan(t, 3)
			r.events(t, 3)
			given := run.Number(3)
			if witness != "a final document" {
				given = bustest.Submit(t, r.Bus, r.request)
				if _, err := r.Work.Claim(t.Context(), r.request.Task, given, run.Claim{Owner: "test", Executions: 1}); err != nil {
					t.Fatal(err)
				}
			}
			listen := r.Broker.Addr().String()
			r.Broker.Stop()
			streams := filepath.Join(r.Dir, "jetstream", "$G", "streams")
			for stream, n := range lost {
				msgs := filepath.Join(streams, stream, "msgs")
				cutRecords(t, filepath.Join(msgs, "1.blk"), n)
				if err := os.Remove(filepath.Join(msgs, "index.db")); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.Remove(filepath.Join(streams, "RUNS", "obs", string(r.request.Task), "o.dat")); err != nil {
				t.Fatal(err)
			}
			if log := r.look(t, listen); !strings.Contains(log, damaged) {
				t.Errorf("the log: %s", log)
			}
			if n := bustest.Submit(t, r.Bus, r.request); n <= given {
				t.Errorf("run %s was given to two callers", n)
			}
		})
	}
}
