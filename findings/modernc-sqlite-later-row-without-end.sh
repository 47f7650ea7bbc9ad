#!/usr/bin/env bash
# modernc.org/sqlite v1.62.0: a query's context ends it only until its first row has come.
#
# QueryContext watches its context during the first step of the statement. The steps behind it, in Rows.Next, are not
# interrupted, and database/sql cannot close the rows while Next runs. A query that computes for long behind a row that
# it has given goes on for as long as it likes, whatever its deadline is. sqlite3_interrupt would end it, for which the
# driver has no way.
#
# Seen: before the first row: in time; behind it: too late
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >main.go <<'GO'
package main

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	_ "modernc.org/sqlite"
)

// ends asks for rows up to the one that is computed for long, under a deadline that is over by then.
func ends(first int) string {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		panic(err)
	}
	defer db.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	// It counts to 20 millions unless it is ended.
	rows, err := db.QueryContext(ctx, "with recursive n(i) as (select 1 union all select i + 1 from n where i < 20000000) select i from n where i <= ?", first)
	if err == nil {
		for rows.Next() {
		}
		rows.Close()
	}
	var took string
	if deadline, _ := ctx.Deadline(); time.Since(deadline) < time.Second {
		took = "in time"
	} else {
		took = "too late"
	}
	return took
}

func main() { fmt.Printf("before the first row: %s; behind it: %s\n", ends(0), ends(1)) }
GO
cat >go.mod <<'MOD'
module finding

go 1.26.0

require modernc.org/sqlite v1.62.0
MOD
go mod tidy >/dev/null 2>&1
seen=$(GOFLAGS=-mod=mod go run .)
echo "$seen"
[ "$seen" = "before the first row: in time; behind it: too late" ]
