package status_test

import (
	"archive/zip"
	"bytes"
	"encoding/csv"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"runhook/services/status"
	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/web"
)

const sheetType = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"

// reject stores chunks as a runner does, and ends the run with those that it names.
func (r *started) reject(named int, chunks ...run.RejectedChunk) {
	r.s.t.Helper()
	for i, chunk := range chunks {
		data, err := chunk.Encode()
		if err != nil {
			r.s.t.Fatal(err)
		}
		if err := r.claim.StoreRejected(r.s.t.Context(), i+1, data, time.Now().Add(time.Hour)); err != nil {
			r.s.t.Fatal(err)
		}
	}
	r.doc.End(run.Success, "done", time.Now())
	var set run.RejectedSet
	for chunk := range named {
		set = set.With(r.claim.Token, chunk+1, 1, 1)
	}
	if err := r.claim.Finish(r.s.t.Context(), r.doc, set); err != nil {
		r.s.t.Fatal(err)
	}
}

// rejectedSite is a site with keys and an admin token, and a run that is in progress.
func rejectedSite(t *testing.T) (s *site, keys *web.Keys, r *started) {
	t.Helper()
	keys = runKeys(t)
	s = open(t, func(o *status.Options) { o.Keys = keys })
	return s, keys, s.submit(s.apply("Refresh")).begin(0)
}

var bearer = []string{"Authorization", "Bearer " + adminToken}

func TestRejectedRowsNeedTheirSignature(t *testing.T) {
	t.Parallel()
	s, keys, r := rejectedSite(t)
	other := s.submit(s.apply("Another"))
	r.reject(1, run.RejectedChunk{Columns: []string{"ID"}, Rows: []run.RejectedRow{{Row: 1, Cells: []string{"secret"}}}})
	sign := func(scope web.Scope, store string, id task.ID, n run.Number) string {
		return keys.Query(scope, store, id, n, time.Now().Add(time.Hour))
	}
	path := run.RejectedPath(r.doc.ExecuteID, r.number)
	for _, test := range []struct {
		name, path string
		headers    []string
		want       int
		kind       string
	}{
		{"rows", path + sign(web.ReadRows, s.StoreID(), r.doc.ExecuteID, r.number), nil, 200, ""},
		{"admin", path, bearer, 200, ""},
		{"admin by number", "/api/runs/" + r.number.String() + "/rejected", bearer, 200, ""},
		{"that only cancels", path + sign(web.ControlRun, s.StoreID(), r.doc.ExecuteID, r.number), nil, 403, "wrong-signature"},
		{"expired", path + keys.Query(web.ReadRows, s.StoreID(), r.doc.ExecuteID, r.number, time.Now()), nil, 403, "link-expired"},
		{"none", path, nil, 403, "signature-needed"},
		{"read", path + sign(web.ReadRun, s.StoreID(), r.doc.ExecuteID, r.number), nil, 403, "wrong-signature"},
		{"another run's", path + sign(web.ReadRows, s.StoreID(), other.doc.ExecuteID, other.number), nil, 403, "wrong-signature"},
		{"another store's", path + sign(web.ReadRows, "another", r.doc.ExecuteID, r.number), nil, 403, "wrong-signature"},
		{"a wrong token", path, []string{"Authorization", "Bearer no-token-of-this-server"}, 403, "signature-needed"},
		{"nobody by number", "/api/runs/" + r.number.String() + "/rejected", []string{"Authorization", ""}, 401, ""},
		{"no such task", strings.Replace(path, string(r.doc.ExecuteID), "not-a-guid", 1), bearer, 404, "unknown-task"},
		{"no such run", run.RejectedPath(r.doc.ExecuteID, 999), bearer, 404, ""},
		{"a run of another task", run.RejectedPath(other.doc.ExecuteID, r.number), bearer, 404, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := s.get(test.path, test.headers...)
			if got.StatusCode != test.want || test.kind != "" && !strings.Contains(string(got.body), "problem:"+test.kind) {
				t.Errorf("%d %s", got.StatusCode, got.body)
			}
			if leaked := bytes.Contains(got.body, []byte("secret")); leaked != (test.want == 200) {
				t.Errorf("shows the cell: %v", leaked)
			}
			if test.want == 200 && got.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("headers %v", got.Header)
			}
		})
	}
}

