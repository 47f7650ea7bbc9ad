package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"runhook/shared/backup"
	"runhook/shared/broker"
	"runhook/shared/bus/recovery"
)

type restoreCommand struct {
	File string `arg:"" help:"A file that 'runhook backup' wrote."`
	//lint:ignore SA5008 kong takes one set for each variable
	StoreFlags `set:"dir=An empty data directory, for a new 'runhook serve'" set:"servers=one server or a cluster, without a store"`
	Replicas   *int `placeholder:"N" help:"With --nats: copies of everything, 1, 3 or 5. Default: as in the backup. Needed if a single server's backup goes into a cluster, or the other way round."`
}

// Help shows examples.
func (*restoreCommand) Help() string {
	return `Creates a store from a backup, in an empty data directory or on a NATS that has no store. It checks the whole file first, and leaves nothing behind if it fails.

Status URLs answer with the same bytes as before. Runs that were queued or in progress at the time of the backup are executed. Run numbers move on, so that no number given out after the backup becomes another run. Signed URLs of the old store end. Runs that ended after the backup are executed again: start with --hold to look at them first, and cancel those that you do not want with runhook runs cancel.

Examples:

    runhook restore runhook-2026-01-31.backup --data /var/lib/runhook-new
    runhook serve --hold --data /var/lib/runhook-new                            to look first: it takes no run
    runhook restore runhook-2026-01-31.backup --nats nats://a:4222,nats://b:4222,nats://c:4222 --replicas 3 --credentials admin.creds`
}

// Run restores the backup.
func (c *restoreCommand) Run(ctx context.Context, p *program) error {
	if err := checkReplicas(c.Replicas); err != nil {
		return err
	}
	file, err := backup.Open(c.File)
	if err != nil {
		return err
	}
	defer file.Close()
	var id string
	if c.NATS != "" {
		id, err = c.intoNATS(ctx, p, file)
	} else {
		id, err = c.intoDirectory(ctx, p, file)
	}
	if err != nil {
		return err
	}
	p.printf("Restored the store %s of %s as the store %s.\n", file.Manifest.Store, file.Manifest.MadeOn.Format(time.DateTime+" MST"), id)
	p.printf("To look at what would run again before it does: start with --hold, then `runhook runs list --queued`.\n")
	return nil
}

func (c *restoreCommand) intoNATS(ctx context.Context, p *program, file *backup.Reader) (id string, err error) {
	process, err := open(ctx, p, c.connect("runhook restore"))
	if err != nil {
		return "", err
	}
	defer process.close()
	err = recovery.Restore(ctx, process.store, given(c.Replicas), file.Manifest.MadeOn, file.Next)
	if errors.Is(err, recovery.ErrNotEmpty) {
		return "", fmt.Errorf("%w on this NATS: a backup is restored where there is none", err)
	}
	return process.store.StoreID(), err
}

// intoDirectory restores beside the place where `runhook serve` looks, and puts it there when it is whole.
func (c *restoreCommand) intoDirectory(ctx context.Context, p *program, file *backup.Reader) (id string, err error) {
	if err := empty(c.Data); err != nil {
		return "", err
	}
	locked, err := open(ctx, p, func(_ context.Context, p *process) error { return p.lock(c.Data) })
	if err != nil {
		return "", err
	}
	defer locked.close()
	dir := filepath.Join(c.Data, restoring)
	if err := os.RemoveAll(dir); err != nil {
		return "", fmt.Errorf("remove what an earlier restore has left: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	process, err := open(ctx, p, func(ctx context.Context, p *process) error { return p.embed(ctx, dir, "runhook restore") })
	if err != nil {
		return "", err
	}
	err = recovery.Restore(ctx, process.store, 1, file.Manifest.MadeOn, file.Next)
	id = process.store.StoreID()
	process.close()
	if err != nil {
		return "", err
	}
	if err := syncFiles(dir); err != nil {
		return "", fmt.Errorf("put the restored store on disk: %w", err)
	}
	if err := os.Rename(dir, broker.Dir(c.Data)); err != nil {
		return "", fmt.Errorf("put the restored store in its place: %w", err)
	}
	return id, nil
}

// restoring is where a restore works, inside of the data directory.
const restoring = "restoring"

// empty refuses a data directory with anything in it; one that is not there is empty.
func empty(data string) error {
	entries, err := os.ReadDir(data)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look into the data directory: %w: choose another with --data", err)
	}
	for _, entry := range entries {
		if !slices.Contains([]string{"lock", "lost+found", restoring}, entry.Name()) {
			return fmt.Errorf("the data directory %s is not empty (it has %s): a backup is restored into an empty one; choose another with --data", data, entry.Name())
		}
	}
	return nil
}

// syncFiles puts every file below a directory on disk.
func syncFiles(dir string) error {
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		file, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			return err
		}
		return errors.Join(file.Sync(), file.Close())
	})
}
