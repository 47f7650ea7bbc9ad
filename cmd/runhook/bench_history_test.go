//go:build bench

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/valyala/fasthttp"

	"runhook/shared/tokenfile"
)

// What the history costs, and how fast it is, on the stores of TestBenchStore.

const (
	// pageRuns is how many runs a page has, and deepPage the page that is measured beside the first.
	pageRuns = 50
	deepPage = 100
	listings = 50
)

func TestBenchHistory(t *testing.T) {
	builds := (&bench{t: t}).builds()
	stores := t.TempDir()
	table := func(name, title string, cells []string, rows func(b *bench)) {
		t.Run(name, func(t *testing.T) {
			b := &bench{t: t, out: tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0), stores: stores}
			fmt.Printf("\n%s, %d cores\n\n", title, runtime.NumCPU())
			b.row(cells...)
			rows(b)
			_ = b.out.Flush()
		})
	}
	for _, runs := range benchRuns(t) {
		table(fmt.Sprintf("made/%d", runs), "The history of "+figure(float64(runs))+" runs", []string{"FIGURE", "RUNHOOK", "LIMIT"}, func(b *bench) { b.made(builds[0], runs) })
	}
	table("beside", "With and without the history, an empty store", []string{"FIGURE", "WITH", "WITHOUT", "RATIO", "LIMIT"}, func(b *bench) { b.beside(builds[0]) })
}

// made is how long it takes to make the history of a store, and to list from it.
func (b *bench) made(build build, runs int) {
	from := b.stored(build, runs, 1)
	h := b.house(build, b.t.TempDir(), 1)
	b.command("cp", "-r", filepath.Join(from, "data"), h.dir)
	b.check(os.RemoveAll(h.path("data", "cache")))
	h.start()
	h.awaitReady()
	before, most := h.memory(), 0
	atFirst, began := h.busy(), time.Now()
	for h.list("outcome=success&limit=1").History != nil {
		most = max(most, h.memory())
		time.Sleep(20 * time.Millisecond)
	}
	took, busy := time.Since(began), h.busy()-atFirst
	most = max(most, h.memory())
	b.row("to make it, and CPU time of serve meanwhile", fmt.Sprintf("%s s, %s s", figure(took.Seconds()), figure(busy.Seconds())), "60 s")
	b.row("most memory of serve meanwhile, and before", fmt.Sprintf("%d MB, %d MB", most, before), "300 MB")
	b.row("its size", fmt.Sprintf("%s MB, %s bytes a run", figure(float64(size(b, h.path("data", "cache")))/1e6), figure(float64(size(b, h.path("data", "cache")))/float64(runs))), "")
	pages := func(name, query string, deep int) {
		var took []float64
		for range listings {
			before := ""
			for page := 1; ; page++ {
				began := time.Now()
				list := h.list(fmt.Sprintf("limit=%d%s%s", pageRuns, query, before))
				if page == deep {
					took = append(took, milliseconds(time.Since(began)))
					if len(list.Runs) != pageRuns {
						b.t.Fatalf("%s: %d runs are listed", name, len(list.Runs))
					}
					break
				}
				before = fmt.Sprintf("&before=%d", list.Next)
			}
		}
		b.row(name+", p50 / p99", fmt.Sprintf("%s / %s ms", figure(percentile(took, 50)), figure(percentile(took, 99))), "50 ms")
	}
	pages("first page", "", 1)
	pages("hundredth page", "", deepPage)
	pages("first page of a task", "&task="+houseTask(1), 1)
	pages("hundredth page of a task's successes", "&outcome=success&task="+houseTask(1), deepPage)
	began = time.Now()
	if list := h.list("text=nothing+has+this"); len(list.Runs) > 0 {
		b.t.Fatalf("%d runs are listed", len(list.Runs))
	}
	b.row("a text that no run has", figure(milliseconds(time.Since(began)))+" ms", "")
	h.stop()
}

// busy is the CPU time that `serve` has taken.
func (h *house) busy() time.Duration { return processorTime(h.b, h.members[0].Pid()) }

// processorTime is the CPU time that a process has taken.
func processorTime(b *bench, pid int) time.Duration {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	b.check(err)
	_, behindName, _ := strings.Cut(string(stat), ") ")
	var ticks time.Duration
	for _, field := range strings.Fields(behindName)[11:13] { // in user mode, and in the kernel
		n, err := strconv.Atoi(field)
		b.check(err)
		ticks += time.Duration(n)
	}
	return ticks * time.Second / 100
}

// historyList is what is read of a list.
type historyList struct {
	Runs    []struct{ ImportId int }
	Next    int
	History *struct{ Percent float64 }
}

// list lists runs.
func (h *house) list(query string) (list historyList) {
	tokens, err := tokenfile.Read(h.path("data", madeToken))
	h.b.check(err)
	request, response := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(request)
	defer fasthttp.ReleaseResponse(response)
	request.SetRequestURI(h.polls + "/api/runs?" + query)
	request.Header.Set("Authorization", "Bearer "+tokens[0].Secret)
	h.b.check(h.client.Do(request, response))
	if response.StatusCode() != fasthttp.StatusOK {
		h.b.t.Fatalf("%d %s", response.StatusCode(), response.Body())
	}
	h.b.check(json.Unmarshal(response.Body(), &list))
	return list
}

// beside is what the history costs who POSTs, and the runs that are executed meanwhile, in turns.
func (b *bench) beside(build build) {
	const posts, turns = 24_000, 6
	accepted, ended, busy := map[bool][]float64{}, map[bool][]float64{}, map[bool][]float64{}
	for turn := range 2 * turns {
		with := turn%4 == 0 || turn%4 == 3 // each as often first
		h := b.house(build, b.t.TempDir(), 1)
		if !with {
			h.members[0].more = []string{"--cache", "off"}
		}
		h.start()
		h.awaitReady()
		js, closeIt := h.jetStream()
		for with && h.list("outcome=success&limit=1").History != nil {
			time.Sleep(20 * time.Millisecond)
		}
		before := h.busy()
		took, all := h.take(posts, js)
		accepted[with] = append(accepted[with], took)
		ended[with] = append(ended[with], all)
		busy[with] = append(busy[with], float64((h.busy()-before).Microseconds())/posts)
		closeIt()
		h.stop()
	}
	for _, of := range []struct {
		name, unit, limit string
		samples           map[bool][]float64
	}{{"POSTs accepted", "/s", "at least 0.95", accepted}, {"no-op runs ended", "/s", "at least 0.95", ended}, {"CPU time of serve a run", "µs", "at most 1.05", busy}} {
		with, without := median(of.samples[true]), median(of.samples[false])
		b.row(of.name, figure(with)+" "+of.unit, figure(without)+" "+of.unit, fmt.Sprintf("%.2f", with/without), of.limit)
	}
}
