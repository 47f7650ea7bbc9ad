#!/usr/bin/env bash
# Go 1.26, net/http: a client follows a redirect to an address with a space in its query by a request line of
# four words, which servers refuse with 400.
#
# Browsers and curl send %20. net/http escapes the path of the address and sends the query as it came, also
# letters outside ASCII. So it does with an address that url.Parse takes without an error.
#
# Seen: the lines of "want" below.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >main.go <<'GO'
package main

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
)

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// Prints the first line of each request: the first is answered by a redirect, the others by 200.
func main() {
	listener := must(net.Listen("tcp", "127.0.0.1:0"))
	go func() {
		for {
			c := must(listener.Accept())
			line := must(bufio.NewReader(c).ReadString('\n'))
			fmt.Printf("%q\n", line)
			answer := "HTTP/1.1 200 OK\r\n"
			if strings.HasPrefix(line, "GET / ") {
				answer = "HTTP/1.1 302 Found\r\nLocation: /a b?since=2026-01-31 00:00:00&city=Zürich\r\n"
			}
			fmt.Fprint(c, answer+"Content-Length: 0\r\nConnection: close\r\n\r\n")
			c.Close()
		}
	}()
	must(http.Get("http://" + listener.Addr().String() + "/")).Body.Close()
}
GO
cat >go.mod <<'MOD'
module finding

go 1.26.0
MOD
want='"GET / HTTP/1.1\r\n"
"GET /a%20b?since=2026-01-31 00:00:00&city=Zürich HTTP/1.1\r\n"'
seen=$(GOFLAGS= go run .)
go version
echo "$seen"
[ "$seen" = "$want" ]
