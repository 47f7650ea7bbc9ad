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
	"runhook/shared/bus"
)

// StoreFlags say which store a backup is of: the data directory of a `runhook serve` that is stopped,
// or a NATS that is up.
type StoreFlags struct {
	Data        string `default:"data" placeholder:"DIR" help:"The data directory of a stopped 'runhook serve' (./${default})."`
	NATS        string `name:"nats" placeholder:"URL,…" help:"NATS servers instead of a directory: those of a running 'runhook serve' (its --nats-listen) or of a cluster."`
	Credentials string `placeholder:"FILE" help:"A NATS .creds file, or a file with one line user:password."`
}

// connect connects to --nats.
func (f *StoreFlags) connect(ctx context.Context, name string, p *program) (*bus.Bus, error) {
	flags := NATSFlags{NATS: f.NATS, Credentials: f.Credentials}
	return flags.connect(ctx, name, p)
}

// embedded starts a NATS server on a directory, for this process alone, and connects to it. stop ends
// both, and returns when nothing is written to the directory any more.
func embedded(ctx context.Context, dir, name string, p *program) (store *bus.Bus, stop func(), err error) {
	server, err := broker.Start(broker.Options{Dir: dir, Log: p.log})
	if err != nil {
		return nil, nil, err
	}
	end := func() { server.Stop(); server.Server().WaitForShutdown() }
	store, err = bus.Connect(ctx, bus.Config{Name: name, InProcess: server, Full: server.Full, Log: p.log})
	if err != nil {
		end()
		return nil, nil, err
	}
	return store, func() { store.Close(); end() }, nil
}

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

type restoreCommand struct {
	File string `arg:"" help:"A file of 'runhook backup'."`
	StoreFlags
	Replicas int `default:"0" help:"With --nats: copies of everything, 1, 3 or 5. Default: as it was backed up; needed where a single server's backup goes into a cluster, or the other way round."`
}

// Help shows examples.
func (*restoreCommand) Help() string {
	return `Makes a store of a backup, in an empty data directory or in a NATS that has none yet. It checks the whole file first, and leaves nothing behind when it fails.

Status addresses of before answer as they did, runs that were queued or under way at the time of the backup are executed, and run numbers go on behind a gap. The restored store has an id of its own: signed addresses that were given out before no longer fit. Runs that ended after the backup are executed again; make sure that this is what you want.

Examples:

    runhook restore runhook-2026-01-31.backup --data /var/lib/runhook-new
    runhook restore runhook-2026-01-31.backup --nats nats://a:4222,nats://b:4222,nats://c:4222 --replicas 3 --credentials admin.creds`
}

// Run restores the backup.
func (c *restoreCommand) Run(ctx context.Context, p *program) error {
	if c.Replicas < 0 || c.Replicas > 5 {
		return fmt.Errorf("--replicas %d: 1 to 5, and not more than the cluster has servers", c.Replicas)
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
	return nil
}

func (c *restoreCommand) intoNATS(ctx context.Context, p *program, file *backup.Reader) (id string, err error) {
	store, err := c.connect(ctx, "runhook restore", p)
	if err != nil {
		return "", err
	}
	defer store.Close()
	err = store.Restore(ctx, c.Replicas, file.Next)
	if errors.Is(err, bus.ErrNotEmpty) {
		return "", fmt.Errorf("%w on this NATS: a backup is restored where there is none", err)
	}
	return store.StoreID(), err
}

// intoDirectory restores beside the place where `runhook serve` looks, and puts it there when it is whole.
func (c *restoreCommand) intoDirectory(ctx context.Context, p *program, file *backup.Reader) (id string, err error) {
	if err := empty(c.Data); err != nil {
		return "", err
	}
	unlock, err := lockData(c.Data)
	if err != nil {
		return "", err
	}
	defer unlock()
	dir := filepath.Join(c.Data, restoring)
	if err := os.RemoveAll(dir); err != nil {
		return "", fmt.Errorf("remove what an earlier restore has left: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	store, stop, err := embedded(ctx, dir, "runhook restore", p)
	if err != nil {
		return "", err
	}
	err = store.Restore(ctx, 1, file.Next)
	id = store.StoreID()
	stop()
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
