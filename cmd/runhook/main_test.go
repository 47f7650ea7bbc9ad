//go:build !bench

package main

import (
	"os"
	"strings"
	"testing"

	"runhook/shared/bustest"
)

func TestMain(m *testing.M) {
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "RUNHOOK_") {
			_ = os.Unsetenv(name)
		}
	}
	bustest.Main(testsThenCleanup{m})
}

// testsThenCleanup removes the built program before Main ends the process.
type testsThenCleanup struct{ m *testing.M }

func (t testsThenCleanup) Run() int {
	defer removeBinary()
	return t.m.Run()
}
