//go:build !bench

package main

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"runhook/shared/client"
	"runhook/shared/web"
)

// A tag holds no constant, so it repeats its value.
func TestDefaultsOfFlags(t *testing.T) {
	t.Parallel()
	parser, err := commandLine()
	if err != nil {
		t.Fatal(err)
	}
	reading.Lock()
	defer reading.Unlock()
	constants := map[string]string{
		"nats-listen": defaultNATS, "server": client.DefaultServer, "data": defaultData,
		"max-body": strconv.Itoa(web.DefaultMaxBody), "max-waiting": strconv.Itoa(web.DefaultMaxWaiting),
	}
	found := map[string]bool{}
	_ = kong.Visit(parser.Model, func(node kong.Visitable, next kong.Next) error {
		if flag, ok := node.(*kong.Flag); ok && flag.Default != "" && constants[flag.Name] != "" {
			found[flag.Name] = true
			if flag.Default != constants[flag.Name] || !strings.Contains(flag.Help, flag.Default) {
				t.Errorf("--%s is %s and not %s: %s", flag.Name, flag.Default, constants[flag.Name], flag.Help)
			}
		}
		return next(nil)
	})
	if len(found) != len(constants) {
		t.Errorf("only of %v a default is known", found)
	}
}

func TestFlagsFromTheEnvironment(t *testing.T) {
	s := newSite(t)
	t.Setenv("RUNHOOK_DATA", s.path("elsewhere"))
	t.Setenv("RUNHOOK_LISTEN", "127.0.0.1:0")
	t.Setenv("RUNHOOK_NATS_LISTEN", "")
	i := begin(t, "serve").listening()
	if _, err := os.Stat(s.path("elsewhere/run.key")); err != nil {
		t.Error(err)
	}
	if i.nats != "" || !strings.Contains(i.out.String(), "NATS for this process only") {
		t.Errorf("NATS listens on %q", i.nats)
	}
	t.Setenv("RUNHOOK_SERVER", i.url)
	mustCall(t, "task", "list")
	i.end()
}