// Rows that are past their time are refused, whether or not the server has removed them.
func TestRejectedRowsPastTheirTime(t *testing.T) {
	t.Parallel()
	s := open(t, nil)
	row := run.RejectedChunk{Columns: []string{"ID"}, Rows: []run.RejectedRow{{Row: 1, Cells: []string{"1"}}}}
	for _, c := range []struct {
		name string
		run  *started
		age  time.Duration
		want int
	}{
		{"young", s.submit(s.apply("Young", "rejected_rows: {keep: 2h}")), time.Hour, 200},
		{"old", s.submit(s.apply("Old", "rejected_rows: {keep: 2h}")), 3 * time.Hour, 410},
		{"of months", s.submit(s.apply("Months")), 89 * 24 * time.Hour, 200},
		{"of more months", s.submit(s.apply("More")), 91 * 24 * time.Hour, 410},
		{"of a dry run", s.submitAs(s.apply("Dry"), func(r *run.Request) { r.DryRun = true }), 25 * time.Hour, 410},
	} {
		c.run.begin(0)
		c.run.doc.StartedOn = new(run.Time(time.Now().Add(-c.age)))
		c.run.reject(1, row)
		got := s.get("/api/runs/" + c.run.number.String() + "/rejected")
		if got.StatusCode != c.want || c.want == 410 && !strings.Contains(string(got.body), "problem:rows-gone") {
			t.Errorf("%s: %d %s", c.name, got.StatusCode, got.body)
		}
	}
}

