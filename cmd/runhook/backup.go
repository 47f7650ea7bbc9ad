package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"runhook/shared/backup"
	"runhook/shared/broker"
	"runhook/shared/bus"
)

type backupCommand struct {
	File string `arg:"" help:"The file to write. It must not be there yet."`
	StoreFlags
}

// Help shows examples.
func (*backupCommand) Help() string {
	return `Writes the whole store, which is tasks, queued and running runs, results, events and rejected rows, into one file. The store may be in use: everything that was accepted before the backup began is in it.

The file holds what rejected rows hold, so keep it as you keep that data. Not in it: run.key, the folder of task files, connections.yaml and the data that tasks read and write.

Examples:

    runhook backup runhook-2026-01-31.backup --nats nats://127.0.0.1:4222      while runhook serve is running
    runhook backup runhook-2026-01-31.backup --data /var/lib/runhook           while it is stopped`
}

// Run writes the backup.
func (c *backupCommand) Run(ctx context.Context, p *program) error {
	store, stop, err := c.open(ctx, p)
	if err != nil {
		return err
	}
	defer stop()
	id, err := store.ReadStoreID(ctx)
	if err != nil {
		return err
	}
	file, err := backup.Create(c.File, backup.Manifest{Store: id, MadeOn: time.Now().UTC()})
	if err != nil {
		return err
	}
	if err := store.Backup(ctx, file.Add); err != nil {
		file.Abort()
		return err
	}
	size, err := file.Commit()
	if err != nil {
		return err
	}
	p.printf("Wrote %s: the store %s, %s.\n", c.File, id, bytesText(size))
	return nil
}

func (c *backupCommand) open(ctx context.Context, p *program) (store *bus.Bus, stop func(), err error) {
	if c.NATS != "" {
		store, err = c.connect(ctx, "runhook backup", p)
		if err != nil {
			return nil, nil, err
		}
		return store, store.Close, nil
	}
	dir := broker.Dir(c.Data)
	if _, err := os.Stat(dir); err != nil {
		return nil, nil, fmt.Errorf("there is no store in the data directory %s: give --data as `runhook serve` has it, or --nats", c.Data)
	}
	unlock, err := lockData(c.Data)
	if errors.Is(err, errInUse) {
		return nil, nil, fmt.Errorf("a `runhook serve` uses the data directory %s: give its --nats-listen address instead, such as --nats nats://%s, or stop it first", c.Data, defaultNATS)
	}
	if err != nil {
		return nil, nil, err
	}
	store, end, err := embedded(ctx, dir, "runhook backup", p)
	if err != nil {
		unlock()
		return nil, nil, err
	}
	return store, func() { end(); unlock() }, nil
}

// bytesText is a size for people.
func bytesText(n int64) string {
	const step = 1000
	if n < step {
		return fmt.Sprintf("%d bytes", n)
	}
	size, units := float64(n), []string{"kB", "MB", "GB", "TB"}
	for len(units) > 1 && size >= step*step {
		size, units = size/step, units[1:]
	}
	return fmt.Sprintf("%.1f %s", size/step, units[0])
}
