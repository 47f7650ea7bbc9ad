package pipeline_test

import (
	"database/sql"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"runhook/services/runner/pipeline/pipelinetest"

	"runhook/services/runner/pipeline"
	"runhook/shared/task"
)

var memberMapping = []string{"id", "ID", "first_name", "FirstName", "last_name", "LastName", "email", "Email", "joined", "Joined"}

// BenchmarkCSVToSQLite reports rows/s of whole runs, beside a bare loop of the same reader of the
// standard library and the same driver (transactions of 2,000 rows, one prepared insert).
func BenchmarkCSVToSQLite(b *testing.B) {
	const rows = 200_000
	for _, action := range []task.Action{task.Insert, task.Upsert} {
		b.Run(string(action), func(b *testing.B) {
			w := pipelinetest.New(b)
			pipelinetest.MemberFile(b, filepath.Join(w.Folder, "members.csv"), rows)
			w.Mapping(memberMapping...)
			w.Table().Action = action
			for b.Loop() {
				var m pipeline.Meter
				if err := pipeline.Run(b.Context(), w.Job, &m); err != nil || m.Snapshot().Counts.Inserted != rows {
					b.Fatal(err, m.Snapshot())
				}
				b.StopTimer()
				os.Remove(filepath.Join(w.Folder, "warehouse.db"))
				b.StartTimer()
			}
			b.ReportMetric(float64(rows*b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
	for _, again := range []string{"unchanged", "updated"} {
		b.Run("upsert/"+again, func(b *testing.B) {
			w := pipelinetest.New(b)
			pipelinetest.MemberFile(b, filepath.Join(w.Folder, "members.csv"), rows)
			w.Mapping(memberMapping...)
			turn := 0
			for b.Loop() {
				if turn++; again == "updated" {
					w.Job.Task.Mapping[1].Expression = fmt.Sprintf("FirstName + %q", fmt.Sprint(turn))
				}
				var m pipeline.Meter
				if err := pipeline.Run(b.Context(), w.Job, &m); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(rows*b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
	b.Run("bare", func(b *testing.B) {
		w := pipelinetest.New(b)
		pipelinetest.MemberFile(b, filepath.Join(w.Folder, "members.csv"), rows)
		for b.Loop() {
			bareLoop(b, w)
			b.StopTimer()
			os.Remove(filepath.Join(w.Folder, "warehouse.db"))
			b.StartTimer()
		}
		b.ReportMetric(float64(rows*b.N)/b.Elapsed().Seconds(), "rows/s")
	})
}

func bareLoop(b *testing.B, w *pipelinetest.Bench) {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(w.Folder, "warehouse.db")+"?_pragma=journal_mode(WAL)")
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	if _, err := db.Exec(`CREATE TABLE members (id TEXT NOT NULL, first_name TEXT, last_name TEXT, email TEXT, joined TEXT, PRIMARY KEY (id))`); err != nil {
		b.Fatal(err)
	}
	f, err := os.Open(filepath.Join(w.Folder, "members.csv"))
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
			w := pipelinetest.New(b)
			w.Write("members.csv", "ID,Name\n1,Ann\n2,Bob\n3,Cy\n")
			if kind == "csv" {
				w.ToFile(task.Replace)
			}
			for b.Loop() {
				var m pipeline.Meter
				if err := pipeline.Run(b.Context(), w.Job, &m); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkCSVToCSV(b *testing.B) {
	const rows = 200_000
	w := pipelinetest.New(b)
	pipelinetest.MemberFile(b, filepath.Join(w.Folder, "members.csv"), rows)
	w.Mapping("id", "ID", "name", `FirstName + " " + LastName`, "email", "Email")
	w.ToFile(task.Replace)
	for b.Loop() {
		var m pipeline.Meter
		if err := pipeline.Run(b.Context(), w.Job, &m); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(rows*b.N)/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkNothing is a whole run that has nothing to do: one row, which where drops.
func BenchmarkNothing(b *testing.B) {
	w := pipelinetest.New(b)
	w.Write("members.csv", "ID,Name\n1,Ann\n")
	w.ToFile(task.Append)
	w.Job.Task.Where = "false"
	b.ReportAllocs()
	for b.Loop() {
		var m pipeline.Meter
		if err := pipeline.Run(b.Context(), w.Job, &m); err != nil {
			b.Fatal(err)
		}
	}
}
