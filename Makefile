# Runhook: `make demo` starts it on real data, `make test` passes every test.
SHELL := /bin/bash
TOOL  := GOFLAGS= go tool -modfile=.ci/tools.mod

# What tests and looks at the code shares one compilation, with the race detector. SQLite's own C,
# translated to Go, does without it: that takes long to run, and no code of ours is in it. And no
# process waits a second before it ends, as the race detector otherwise has it. Races that are known in
# other programs' code, which a test of ours meets now and then, are named in .ci/race-suppressions.
vet analyze tests steady: export GOFLAGS := -race -gcflags=modernc.org/sqlite/lib=-race=false -gcflags=modernc.org/libc=-race=false
tests steady: export GORACE := atexit_sleep_ms=20 suppressions='$(CURDIR)/.ci/race-suppressions'

.PHONY: help demo build test quick steady lint vet analyze tests vulncheck fuzz bench bench-store chaos needs fmt zones

help: ## show what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

demo: ## start everything in one process, run a task on real data, print what to try
	@go run ./cmd/runhook serve --demo

build: ## build the program, without cgo, as ./runhook
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o runhook ./cmd/runhook

test: needs vet ## install what the tests need, then check and test everything
	@$(MAKE) --no-print-directory -j2 analyze tests

# The packages that take longest begin first, and one more at a time than there are processors: many
# tests wait.
tests:
	.ci/in-memory go test -vet=off -count=1 -shuffle=on -p $$(($$(getconf _NPROCESSORS_ONLN) + 1)) -parallel 6 -timeout 12m \
		./cmd/runhook ./shared/bus/... ./services/runner ./services/runner/pipeline ./...

quick: ## the tests without the race detector, for the time between two edits
	go test -shuffle=on ./...

steady: needs ## run the tests of PKG (default ./...) TIMES times (default 10) beside BUSY busy loops (default 4), and print a table
	@.ci/in-memory .ci/steady

lint: vet analyze ## format, vet, staticcheck, unchecked errors, tidy go.mod

vet:
	@unformatted=$$($(TOOL) gofumpt -l .); test -z "$$unformatted" || { echo "not formatted (run make fmt):" $$unformatted; exit 1; }
	go mod tidy -diff
	go vet ./...
	go vet -tags bench ./cmd/runhook
	go vet -tags chaos ./deploy/chaos

analyze:
	staticcheck=$$($(TOOL) -n staticcheck) && $$staticcheck ./...
	errcheck=$$($(TOOL) -n errcheck) && $$errcheck -ignoretests -exclude .ci/errcheck-exclude ./...

fmt: ## format the code
	$(TOOL) gofumpt -w .

vulncheck: ## look for known vulnerabilities (needs the vulnerability database)
	$(TOOL) govulncheck ./...

fuzz: ## fuzz every parser, FUZZTIME each (default 20s)
	@for target in $$(grep -rhoE --include='*_test.go' '^func Fuzz\w+' . | cut -c6-); do \
		dir=$$(dirname $$(grep -rl --include='*_test.go' "^func $$target(" .)); \
		echo "$$target in $$dir"; go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $${FUZZTIME:-20s} $$dir || exit 1; \
	done

bench: ## measure the whole system beside its limits, then do bench-store (prints tables)
	@go test -tags bench -run '^TestBench$$' -count=1 -timeout 30m -v ./cmd/runhook | grep -vE '^(=== |--- |ok|PASS)'
	@go test -tags bench -run '^TestBenchSchedules$$' -count=1 -timeout 30m -v ./cmd/runhook | grep -vE '^(=== |--- |ok|PASS)'
	@go test -run '^$$' -bench '^BenchmarkBundled$$' -benchtime 300000x -timeout 30m ./shared/bus | grep '^Benchmark'
	@$(MAKE) --no-print-directory bench-store

# Ten minutes and 30 GB of disk for a million runs. BENCH_STORES=DIR keeps the stores for the next time.
bench-store: ## measure stores of BENCH_RUNS ended runs (default 1000000) beside the build before slices
	@go test -tags bench -run '^TestBench(Store|History)$$' -count=1 -timeout 0 -v ./cmd/runhook | grep -vE '^ *(=== |--- |ok|PASS)'

chaos: ## break things under load for CHAOS_TIME (default 2m), in the order of CHAOS_SEED (default random), and count what is lost
	@go test -tags chaos -count=1 -timeout 0 -v ./deploy/chaos

needs: ## install the programs the tests drive: a browser, a proxy, Node with the NATS client
	@.ci/needs

zones: ## make the program's own time zones from a pinned release of tzdata (needs Debian's apt-get, zic and zip)
	@.ci/zones
