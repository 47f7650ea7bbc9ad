package pipeline_test

import (
	"context"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"runhook/services/runner/pipeline/pipelinetest"

	"runhook/shared/run"
	"runhook/shared/task"
)

// Whatever the rows, the counts say what is in the table.
func TestCountsEqualTheTable(t *testing.T) {
	for seed := range uint64(12) {
		random := rand.New(rand.NewPCG(seed, 7))
		b := pipelinetest.New(t)
		b.Exec("CREATE TABLE members (id INTEGER PRIMARY KEY, name TEXT CHECK (name <> 'bad'))")
		b.Table().Action = []task.Action{task.Insert, task.Upsert, task.Update, task.Delete}[random.IntN(4)]
		if b.Table().Action != task.Insert {
			b.Exec("WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 3 FROM n WHERE i < 3000) INSERT INTO members SELECT i, 'n' || (i % 5) FROM n")
		}
		b.Job.Task.Where = `Name != "drop"`
		b.Job.Task.MaxRowErrors = random.IntN(200)
		if random.IntN(4) == 0 {
			b.Job.Task.OnRowError = task.StopOnRowError
		}
		ctx, cancel := context.WithCancel(t.Context())
		if random.IntN(3) == 0 {
			end := random.IntN(6)
			b.Job.BeforeWrite = func(context.Context, int64) error {
				if end--; end < 0 {
					cancel()
				}
				return nil
			}
		}
		type model map[int]string
		var text strings.Builder
		text.WriteString("ID,Name\n")
		faults := 1 + random.IntN(400)
		for i := range 8000 {
			id, name := strconv.Itoa(random.IntN(4000)), "n"+strconv.Itoa(random.IntN(5))
			if random.IntN(2) == 0 {
				id = strconv.Itoa(i + 4000)
			}
			switch random.IntN(5 * faults) {
			case 0:
				id = "word"
			case 1:
				name = "bad"
			case 2:
				name = "x,y"
			case 3:
				id = ""
			}
			if random.IntN(10) == 0 {
				name = "drop"
			}
			text.WriteString(id + "," + name + "\n")
		}
		b.Write("members.csv", text.String())
		before := content(b, t)
		s, err := b.Run(ctx)
		cancel()
		after := content(b, t)

		// Execute the rows that were reached on a model of the table.
		want := run.Counts{Total: s.Counts.Total, Retrieved: s.Counts.Retrieved}
		content := model{}
		for id, name := range before {
			content[id] = name
		}
		lines := strings.Split(strings.TrimSpace(text.String()), "\n")[1:]
		made := 1 << 40
		for _, line := range lines[:s.Counts.Retrieved] {
			cells := strings.Split(line, ",")
			if len(cells) != 2 {
				want.Failed++
				continue
			}
			if cells[1] == "drop" {
				want.Skipped++
				continue
			}
			id, notNumber := strconv.Atoi(cells[0])
			old, there := content[id]
			action := b.Table().Action
			switch {
			case cells[0] == "" && action == task.Insert && cells[1] != "bad":
				want.Inserted++ // the table makes a number
				made++
				content[made] = cells[1]
			case notNumber != nil, action == task.Insert && (there || cells[1] == "bad"):
				want.Failed++
			case action == task.Delete && there:
				want.Deleted++
				delete(content, id)
			case action == task.Delete, action == task.Update && !there:
				want.Skipped++
			case cells[1] == "bad":
				want.Failed++
			case !there:
				want.Inserted++
				content[id] = cells[1]
			case old != cells[1]:
				want.Updated++
				content[id] = cells[1]
			default:
				want.Unchanged++
			}
		}
		if s.Counts != want {
			t.Errorf("seed %d, %s, %v:\ncounts %+v\nwant   %+v", seed, b.Table().Action, err, s.Counts, want)
		}
		if len(after) != len(content) {
			t.Errorf("seed %d, %s, %v: the table has %d rows, want %d", seed, b.Table().Action, err, len(after), len(content))
		}
		for id, name := range content {
			if id < 1<<40 && after[id] != name {
				t.Fatalf("seed %d, %s, %v: row %d is %q, want %q", seed, b.Table().Action, err, id, after[id], name)
			}
		}
	}
}

// content reads the table members.
func content(b *pipelinetest.Bench, t *testing.T) map[int]string {
	t.Helper()
	db := b.Open()
	defer db.Close()
	rows, err := db.Query("SELECT id, name FROM members")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	content := map[int]string{}
	for rows.Next() {
		var id int
		var name string
		if err := rows.Scan(&id, &name); err != nil {
			t.Fatal(err)
		}
		content[id] = name
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return content
}
