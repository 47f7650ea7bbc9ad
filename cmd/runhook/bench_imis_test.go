//go:build bench

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"runhook/services/runner/connection"
	"runhook/services/runner/connector"
	"runhook/services/runner/connector/imis"
	"runhook/services/runner/connector/imis/imissite"
	"runhook/services/runner/connector/sqldb"
	"runhook/services/runner/row"
	"runhook/shared/task"
)

const (
	iqaRows     = 200_000
	iqaPage     = 500
	slowIQARows = 20_000
	slowPage    = 100 * time.Millisecond
)

// copyIQA: rows/s of an IQA into SQLite, beside getting the same pages with nothing behind.
func (b *bench) copyIQA() {
	site := b.role("imis")
	defer site.stop()
	connections := fmt.Sprintf("copy: {sqlite: ./copy.db}\nalone: {sqlite: ./alone.db}\nfast: {imis: {private: true, url: '%[1]s/fast', username: bench, password: bench}}\nslow: {imis: {private: true, url: '%[1]s/slow', username: bench, password: bench}}\n", site.url)
	s := b.serveOn("interval", connections, "iqa-fast", "iqa-slow")
	defer s.stop()
	set, err := connection.Parse([]byte(connections), filepath.Join(s.dir, "connections.yaml"))
	b.check(err)

	b.getIQA(set) // the stand-in makes its pages once
	copyRows := func(name string, rows int64) float64 {
		_ = os.Remove(filepath.Join(s.dir, "copy.db"))
		doc := s.document(b, s.postAndWait(b, s.task(name)))
		if doc.StatusDescription != "Success" || doc.RowsInserted != rows {
			b.t.Fatalf("%s: %+v", name, doc)
		}
		return float64(rows) / (float64(doc.DurationMs) / 1000)
	}
	idle := s.peakMemory(b)
	var ours, nothing, bare, writes []float64
	for range rounds {
		ours = append(ours, copyRows("iqa-fast", iqaRows))
		nothing = append(nothing, b.getIQA(set))
		writes = append(writes, b.writeIQA(set, filepath.Join(s.dir, "alone.db")))
		bare = append(bare, b.bareIQA(site.url+"/fast"))
	}
	b.compare("rows IQA to SQLite, insert", median(ours), median(nothing), "/s", "fetching and decoding the same pages, nothing behind")
	b.compare("", median(ours), median(writes), "/s", "writing the same rows, nothing in front")
	b.compare("fetch and decode alone", median(nothing), median(bare), "/s", "a bare loop of net/http and encoding/json")
	b.decode()
	b.compare("IQA, 100 ms a page", copyRows("iqa-slow", slowIQARows), iqaPage/slowPage.Seconds(), "/s", "the pages' own time")
	b.row("peak memory, idle", fmt.Sprintf("%d MB", idle), "", "", "")
	b.row("peak memory, 200,000 rows of an IQA", fmt.Sprintf("%d MB", s.peakMemory(b)), "", "", "")
}

// iqaTask is the rest of a task file that copies the IQA of a connection.
func iqaTask(connection string) string {
	return `source: {imis: {connection: ` + connection + `, query: "$/Bench/Members"}}
mapping: {id: ID, name: FirstName + " " + LastName, email: Email, city: City}
destination: {sql: {connection: copy, table: people, key: [id], action: insert, create: true}}
`
}

// getIQA is rows/s of the source alone.
func (b *bench) getIQA(set *connection.Set) float64 {
	began := time.Now()
	source, err := imis.Open(b.t.Context(), connector.Job{Connections: set, Task: &task.Definition{Source: &task.IMISSource{
		Connection: "fast", Query: "$/Bench/Members", PageSize: iqaPage, Endpoint: task.QueryEndpoint,
	}}})
	b.check(err)
	defer source.Close()
	cells := make([]any, len(source.Columns().Names))
	rows := 0
	for ; err == nil; rows++ {
		_, err = source.Next(b.t.Context(), cells)
	}
	if err != io.EOF || rows-1 != iqaRows {
		b.t.Fatalf("%d rows, %v", rows-1, err)
	}
	return iqaRows / time.Since(began).Seconds()
}

