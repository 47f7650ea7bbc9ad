package broker_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"runhook/shared/broker"
	"runhook/shared/proctest"
)

// A server that was killed between the settings of a stream and their checksum, when it made the stream or changed it,
// has its messages after the next start, and consumers have their place.
func TestKilledWhileItWritesSettings(t *testing.T) {
	t.Parallel()
	said := proctest.NewOutput()
	o := broker.Options{Dir: t.TempDir(), Log: zerolog.New(said)}
	file := func(stream string, names ...string) string {
		return filepath.Join(append([]string{o.Dir, "jetstream", "$G", "streams", stream}, names...)...)
	}
	first, err := broker.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	js := connect(t, first)
	for _, name := range []string{"MADE", "CHANGED", "DAMAGED", "WHOLE"} {
		stream, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: name, Subjects: []string{name}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := js.Publish(t.Context(), name, []byte(name)); err != nil {
			t.Fatal(err)
		}
		if _, err := stream.CreateConsumer(t.Context(), jetstream.ConsumerConfig{Durable: "reader"}); err != nil {
			t.Fatal(err)
		}
	}
	before := read(t, file("CHANGED", "meta.sum"))
	was, err := os.Stat(file("CHANGED", "meta.sum"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.UpdateStream(t.Context(), jetstream.StreamConfig{Name: "CHANGED", Subjects: []string{"CHANGED"}, MaxMsgs: 10}); err != nil {
		t.Fatal(err)
	}
	first.Stop()
	sums := map[string]string{}
	for _, of := range []string{file("MADE", "meta.sum"), file("CHANGED", "meta.sum"), file("WHOLE", "meta.sum"), file("WHOLE", "obs", "reader", "meta.sum")} {
		sums[of] = read(t, of)
	}
	remove(t, file("MADE", "meta.sum"))
	remove(t, file("WHOLE", "obs", "reader", "meta.sum"))
	write(t, file("CHANGED", "meta.sum"), before, was.ModTime())
	damaged := file("DAMAGED", "meta.inf")
	info, err := os.Stat(damaged)
	if err != nil {
		t.Fatal(err)
	}
	write(t, damaged, strings.Replace(read(t, damaged), `"max_msgs":-1`, `"max_msgs":99`, 1), info.ModTime())

	second, err := broker.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Stop()
	js = connect(t, second)
	for name, limit := range map[string]int64{"MADE": -1, "CHANGED": 10, "WHOLE": -1} {
		stream, err := js.Stream(t.Context(), name)
		if err != nil {
			t.Errorf("%s: %s", name, err)
			continue
		}
		info := stream.CachedInfo()
		if info.State.Msgs != 1 || info.Config.MaxMsgs != limit || info.State.Consumers != 1 {
			t.Errorf("%s has %d messages of at most %d, and %d consumers", name, info.State.Msgs, info.Config.MaxMsgs, info.State.Consumers)
		}
	}
	for of, sum := range sums {
		if is := read(t, of); is != sum {
			t.Errorf("%s is %q instead of %q", of, is, sum)
		}
	}
	if _, err := js.Stream(t.Context(), "DAMAGED"); err == nil {
		t.Error("a stream whose settings changed by themselves is there")
	}
	const completed = "killed while it wrote the settings"
	if log := said.String(); strings.Count(log, completed) != 2 || !strings.Contains(log, `"stream":"MADE"`) || !strings.Contains(log, `"stream":"CHANGED"`) {
		t.Errorf("it says:\n%s", log)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

// write writes a file as of a moment.
func write(t *testing.T, path, data string, at time.Time) {
	t.Helper()
	if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
}
