#!/usr/bin/env bash
# modernc.org/sqlite v1.62.0: an empty BLOB that is read and written again becomes NULL.
#
# The driver gives a BLOB of no bytes as a nil []byte, and stores a nil []byte as NULL. A program that copies
# rows by scanning each value into an any, which is not nil then, loses the difference between no value and an
# empty one, and fails where the column is NOT NULL. An empty []byte that is not nil is stored as a BLOB.
#
# Seen: read: []uint8, nil: true; copied: null; an empty []byte: blob
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >main.go <<'GO'
package main

import (
	"database/sql"
	"fmt"

	_ "modernc.org/sqlite"
)

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func main() {
	db := must(sql.Open("sqlite", ":memory:"))
	defer db.Close()
	var value any
	if err := db.QueryRow("select x''").Scan(&value); err != nil {
		panic(err)
	}
	kind := func(bound any) (name string) {
		if err := db.QueryRow("select typeof(?)", bound).Scan(&name); err != nil {
			panic(err)
		}
		return name
	}
	fmt.Printf("read: %T, nil: %v; copied: %s; an empty []byte: %s\n", value, value.([]byte) == nil, kind(value), kind([]byte{}))
}
GO
cat >go.mod <<'MOD'
module finding

go 1.26.0

require modernc.org/sqlite v1.62.0
MOD
go mod tidy >/dev/null 2>&1
seen=$(GOFLAGS=-mod=mod go run .)
echo "$seen"
[ "$seen" = "read: []uint8, nil: true; copied: null; an empty []byte: blob" ]
