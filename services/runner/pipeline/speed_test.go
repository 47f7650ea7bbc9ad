package pipeline_test

import (
	"database/sql"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"runhook/services/runner/pipeline"
	"runhook/shared/task"
)

const memberHeader = "ID,FirstName,LastName,Email,Joined\n"

// memberFile writes a CSV of that many members.
func memberFile(t testing.TB, path string, rows int) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var text strings.Builder
	text.WriteString(memberHeader)
	for i := range rows {
		fmt.Fprintf(&text, "%08d,Margaret,Ann Lee,member%d@example.org,2026-01-31\n", i, i)
		if text.Len() > 1<<20 {
			if _, err := f.WriteString(text.String()); err != nil {
				t.Fatal(err)
			}
			text.Reset()
		}
	}
	if _, err := f.WriteString(text.String()); err != nil {
		t.Fatal(err)
	}
}

var memberMapping = []string{"id", "ID", "first_name", "FirstName", "last_name", "LastName", "email", "Email", "joined", "Joined"}

// BenchmarkCSVToSQLite reports rows/s of whole runs, beside a bare loop of the same reader of the
// standard library and the same driver (transactions of 2,000 rows, one prepared insert).
func BenchmarkCSVToSQLite(b *testing.B) {
	const rows = 200_000
	for _, action := range []task.Action{task.Insert, task.Upsert} {
		b.Run(string(action), func(b *testing.B) {
			w := newBench(b)
			memberFile(b, filepath.Join(w.folder, "members.csv"), rows)
			w.mapping(memberMapping...)
			w.table().Action = action
			for b.Loop() {
				var m pipeline.Meter
				if err := pipeline.Run(b.Context(), w.job, &m); err != nil || m.Snapshot().Counts.Inserted != rows {
					b.Fatal(err, m.Snapshot())
				}
				b.StopTimer()
				os.Remove(filepath.Join(w.folder, "warehouse.db"))
				b.StartTimer()
			}
			b.ReportMetric(float64(rows*b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
	for _, again := range []string{"unchanged", "updated"} {
		b.Run("upsert/"+again, func(b *testing.B) {
			w := newBench(b)
			memberFile(b, filepath.Join(w.folder, "members.csv"), rows)
			w.mapping(memberMapping...)
			turn := 0
			for b.Loop() {
				if turn++; again == "updated" {
					w.job.Task.Mapping[1].Expression = fmt.Sprintf("FirstName + %q", fmt.Sprint(turn))
				}
				var m pipeline.Meter
				if err := pipeline.Run(b.Context(), w.job, &m); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(rows*b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
	b.Run("bare", func(b *testing.B) {
		w := newBench(b)
		memberFile(b, filepath.Join(w.folder, "members.csv"), rows)
		for b.Loop() {
			bareLoop(b, w)
			b.StopTimer()
			os.Remove(filepath.Join(w.folder, "warehouse.db"))
			b.StartTimer()
		}
		b.ReportMetric(float64(rows*b.N)/b.Elapsed().Seconds(), "rows/s")
	})
}

func bareLoop(b *testing.B, w *bench) {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(w.folder, "warehouse.db")+"?_pragma=journal_mode(WAL)")
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	if _, err := db.Exec(`CREATE TABLE members (id TEXT NOT NULL, first_name TEXT, last_name TEXT, email TEXT, joined TEXT, PRIMARY KEY (id))`); err != nil {
		b.Fatal(err)
	}
	f, err := os.Open(filepath.Join(w.folder, "members.csv"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	in := csv.NewReader(f)
	in.ReuseRecord = true
	if _, err := in.Read(); err != nil {
		b.Fatal(err)
	}
	for end := false; !end; {
		tx, err := db.Begin()
		if err != nil {
			b.Fatal(err)
		}
		insert, err := tx.Prepare(`INSERT INTO members VALUES (?, ?, ?, ?, ?)`)
		if err != nil {
			b.Fatal(err)
		}
		for range 2000 {
			r, err := in.Read()
			if errors.Is(err, io.EOF) {
				end = true
				break
			}
			if err != nil {
				b.Fatal(err)
			}
			if _, err := insert.Exec(r[0], r[1], r[2], r[3], r[4]); err != nil {
				b.Fatal(err)
			}
		}
		if err := tx.Commit(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkTiny is a whole run of three rows into a table that is there.
func BenchmarkTiny(b *testing.B) {
	for _, kind := range []string{"sqlite", "csv"} {
		b.Run(kind, func(b *testing.B) {
			w := newBench(b)
			w.write("members.csv", "ID,Name\n1,Ann\n2,Bob\n3,Cy\n")
			if kind == "csv" {
				w.toFile(task.Replace)
			}
			for b.Loop() {
				var m pipeline.Meter
				if err := pipeline.Run(b.Context(), w.job, &m); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkCSVToCSV(b *testing.B) {
	const rows = 200_000
	w := newBench(b)
	memberFile(b, filepath.Join(w.folder, "members.csv"), rows)
	w.mapping("id", "ID", "name", `FirstName + " " + LastName`, "email", "Email")
	w.toFile(task.Replace)
	for b.Loop() {
		var m pipeline.Meter
		if err := pipeline.Run(b.Context(), w.job, &m); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(rows*b.N)/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkNothing is a whole run that has nothing to do: one row, which where drops.
func BenchmarkNothing(b *testing.B) {
	w := newBench(b)
	w.write("members.csv", "ID,Name\n1,Ann\n")
	w.toFile(task.Append)
	w.job.Task.Where = "false"
	b.ReportAllocs()
	for b.Loop() {
		var m pipeline.Meter
		if err := pipeline.Run(b.Context(), w.job, &m); err != nil {
			b.Fatal(err)
		}
	}
}
