//go:build bench

package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"time"

	"runhook/services/runner/connector/imis/imissite"
)

// flatTasks use each kind of source and destination, by the name that their rows have in the table.
var flatTasks = map[string]string{
	"nothing": `source: {csv: {connection: here, path: one.csv}}
where: "false"
mapping: {id: id}
destination: {csv: {connection: here, path: none.csv, action: append}}
`,
	"csv to sql": `source: {csv: {connection: here, path: one.csv}}
mapping: {id: id}
destination: {sql: {connection: copy, table: ones, key: [id], action: upsert, create: true}}
`,
	"sql to csv": `source: {sql: {connection: copy, query: select id from ones, order_by: id}}
mapping: {id: id}
destination: {csv: {connection: here, path: ones.csv, action: append}}
`,
	"csv to csv, replaced": `source: {csv: {connection: here, path: one.csv}}
mapping: {id: id}
destination: {csv: {connection: here, path: copy.csv, action: replace}}
`,
	"http to nats": `source: {http: {connection: partner, path: /rows}}
mapping: {id: id}
destination: {nats: {subject: bench.rows}}
`,
	"imis to http": `source: {imis: {connection: site, query: "$/Bench/Ones"}}
mapping: {id: id}
destination: {http: {connection: partner, path: /rows, method: POST}}
`,
	"csv to imis": `source: {csv: {connection: here, path: one.csv}}
mapping: {id: id}
destination: {imis: {connection: site, entity: Bench_Ones, key: [id], action: upsert}}
`,
}

// flat: what the process holds after 10 runs and after 1,000 of each kind of source and destination.
func (b *bench) flat() {
	const few, many = 10, 1000
	partner := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			_, _ = io.WriteString(w, `[{"id": "1"}]`)
		}
	}))
	defer partner.Close()
	iqa := imissite.Query{
		Path: "$/Bench/Ones", Columns: []imissite.Column{{Name: "id", Type: "String"}},
		Count: 1, Row: func(int) []any { return []any{"1"} },
	}
	ones := imissite.New("bench", "bench", iqa)
	ones.SetEntities(imissite.Entity{Name: "Bench_Ones", ObjectType: "Standard", Parent: "Standalone", Properties: []imissite.Property{
		{Name: "id", Type: "String", Identity: true},
	}})
	site := httptest.NewServer(ones)
	defer site.Close()

	connections := fmt.Sprintf("here: {files: .}\ncopy: {sqlite: ./copy.db}\npartner: {http: {private: true, url: '%s'}}\nsite: {imis: {private: true, url: '%s', username: bench, password: bench}}\n", partner.URL, site.URL)
	names := []string{"nothing", "csv to sql", "sql to csv", "csv to csv, replaced", "http to nats", "imis to http", "csv to imis"}
	s := b.serveOn("interval", connections, names...)
	defer s.stop()
	runs := func(name string, count int) (descriptors, megabytes int) {
		last := ""
		for range count {
			last = s.postAndWait(b, s.task(name))
		}
		if doc := s.document(b, last); doc.StatusDescription != "Success" {
			b.t.Fatalf("%s: %+v", name, doc)
		}
		// The clients' connections, and files that are on their way out.
		posts.CloseIdleConnections()
		time.Sleep(time.Second)
		links, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.process.Pid()))
		b.check(err)
		return len(links), s.memory(b, "VmRSS:")
	}
	for _, name := range names {
		fewDescriptors, fewMegabytes := runs(name, few)
		descriptors, megabytes := runs(name, many-few)
		b.row(name+", 1,000 runs", fmt.Sprintf("%d descriptors, %d MB", descriptors, megabytes),
			fmt.Sprintf("%d, %d MB", fewDescriptors, fewMegabytes), "", "after 10 runs; the rest of it, which runs with nothing to do take too, is the store's")
		_ = b.out.Flush()
	}
}

// memory is a line of the process's status, in MB.
func (s *server) memory(b *bench, line string) int {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.process.Pid()))
	b.check(err)
	for text := range strings.Lines(string(status)) {
		if kb, ok := strings.CutPrefix(text, line); ok {
			n, err := strconv.Atoi(strings.Fields(kb)[0])
			b.check(err)
			return n / 1024
		}
	}
	b.t.Fatal("no " + line)
	return 0
}
