package demo

import (
	"context"
	"fmt"
	"io"
	"time"

	"runhook/shared/client"
	"runhook/shared/run"
)

// Tour runs the task Airports for California through a server's own address, and writes to out what
// came of it and what to try next. program is how the reader starts this program.
func Tour(ctx context.Context, server *client.Client, files Files, program string, out io.Writer) error {
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
  from %s
  to   %s, table airports

  %s
`, doc.ImportID, doc.TaskName, files.Source, files.Database, client.Summary(doc))
	if err != nil || doc.Outcome() != run.Success {
		return err
	}
	webhook := server.URL("/task/executepolling/" + string(Airports))
	_, err = fmt.Fprintf(out, `
Your turn. POST to the webhook for Texas; 202 comes at once, and Location says where to ask:

  curl -i %[1]s -d '{"QueryParameters":{"State":"TX"}}'

The same for Alaska, asking there until it has ended:

  location=$(curl -s -o /dev/null -w '%%header{location}' %[1]s -d '{"QueryParameters":{"State":"AK"}}')
  curl -i -H 'Prefer: wait=30' "$location"

Start one from the command line and watch it, and see all runs:

  %[2]s run northern -p Latitude=65 --wait%[3]s
  %[2]s runs list%[3]s

The rows that are there now:

  sqlite3 %[4]s 'select state, count(*) from airports group by state'

The tasks are files; change one and it is in force within a second:

  %[5]s

`, webhook, program, serverFlag(server), files.Database, files.Tasks)
	return err
}

// serverFlag is what the command line needs to find a server that has not the usual address.
func serverFlag(server *client.Client) string {
	if server.URL("") == client.DefaultServer {
		return ""
	}
	return " --server " + server.URL("")
}
