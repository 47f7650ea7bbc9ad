package main

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"runhook/shared/client"
	"runhook/shared/wait"
)

// awayFor is how long a command goes on asking a server that cannot reach its store: longer than a cluster takes to find
// another leader, which is about ten seconds.
var awayFor = 30 * time.Second // longer in tests

// lasting are the answers of a server whose store takes nothing until somebody mends it.
var lasting = []string{"urn:runhook:problem:store-full", "urn:runhook:problem:store-denied"}

// whileAway asks, and asks again while the server says that it cannot do so at the moment, until ctx ends. What is asked
// may be asked twice.
func whileAway(ctx context.Context, ask func() error) error {
	pause := wait.Backoff{Least: 200 * time.Millisecond, Most: 2 * time.Second}
	for began := time.Now(); ; {
		err := ask()
		problem, ok := errors.AsType[*client.Problem](err)
		passes := ok && problem.Status == http.StatusServiceUnavailable && !slices.Contains(lasting, problem.Type)
		if !passes || time.Since(began) > awayFor || !pause.Wait(ctx) {
			return err
		}
	}
}