func TestRejectedRowsOfARunThatHasNone(t *testing.T) {
	t.Parallel()
	s, _, r := rejectedSite(t)
	queued := s.submit(s.apply("Another"))
	for name, of := range map[string]*started{"queued": queued, "in progress": r} {
		if got := s.get(run.RejectedPath(of.doc.ExecuteID, of.number), bearer...); got.StatusCode != 409 || !strings.Contains(string(got.body), "run-not-ended") {
			t.Errorf("%s: %d %s", name, got.StatusCode, got.body)
		}
	}
	// A chunk that the final document does not name is as good as not there.
	r.reject(0, run.RejectedChunk{Columns: []string{"ID"}, Rows: []run.RejectedRow{{Row: 1, Cells: []string{"1"}}}})
	if got := s.get(run.RejectedPath(r.doc.ExecuteID, r.number), bearer...); got.StatusCode != 404 || !strings.Contains(string(got.body), "no-rejected-rows") {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
}

// TestRejectedRowsArriveAsTheyWere sends what breaks CSV and XML through both forms.
func TestRejectedRowsArriveAsTheyWere(t *testing.T) {
	t.Parallel()
	s, _, r := rejectedSite(t)
	columns := []string{"ID", "Row", "a\"b;c"}
	var chunks []run.RejectedChunk
	want := [][]string{{"ID", "Row", "a\"b;c", "Row 2", "Column 2", "Reason 2"}}
	number := 0
	for _, count := range []int{256, 256, 3} {
		chunk := run.RejectedChunk{Columns: columns, Delimiter: ";"}
		for range count {
			number++
			rejected := run.RejectedRow{
				Row: int64(number), Column: "é", Reason: "the server's own words\nover two lines",
				Cells: []string{fmt.Sprintf("=%d+1", number), "a;\"b\"\r\n\x01\tc _x0041_ <&> \u202e", "  lead and trail "},
			}
			chunk.Rows = append(chunk.Rows, rejected)
			want = append(want, append(slices.Clone(rejected.Cells), fmt.Sprint(number), rejected.Column, rejected.Reason))
		}
		chunks = append(chunks, chunk)
	}
	r.reject(3, chunks...)
	path := run.RejectedPath(r.doc.ExecuteID, r.number)

	got := s.get(path, bearer...)
	text, marked := bytes.CutPrefix(got.body, []byte("\uFEFF"))
	if !marked || got.Header.Get("Content-Type") != "text/csv; charset=utf-8" ||
		got.Header.Get("Content-Disposition") != fmt.Sprintf("attachment; filename=\"rejected-%s.csv\"", r.number) {
		t.Errorf("byte order mark %v, headers %v", marked, got.Header)
	}
	if !bytes.Contains(text, []byte("\r\n\x01")) {
		t.Error("the line end inside a cell was changed")
	}
	in := csv.NewReader(bytes.NewReader(text))
	in.Comma = ';'
	records, err := in.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for i := range want {
		// The reader, not the file, makes \n of \r\n.
		if wanted := strings.ReplaceAll(strings.Join(want[i], "|"), "\r\n", "\n"); strings.Join(records[i], "|") != wanted {
			t.Fatalf("CSV row %d is %q, want %q", i, records[i], want[i])
		}
	}
	if len(records) != len(want) {
		t.Errorf("%d records, want %d", len(records), len(want))
	}

	workbook := s.get(path, append(bearer, "Accept", sheetType)...)
	if workbook.Header.Get("Content-Type") != sheetType || !strings.HasSuffix(workbook.Header.Get("Content-Disposition"), ".xlsx\"") {
		t.Errorf("headers %v", workbook.Header)
	}
	cells := readWorkbook(t, workbook.body)
	if len(cells) != len(want) {
		t.Fatalf("%d rows in the workbook, want %d", len(cells), len(want))
	}
	unescape := strings.NewReplacer("_x005F_", "_", "_x0001_", "\x01", "_x000D_", "\r")
	for i := range want {
		if unescape.Replace(strings.Join(cells[i], "|")) != strings.Join(want[i], "|") {
			t.Fatalf("XLSX row %d is %q, want %q", i, cells[i], want[i])
		}
	}
	if head := s.do(http.MethodHead, path, nil, bearer...); head.StatusCode != 200 || len(head.body) != 0 {
		t.Errorf("HEAD: %d, %d bytes", head.StatusCode, len(head.body))
	}
}

// readWorkbook reads the sheet; every cell must be an inline text and no formula.
func readWorkbook(t *testing.T, data []byte) (rows [][]string) {
	t.Helper()
	book, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range book.File { // each part must be well-formed
		f, err := part.Open()
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(f)
		if err != nil {
			t.Fatal(err)
		}
		if err := xml.Unmarshal(content, new(struct{})); err != nil {
			t.Errorf("%s: %v", part.Name, err)
		}
		if part.Name != "xl/worksheets/sheet1.xml" {
			continue
		}
		var sheet struct {
			Rows []struct {
				Cells []struct {
					Type    string  `xml:"t,attr"`
					Text    string  `xml:"is>t"`
					Formula *string `xml:"f"`
					Value   *string `xml:"v"`
				} `xml:"c"`
			} `xml:"sheetData>row"`
		}
		if err := xml.Unmarshal(content, &sheet); err != nil {
			t.Fatal(err)
		}
		for _, r := range sheet.Rows {
			var cells []string
			for _, c := range r.Cells {
				if c.Type != "inlineStr" || c.Formula != nil || c.Value != nil {
					t.Fatalf("a cell is %+v", c)
				}
				cells = append(cells, c.Text)
			}
			rows = append(rows, cells)
		}
	}
	return rows
}

func TestRowsThatASheetCannotHold(t *testing.T) {
	t.Parallel()
	s, _, r := rejectedSite(t)
	r.reject(1, run.RejectedChunk{Columns: []string{"ID"}, Rows: []run.RejectedRow{{Row: 1, Cells: []string{strings.Repeat("x", 32768)}}}})
	path := run.RejectedPath(r.doc.ExecuteID, r.number)
	if got := s.get(path, append(bearer, "Accept", sheetType)...); got.StatusCode != 406 || !strings.Contains(string(got.body), "text/csv") {
		t.Errorf("%d %.300s", got.StatusCode, got.body)
	}
	for _, accept := range []string{"*/*", "text/html", sheetType + ";q=0.1, text/csv", sheetType + ";q=x"} {
		if got := s.get(path, append(bearer, "Accept", accept)...); got.StatusCode != 200 || !strings.HasPrefix(got.Header.Get("Content-Type"), "text/csv") {
			t.Errorf("Accept %s: %d %v", accept, got.StatusCode, got.Header)
		}
	}
}

// TestMissingChunkBreaksTheDownloadOff: half of the rows must not look like all of them.
func TestMissingChunkBreaksTheDownloadOff(t *testing.T) {
	t.Parallel()
	s, _, r := rejectedSite(t)
	row := run.RejectedRow{Row: 1, Cells: []string{strings.Repeat("x", 30_000)}}
	big := run.RejectedChunk{Columns: []string{"ID"}, Rows: slices.Repeat([]run.RejectedRow{row}, 5)}
	r.reject(2, big)
	path := run.RejectedPath(r.doc.ExecuteID, r.number)
	if got, err := s.send(http.MethodGet, path, nil, bearer...); err == nil {
		t.Errorf("%d with %d bytes and no error", got.StatusCode, len(got.body))
	}
	if got := s.get(path, append(bearer, "Accept", sheetType)...); got.StatusCode != 503 {
		t.Errorf("a workbook, which is looked through before: %d %.200s", got.StatusCode, got.body)
	}
}
