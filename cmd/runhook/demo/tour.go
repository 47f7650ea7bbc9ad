package demo

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"runhook/shared/client"
	"runhook/shared/run"
)

// Tour runs the task Airports for California through a server's own address, and writes to out what
// came of it and what to try next. program is how the reader starts this program, and flags are what its
// commands need to find the server.
func Tour(ctx context.Context, server *client.Client, files Files, program, flags string, out io.Writer) error {
	started, err := server.Start(ctx, Airports, map[string][]string{"State": {"CA"}})
	if err != nil {
		return fmt.Errorf("start the demo's run: %w", err)
	}
	doc, err := server.Wait(ctx, started, 10*time.Second, nil, nil)
	if err != nil {
		return fmt.Errorf("wait for the demo's run: %w", err)
	}
	_, err = fmt.Fprintf(out, `
Demo: run %s of the task "%s" copied the airports of California
  from the IQA $/Demo/Airports of a site that stands in for iMIS
  to   %s, table airports

  %s
`, doc.ImportID, doc.TaskName, files.Database, client.Summary(doc))
	if err != nil || doc.Outcome() != run.Success {
		return err
	}
	folder := filepath.Dir(files.Tasks)
	_, err = fmt.Fprintf(out, tourText, server.URL("/task/executepolling/"+string(Airports)), program, flags,
		files.Database, folder, server.URL("/task/execute/"+string(Report)))
	return err
}

const tourText = `
Your turn: a guided tour to paste into another terminal.

1. POST to the webhook for Texas. 202 comes at once, and Location says where to ask; then the same for Alaska, asking there until it has ended:

  curl -i %[1]s -d '{"QueryParameters":{"State":"TX"}}'
  location=$(curl -s -o /dev/null -w '%%header{location}' %[1]s -d '{"QueryParameters":{"State":"AK"}}')
  curl -i -H 'Prefer: wait=30' "$location"

2. Back into iMIS: from the table into a panel of the site, which five airports do not fit. See which and why, correct the task, and run it again:

  %[2]s run panel -p State=CA --wait%[3]s
  %[2]s runs list --task panel%[3]s
  %[2]s runs rejected NUMBER%[3]s
  sed -i.old 's/: name$/: name[:35]/; s|: place$|: split(place, "/")[0]|' %[5]s/tasks/panel.yaml
  %[2]s task apply %[5]s/tasks/panel.yaml%[3]s
  %[2]s run panel -p State=CA --wait%[3]s

3. From the table into a CSV file, for a state that must be named: the first is refused and says so, the second runs.

  curl -i -X POST %[6]s
  %[2]s run report -p State=CA --wait%[3]s

4. Read a web service page by page, and watch a run that takes half a minute:

  %[2]s run "web service" --wait%[3]s
  %[2]s run slow --wait%[3]s

5. Three rows of visits.csv are wrong. Take them, correct them, and run them again:

  %[2]s run visits --wait%[3]s
  %[2]s runs list --task visits%[3]s
  %[2]s runs rejected NUMBER -o %[5]s/files/corrected.csv%[3]s
  sed -i.old 's/31.02/28.02/; s/two/2/; s/12x/120/' %[5]s/files/corrected.csv
  %[2]s run visits --file corrected.csv --wait%[3]s

6. Before a task writes: whether it fits all that it names, and the first rows it would write, both without the server; and everything but the writes, on it:

  %[2]s task check %[5]s/tasks/panel.yaml --connections %[5]s/connections.yaml
  %[2]s task preview %[5]s/tasks/northern.yaml -p Latitude=70 --connections %[5]s/connections.yaml
  %[2]s run northern -p Latitude=70 --dry-run --wait%[3]s

7. Three tasks that start one another each night: from the IQA into a table, from there into the panel, and then into a file that says how that went. Start the first now, and see the others follow:

  %[2]s run fetch --wait%[3]s
  %[2]s runs show NUMBER%[3]s
  %[2]s schedule next %[5]s/tasks/nightly.yaml

8. What is there now:

  %[2]s runs list%[3]s
  sqlite3 %[4]s 'select state, count(*) from airports group by state'

The tasks are files in %[5]s/tasks; change one and it is in force within a second.

`
