//go:build bench

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// scheduledTasks is how many tasks have schedules, and schedulesEach how many each of them has.
	scheduledTasks, schedulesEach = 1000, 10
	// calms is how long a server that has started is left alone: Go collects what a start has left within two minutes.
	// idles is how long it is watched then.
	calms, idles = 130 * time.Second, 30 * time.Second
	// seconds is for how many of them a task runs each second.
	seconds = 60
)

const scheduledTask = `source: {csv: {connection: here, path: one.csv}}
where: "false"
mapping: {id: id}
destination: {csv: {connection: here, path: due.csv, action: append}}
`

// TestBenchSchedules measures schedules alone.
func TestBenchSchedules(t *testing.T) {
	b := &bench{t: t, out: tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)}
	b.row("FIGURE", "RUNHOOK", "LIMIT", "RATIO", "THE LIMIT IS")
	b.schedules()
	b.check(b.out.Flush())
}

// schedules: what schedules cost that are not due, and how long after they are due runs are stored.
func (b *bench) schedules() {
	var far strings.Builder
	for i := range schedulesEach {
		fmt.Fprintf(&far, "  - {cron: \"%d %d 1 1 *\", time_zone: Europe/Berlin}\n", i, i)
	}
	noneCPU, noneMemory := b.idle("")
	cpu, memory := b.idle("schedule:\n" + far.String())
	name := fmt.Sprintf("%d schedules of %d tasks that are not due, ", scheduledTasks*schedulesEach, scheduledTasks)
	b.compare(name+"CPU above none", cpu-noneCPU, 1, " % of a core", "what is promised; without any it was "+figure(noneCPU)+" %")
	b.compare(name+"memory above none", float64(memory-noneMemory), 20, " MB", fmt.Sprintf("what is promised; without any it was %d MB", noneMemory))

	delays := b.due(scheduledTasks, "schedule: [{cron: \"0 * * * * *\"}]\n", time.Minute, 2*scheduledTasks)
	b.compare(fmt.Sprintf("%d tasks due in the same second, until the last request is stored", scheduledTasks), percentile(delays, 100)/1000, 2, " s", "what is promised")
	delays = b.due(1, "schedule: [{cron: \"* * * * * *\"}]\n", 0, seconds)
	b.compare("due to stored, one a second, p50", percentile(delays, 50), 50, " ms", "what is promised at p99")
	b.compare("the same, p99", percentile(delays, 99), 50, " ms", "what is promised")
}

// scheduled starts a server with tasks that have a schedule.
func (b *bench) scheduled(tasks int, schedule string) *server {
	var names []string
	for i := range tasks {
		name := "due " + strconv.Itoa(i)
		flatTasks[name] = scheduledTask + schedule
		names = append(names, name)
	}
	return b.serve("interval", names...)
}

// idle is what a server takes of a core, in percent, and of memory, in MB, while nothing is due.
func (b *bench) idle(schedule string) (cpu float64, megabytes int) {
	s := b.scheduled(scheduledTasks, schedule)
	defer s.stop()
	time.Sleep(calms)
	before := processorTime(b, s.process.Pid())
	time.Sleep(idles)
	return 100 * float64(processorTime(b, s.process.Pid())-before) / float64(idles), s.memory(b, "VmRSS:")
}

// due are the milliseconds after which the requests of runs were stored that tasks had due. first is how long after the
// start of the server nothing counts.
func (b *bench) due(tasks int, schedule string, first time.Duration, wanted int) (delays []float64) {
	s := b.scheduled(tasks, schedule)
	defer s.stop()
	nc, err := nats.Connect(s.nats)
	b.check(err)
	defer nc.Close()
	js, err := jetstream.New(nc)
	b.check(err)
	from := time.Now().Add(first).Truncate(time.Second).Add(time.Second)
	requests, err := js.OrderedConsumer(b.t.Context(), "RUNS", jetstream.OrderedConsumerConfig{FilterSubjects: []string{"run.request.*"}})
	b.check(err)
	coming, err := requests.Messages()
	b.check(err)
	defer coming.Stop()
	for len(delays) < wanted {
		message, err := coming.Next()
		b.check(err)
		meta, err := message.Metadata()
		b.check(err)
		var request struct{ ScheduledFor time.Time }
		b.check(json.Unmarshal(message.Data(), &request))
		if !request.ScheduledFor.Before(from) {
			delays = append(delays, float64(meta.Timestamp.Sub(request.ScheduledFor).Microseconds())/1000)
		}
	}
	return delays
}
