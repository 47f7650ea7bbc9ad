package seldom_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"runhook/shared/proctest"
	"runhook/shared/seldom"
)

// A flood leaves a line at once and one a minute that counts, for each cause by itself, until a quiet minute.
func TestAFloodLeavesALineAMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		text := proctest.NewOutput()
		log := seldom.New(zerolog.New(text))
		flood := func(times int) {
			for range times {
				log.Line(zerolog.WarnLevel, "full").Msg("refused")
			}
		}
		seen := 0
		want := func(when string, lines ...string) {
			t.Helper()
			synctest.Wait()
			all := text.String()
			if got, want := all[seen:], strings.Join(lines, "\n")+"\n"; got != want {
				t.Errorf("%s:\n%s\nnot\n%s", when, got, want)
			}
			seen = len(all)
		}
		flood(1000)
		log.Line(zerolog.ErrorLevel, "broken").Msg("failed")
		want("at once", `{"level":"warn","message":"refused"}`, `{"level":"error","message":"failed"}`)
		time.Sleep(seldom.Pause)
		want("after a minute", `{"level":"warn","cause":"full","passed_over":999,"message":"the same has happened again"}`)
		flood(10)
		time.Sleep(seldom.Pause)
		want("after two", `{"level":"warn","cause":"full","passed_over":10,"message":"the same has happened again"}`)
		time.Sleep(seldom.Pause)
		synctest.Wait()
		flood(1)
		want("after a quiet one", `{"level":"warn","message":"refused"}`)
		time.Sleep(2 * seldom.Pause)
	})
}

// Causes without number do not fill the log either.
func TestCausesAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		text := proctest.NewOutput()
		log := seldom.New(zerolog.New(text))
		for n := range 10_000 {
			log.Line(zerolog.WarnLevel, fmt.Sprint("run ", n)).Msg("failed")
		}
		if lines := strings.Count(text.String(), "\n"); lines > 101 {
			t.Errorf("%d lines", lines)
		}
		time.Sleep(2 * seldom.Pause)
	})
}
