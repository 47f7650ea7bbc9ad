package main

import (
	"context"
	"time"

	"runhook/shared/client"
	"runhook/shared/task"
	"runhook/shared/wait"
)

// awayFor is how long a command goes on asking a server that cannot reach its store: longer than a cluster takes to find
// another leader, which is about ten seconds.
var awayFor = 30 * time.Second // longer in tests

// whileAway asks, and asks again while the server says that it cannot do so at the moment, until ctx ends. What is asked
// may be asked twice.
func whileAway(ctx context.Context, ask func() error) error {
	pause := wait.Backoff{Least: 200 * time.Millisecond, Most: 2 * time.Second}
	for began := time.Now(); ; {
		err := ask()
		if !client.Away(err) || time.Since(began) > awayFor || !pause.Wait(ctx) {
			return err
		}
	}
}

// find is the id of the task that somebody named, as soon as the server can say it.
func find(ctx context.Context, server *client.Client, named string) (id task.ID, err error) {
	err = whileAway(ctx, func() error {
		id, err = server.Find(ctx, named)
		return err
	})
	return id, err
}

// taskOf is the task of an id, as soon as the server can show it.
func taskOf(ctx context.Context, server *client.Client, id task.ID) (found client.Task, err error) {
	err = whileAway(ctx, func() error {
		found, err = server.Task(ctx, id)
		return err
	})
	return found, err
}
