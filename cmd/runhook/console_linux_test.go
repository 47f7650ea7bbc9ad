//go:build !bench

package main

import (
	"context"
	"io"
	"net/http"
	"testing"
)

// Who starts the program on a terminal gets a link to the page.
func TestStartOnATerminalSignsIn(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	tty, screen := terminal(t)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		runhook(ctx, s.args(), tty, io.Discard, noHangups)
	}()
	defer func() { stop(); <-ended }()
	found := screen.Await(t, `The page: (http://\S+)/console/#([\w-]{43}) signs in as admin, once, within 10 minutes`, ended)
	if found == nil {
		t.Fatalf("%s", screen)
	}
	if sees, _ := signIn(t, found[1], found[2]); sees(found[1]) != http.StatusOK {
		t.Error("the link signs nobody in")
	}
}
