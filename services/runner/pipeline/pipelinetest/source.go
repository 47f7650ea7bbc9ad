package pipelinetest

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"runhook/services/runner/connection"
	"runhook/services/runner/connector/imis/imissite"
	"runhook/shared/task"
)

// Gzipped returns the text as gzip compresses it.
func Gzipped(t testing.TB, text string) string {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// FromZipped makes the job read members.csv.gz.
func (b *Bench) FromZipped(content string) {
	b.Write("members.csv.gz", content)
	b.Job.Task.Source = &task.CSVSource{Connection: "drop", Path: "members.csv.gz"}
}

// Workbook writes a workbook with one sheet, Members, of such rows; a cell that begins with a digit is
// a number.
func (b *Bench) Workbook(name string, rows ...[]string) {
	b.T.Helper()
	const office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
	var sheet strings.Builder
	sheet.WriteString("<worksheet><sheetData>")
	for _, cells := range rows {
		sheet.WriteString("<row>")
		for _, text := range cells {
			if text != "" && '0' <= text[0] && text[0] <= '9' {
				fmt.Fprintf(&sheet, "<c><v>%s</v></c>", text)
			} else {
				fmt.Fprintf(&sheet, `<c t="inlineStr"><is><t>%s</t></is></c>`, text)
			}
		}
		sheet.WriteString("</row>")
	}
	sheet.WriteString("</sheetData></worksheet>")
	file, err := os.Create(filepath.Join(b.Folder, name))
	if err != nil {
		b.T.Fatal(err)
	}
	defer file.Close()
	book := zip.NewWriter(file)
	for part, text := range map[string]string{
		"_rels/.rels":                `<Relationships><Relationship Id="a" Type="` + office + `/officeDocument" Target="xl/workbook.xml"/></Relationships>`,
		"xl/workbook.xml":            `<workbook xmlns:r="` + office + `"><sheets><sheet name="Members" r:id="a"/></sheets></workbook>`,
		"xl/_rels/workbook.xml.rels": `<Relationships><Relationship Id="a" Type="` + office + `/worksheet" Target="sheet.xml"/></Relationships>`,
		"xl/sheet.xml":               sheet.String(),
	} {
		w, err := book.Create(part)
		if err == nil {
			_, err = io.WriteString(w, text)
		}
		if err != nil {
			b.T.Fatal(err)
		}
	}
	if err := book.Close(); err != nil {
		b.T.Fatal(err)
	}
}

// FromService makes the job read id and name from a web service.
func (b *Bench) FromService(handle http.HandlerFunc, from task.HTTPSource) {
	b.T.Helper()
	server := httptest.NewServer(handle)
	b.T.Cleanup(server.Close)
	text := "drop: {files: .}\n" + b.warehouse + "partner: {http: {private: true, url: \"" + server.URL + "\"}}\n"
	set, err := connection.Parse([]byte(text), filepath.Join(b.Folder, "connections.yaml"))
	if err != nil {
		b.T.Fatal(err)
	}
	from.Connection = "partner"
	b.Job.Connections = set
	b.Job.Task.Source = &from
	b.Mapping("id", "id", "name", "name")
}

// FromIMIS makes the job read an IQA of so many members from a stand-in site.
func (b *Bench) FromIMIS(count int) *imissite.Site {
	b.T.Helper()
	site := imissite.New("runhook", "secret", imissite.Query{
		Path:    "$/Members",
		Columns: []imissite.Column{{Name: "ID", Type: "Int32"}, {Name: "Full Name", Type: "String"}, {Name: "Dues", Type: "Decimal"}, {Name: "Joined", Type: "DateTime"}},
		Prompts: []imissite.Prompt{{Property: "FullName", Column: "Full Name"}},
		Count:   count,
		Row: func(i int) []any {
			joined := "2026-01-31T00:00:00"
			if i == 6 {
				joined = "SECRET day"
			}
			return []any{i + 1, fmt.Sprintf("Ann %d", i+1), json.Number("12.50"), joined}
		},
	})
	server := httptest.NewServer(site)
	b.T.Cleanup(server.Close)
	set, err := connection.Parse([]byte("prod: {imis: {private: true, url: '"+server.URL+"', username: runhook, password: secret}}\ndrop: {files: .}\nwarehouse: {sqlite: ./warehouse.db}\n"), filepath.Join(b.Folder, "connections.yaml"))
	if err != nil {
		b.T.Fatal(err)
	}
	b.Job.Connections = set
	b.Job.Task.Source = &task.IMISSource{Connection: "prod", Query: "$/Members", PageSize: 500, Endpoint: task.QueryEndpoint}
	b.Mapping("id", "ID", "name", `row["Full Name"] + "!"`, "dues", "Dues", "joined", "Joined")
	return site
}

// FromQuery makes the job write the query's columns id and name to out.csv.
func (b *Bench) FromQuery(query string, orderBy ...string) {
	b.Job.Task.Source = &task.SQLSource{Connection: "warehouse", Query: query, OrderBy: orderBy}
	b.Mapping("id", "id", "name", "name")
	b.ToFile(task.Replace)
}
