//go:build !bench

package main

import (
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "RUNHOOK_") {
			_ = os.Unsetenv(name)
		}
	}
	goleak.VerifyTestMain(testsThenCleanup{m},
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"), // one a process, for ever
		// The NATS server's own, which end some time after it has stopped.
		goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server.(*Server).startGoRoutine.func1"),
		goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server.(*stream).trySetupSourceConsumer.func3"),
		goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server.(*fileStore).flushLoop"),
		goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server.(*fileStore).syncBlocks"))
}

// testsThenCleanup removes the built program before goleak ends the process.
type testsThenCleanup struct{ m *testing.M }

func (t testsThenCleanup) Run() int {
	defer removeBinary()
	return t.m.Run()
}
