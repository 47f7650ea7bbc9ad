package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"runhook/shared/backup"
	"runhook/shared/broker"
	"runhook/shared/bus/recovery"
)

type backupCommand struct {
	File string `arg:"" help:"The file to write. It must not exist."`
	//lint:ignore SA5008 kong takes one set for each variable
	StoreFlags `set:"dir=The data directory of a stopped 'runhook serve'" set:"servers=those of a running 'runhook serve' (its --nats-listen) or of a cluster"`
}

// Help shows examples.
func (*backupCommand) Help() string {
	return `Writes the whole store into one file: tasks, runs, results, events and failed rows. The store may be in use. The backup holds everything accepted before it began.

The file holds failed rows. Protect it as you protect the data. It does not hold run.key, task files, connections.yaml, or the data that tasks read and write.

Examples:

While runhook serve is running:

    runhook backup runhook-2026-01-31.backup --nats nats://127.0.0.1:4222 --credentials /var/lib/runhook/nats.operator

While it is stopped:

    runhook backup runhook-2026-01-31.backup --data /var/lib/runhook`
}

// Run writes the backup.
func (c *backupCommand) Run(ctx context.Context, p *program) error {
	process, err := open(ctx, p, c.reach)
	if err != nil {
		return err
	}
	defer process.close()
	id, err := recovery.StoreID(ctx, process.store)
	if err != nil {
		return err
	}
	file, err := backup.Create(c.File, backup.Manifest{Store: id, MadeOn: time.Now().UTC()})
	if err != nil {
		return err
	}
	if err := recovery.Backup(ctx, process.store, file); err != nil {
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

// reach connects to the store that the flags name.
func (c *backupCommand) reach(ctx context.Context, p *process) error {
	if c.NATS != "" {
		return c.connect("runhook backup")(ctx, p)
	}
	dir := broker.Dir(c.Data)
	if _, err := os.Stat(dir); err != nil {
		return fmt.Errorf("there is no store in the data directory %s: give --data as `runhook serve` has it, or --nats", c.Data)
	}
	err := p.lock(c.Data)
	if errors.Is(err, errInUse) {
		return fmt.Errorf("a `runhook serve` uses the data directory %s: give its --nats-listen address instead, such as --nats nats://%s --credentials %s, or stop it first", c.Data, defaultNATS, filepath.Join(c.Data, ownCredentials))
	}
	if err != nil {
		return err
	}
	return p.embed(ctx, dir, "runhook backup")
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
