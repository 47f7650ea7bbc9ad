#!/usr/bin/env bash
# expr v1.17.8: a method that is called with ?. on a null leaves its arguments on the machine's stack.
#
# The arguments are compiled before the value that the method is called on, and ?. jumps over the call when
# that value is null. In map the argument is then taken for the element before: it is a wrong value, with
# no error. With the null first in the list the result is right.
#
# Seen: map([day, none], #?.Format("2006")): [2006 <nil>], where day is in 2026; right is [2026 <nil>]
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >main.go <<'GO'
package main

import (
	"fmt"
	"time"

	"github.com/expr-lang/expr"
)

func main() {
	env := map[string]any{"day": time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC), "none": nil}
	for _, list := range []string{"[day, none]", "[none, day]"} {
		text := "map(" + list + `, #?.Format("2006"))`
		program, err := expr.Compile(text, expr.Env(env))
		if err != nil {
			panic(err)
		}
		value, err := expr.Run(program, env)
		if err != nil {
			panic(err)
		}
		fmt.Printf("%s: %v\n", text, value)
	}
}
GO
go mod init finding >go.log 2>&1
go get github.com/expr-lang/expr@v1.17.8 >>go.log 2>&1
go run . | tee seen
printf '%s\n' 'map([day, none], #?.Format("2006")): [2006 <nil>]' 'map([none, day], #?.Format("2006")): [<nil> 2026]' >expected
cmp -s seen expected || { echo "this is not what was seen before"; exit 1; }
