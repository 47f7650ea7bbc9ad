#!/usr/bin/env bash
# Go 1.26: on 31 December of a leap year Time.ZoneBounds says that the zone's time has ended already.
#
# ZoneBounds returns when the offset of a time's zone began and when it ends. Where a zone goes by the rule that its data
# ends with (in Chicago since 2008, in Berlin since 1997 with compact data), a year is taken for 365 days there: on the
# 366th day the end is 00:00 UTC of that day, which is not behind the time that was asked about, and no clock changes then.
# Whoever goes from end to end, to find the changes of a zone's clocks, goes round without an end.
# In other years the end of the winter half is 00:00 UTC of 1 January, though no clock changes then either. The offset
# itself is right.
#
# Seen: the lines of "want" below.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >main.go <<'GO'
package main

import (
	"fmt"
	"time"
	_ "time/tzdata"
)

func main() {
	for _, name := range []string{"America/Chicago", "Asia/Tokyo"} {
		zone, err := time.LoadLocation(name)
		if err != nil {
			panic(err)
		}
		for _, day := range []string{"2028-12-30", "2028-12-31", "2029-12-31"} {
			at, _ := time.Parse(time.DateTime, day+" 12:00:00")
			_, end := at.In(zone).ZoneBounds()
			_, offset := at.In(zone).Zone()
			next := "none"
			if !end.IsZero() {
				next = end.UTC().Format(time.RFC3339)
			}
			fmt.Printf("%s at %s: offset %d h, ends %s\n", name, at.Format(time.RFC3339), offset/3600, next)
		}
	}
}
GO
cat >go.mod <<'MOD'
module finding

go 1.26.0
MOD
# Go's own copy of the zones, which is compact.
ZONEINFO=$(go env GOROOT)/lib/time/zoneinfo.zip go run . | tee seen
want='America/Chicago at 2028-12-30T12:00:00Z: offset -6 h, ends 2028-12-31T00:00:00Z
America/Chicago at 2028-12-31T12:00:00Z: offset -6 h, ends 2028-12-31T00:00:00Z
America/Chicago at 2029-12-31T12:00:00Z: offset -6 h, ends 2030-01-01T00:00:00Z
Asia/Tokyo at 2028-12-31T12:00:00Z: offset 9 h, ends none'
grep -v 'Tokyo at 2028-12-30\|Tokyo at 2029' seen | diff - <(echo "$want")