// writeIQA is rows/s of the destination alone, with the rows of the IQA made on the spot. It begins with a new
// database.
func (b *bench) writeIQA(set *connection.Set, database string) float64 {
	_ = os.Remove(database)
	columns := []connector.Column{{Name: "id", Kind: reflect.Interface}, {Name: "name", Kind: reflect.Interface}, {Name: "email", Kind: reflect.Interface}, {Name: "city", Kind: reflect.Interface}}
	began := time.Now()
	table, err := sqldb.Open(b.t.Context(), set, &task.SQLDestination{Connection: "alone", Table: "people", Key: []string{"id"}, Action: task.Insert, Create: true}, columns)
	b.check(err)
	defer table.Close()
	batch := row.NewBatch(len(columns))
	for i := range iqaRows {
		n := strconv.Itoa(i)
		r := batch.Add(int64(i + 1))
		r.Values[0], r.Values[1], r.Values[2], r.Values[3] = int64(i), "First"+n+" Last"+n, "person"+n+"@example.org", "Springfield"
		if batch.Full() || i+1 == iqaRows {
			b.check(table.Write(b.t.Context(), batch, func(int64) error { return nil }))
			for _, written := range batch.Reached() {
				if written.Outcome != row.Inserted {
					b.t.Fatalf("row %d: %v %v", written.Number, written.Outcome, written.Fault)
				}
			}
			batch.Reset()
		}
	}
	b.check(table.Finish(b.t.Context()))
	return iqaRows / time.Since(began).Seconds()
}

// decode: a page of 500 rows in memory, without network: the benchmark that stands beside the code.
func (b *bench) decode() {
	out, err := exec.Command("go", "test", "-run", "^$", "-bench", "^BenchmarkDecode$", "-count", strconv.Itoa(rounds), "runhook/services/runner/connector/imis").CombinedOutput()
	if err != nil {
		b.t.Fatalf("%v\n%s", err, out)
	}
	speeds := map[string][]float64{}
	for _, line := range regexp.MustCompile(`(?m)^BenchmarkDecode/(\S+?)(?:-\d+)?\s.* (\S+) MB/s`).FindAllStringSubmatch(string(out), -1) {
		speed, err := strconv.ParseFloat(line[2], 64)
		b.check(err)
		speeds[line[1]] = append(speeds[line[1]], speed)
	}
	if len(speeds["page"]) != rounds || len(speeds["encoding-json"]) != rounds {
		b.t.Fatalf("the benchmark says\n%s", out)
	}
	b.compare("decoding a page of an IQA", median(speeds["page"]), median(speeds["encoding-json"]), " MB/s", "encoding/json into maps, of the same bytes")
}

// bareIQA is rows/s of what anybody would write first.
func (b *bench) bareIQA(base string) float64 {
	began := time.Now()
	var granted struct {
		Token string `json:"access_token"`
	}
	answer, err := http.PostForm(base+"/token", url.Values{"grant_type": {"password"}, "username": {"bench"}, "password": {"bench"}})
	b.check(err)
	b.check(json.NewDecoder(answer.Body).Decode(&granted))
	answer.Body.Close()
	rows := 0
	for offset := 0; offset < iqaRows; offset += iqaPage {
		request, err := http.NewRequestWithContext(b.t.Context(), "GET", base+"/api/query?QueryName="+url.QueryEscape("$/Bench/Members")+"&limit="+strconv.Itoa(iqaPage)+"&offset="+strconv.Itoa(offset), nil)
		b.check(err)
		request.Header.Set("Authorization", "Bearer "+granted.Token)
		answer, err := http.DefaultClient.Do(request)
		b.check(err)
		var page struct {
			Items struct {
				Values []map[string]any `json:"$values"`
			}
		}
		decoder := json.NewDecoder(answer.Body)
		decoder.UseNumber()
		b.check(decoder.Decode(&page))
		_, _ = io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
		rows += len(page.Items.Values)
	}
	if rows != iqaRows {
		b.t.Fatalf("%d rows", rows)
	}
	return iqaRows / time.Since(began).Seconds()
}

// serveIMIS is the stand-in site in a process of its own, twice: as fast as it can, and slow.
func serveIMIS(address string) error {
	site := func(rows int) *imissite.Site {
		query := imissite.Query{
			Path: "$/Bench/Members", Count: rows, Cached: true,
			Row: func(i int) []any {
				n := strconv.Itoa(i)
				return []any{i, "First" + n, "Last" + n, "person" + n + "@example.org", "Springfield"}
			},
		}
		for _, name := range strings.Fields("ID FirstName LastName Email City") {
			query.Columns = append(query.Columns, imissite.Column{Name: name, Type: "String"})
		}
		return imissite.New("bench", "bench", query)
	}
	slow := site(slowIQARows)
	slow.SetLatency(slowPage)
	routes := http.NewServeMux()
	routes.Handle("/fast/", http.StripPrefix("/fast", site(iqaRows)))
	routes.Handle("/slow/", http.StripPrefix("/slow", slow))
	routes.HandleFunc("/readyz", func(http.ResponseWriter, *http.Request) {})
	return http.ListenAndServe(address, routes)
}
