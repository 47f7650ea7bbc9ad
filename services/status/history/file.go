package history

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"

	"github.com/gofrs/flock"
	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"runhook/shared/plainfile"
)

// file is an open index file. One process writes it, through one connection; readers have their own.
type file struct {
	path        string
	lock        *flock.Flock
	write, read *sql.DB
}

// damage is why an index file is of no use.
type damage struct {
	path string
	why  string
}

func (d *damage) Error() string { return d.why }

const (
	// applicationID marks a file as an index, and version is that of its tables: a file of any other is made anew.
	applicationID = 0x52484b48
	version       = 2
	// mostFiles is how many processes may keep an index in one folder, each a file of its own.
	mostFiles = 9
)

// schema are the tables of an empty index. Times are in milliseconds since 1970, and 0 for none.
const schema = `
create table meta (name text primary key, value text not null) without rowid;
create table streams (name text primary key, sequence integer not null, stored integer not null, first integer not null, behind integer not null, done integer not null) without rowid;
create table words (id integer primary key, word text not null unique);
insert into words values (1, 'webhook'), (2, '');
create table runs (
	number integer primary key, task integer not null, name integer not null, trigger integer not null, operator integer not null, repeats integer not null, starter integer not null,
	outcome integer not null, created integer not null, started integer not null, completed integer not null, duration integer not null,
	processed integer not null, failed integer not null, attempts integer not null, percent real not null, correlation text not null, message text not null
);
create index runs_task on runs (task);
create index runs_outcome on runs (outcome) where outcome <> 1;
create index runs_failed on runs (number) where failed > 0;
create index runs_trigger on runs (trigger) where trigger <> 1;
create index runs_starter on runs (starter) where starter > 0;
create index runs_correlation on runs (correlation) where correlation <> '';
create index runs_quarter on runs (created / 900000, task, outcome);
create table parameters (hash integer not null, number integer not null, primary key (hash, number)) without rowid;
`

// temporary begins the names of folders that are there while a process is.
const temporary = "runhook-history-"

// makeTemporary makes a folder for an index that the process does not keep, and removes those that processes have left
// behind which were killed.
func makeTemporary() (dir string, err error) {
	left, _ := filepath.Glob(filepath.Join(os.TempDir(), temporary+"*")) // only a pattern can be wrong
	for _, dir := range left {
		lock := flock.New(filepath.Join(dir, firstLock))
		if _, err := os.Stat(lock.Path()); err != nil {
			continue // it is being made, or another user's
		}
		if locked, err := lock.TryLock(); err == nil && locked {
			_ = os.RemoveAll(dir) // the next start tries again
			_ = lock.Unlock()
		}
	}
	if dir, err = os.MkdirTemp("", temporary+"*"); err != nil {
		return "", fmt.Errorf("cannot make a folder for the history: %w", err)
	}
	return dir, nil
}

// removeTemporary removes a folder of makeTemporary.
func (x *Index) removeTemporary(dir string) {
	if x.options.Dir == "" && dir != "" {
		_ = os.RemoveAll(dir) // the next start of any process tries again
	}
}

// firstLock is the lock of the first file of a folder.
const firstLock = "history.lock"

// openFile opens the index of a store in a folder, or makes an empty one; why says why it is empty. A file that another
// process keeps is left to that, and the next free one is taken: two of them never share one. The error is a *damage
// where the file has to be removed first.
func openFile(ctx context.Context, dir, store string) (opened *file, why string, err error) {
	if err := addFunctions(); err != nil {
		return nil, "", fmt.Errorf("cannot prepare the history: %w", err)
	}
	if dir, err = filepath.Abs(dir); err == nil {
		err = os.MkdirAll(dir, 0o700)
	}
	if err != nil {
		return nil, "", fmt.Errorf("cannot make the folder of the history: %w", err)
	}
	for n := 1; n <= mostFiles; n++ {
		name := "history"
		if n > 1 {
			name += "-" + strconv.Itoa(n)
		}
		lock := flock.New(filepath.Join(dir, name+".lock"), flock.SetPermissions(plainfile.Private))
		locked, err := lock.TryLock()
		if err != nil {
			return nil, "", fmt.Errorf("cannot lock the history: %w", err)
		}
		if !locked {
			continue
		}
		f := &file{path: filepath.Join(dir, name+".db"), lock: lock}
		if why, err = f.open(ctx, store); err != nil {
			_ = f.close()
			return nil, "", f.explain(err)
		}
		return f, why, nil
	}
	return nil, "", fmt.Errorf("%d processes keep a history in %s already", mostFiles, dir)
}

// open opens the file and looks whether it is what it should be.
func (f *file) open(ctx context.Context, store string) (why string, err error) {
	info, err := os.Lstat(f.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		made, err := os.OpenFile(f.path, os.O_RDWR|os.O_CREATE|os.O_EXCL, plainfile.Private)
		if err != nil {
			return "", fmt.Errorf("cannot make the history: %w", err)
		}
		_ = made.Close() // nothing was written
		why = "there was none"
	case err != nil:
		return "", fmt.Errorf("cannot open the history: %w", err)
	case !info.Mode().IsRegular():
		return "", fmt.Errorf("cannot open the history: %s is no file", f.path)
	}
	settings := "?mode=rw&_pragma=busy_timeout(5000)&_pragma=journal_mode(wal)&_pragma=synchronous(normal)&_pragma=temp_store(memory)&_pragma=trusted_schema(0)"
	if f.write, err = connect(f.path, settings+"&_pragma=secure_delete(on)&_pragma=cache_size(-16000)&_pragma=wal_autocheckpoint(4000)&_pragma=journal_size_limit(67108864)&_txlock=immediate", 1); err != nil {
		return "", err
	}
	var application, is, tables int
	err = f.write.QueryRowContext(ctx, "select (select application_id from pragma_application_id), (select user_version from pragma_user_version), (select count(*) from sqlite_master)").
		Scan(&application, &is, &tables)
	if err == nil && tables == 0 && is == 0 {
		why, err = "there was none", f.make(ctx, store)
		application, is = applicationID, version
	}
	if err != nil {
		return "", err
	}
	if application != applicationID {
		return "", fmt.Errorf("%s is another program's", f.path)
	}
	if is != version {
		return "", &damage{f.path, fmt.Sprintf("the history has version %d, and this Runhook has %d", is, version)}
	}
	var of string
	if err := f.write.QueryRowContext(ctx, "select value from meta where name = 'store'").Scan(&of); err != nil {
		return "", err
	}
	if of != store {
		return "", &damage{f.path, "the history is of another store, or of this one before it was restored"}
	}
	f.read, err = connect(f.path, settings+"&_pragma=query_only(1)&_pragma=cache_size(-4000)", 4)
	return why, err
}

// connect opens a database; the first query will say what is wrong with it.
func connect(path, settings string, most int) (*sql.DB, error) {
	connector, err := sqlite.NewConnector((&url.URL{Scheme: "file", OmitHost: true, Path: path}).String() + settings)
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(most)
	db.SetMaxIdleConns(most)
	return db, nil
}

func (f *file) make(ctx context.Context, store string) error {
	tx, err := f.write.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after a commit it does nothing
	_, err = tx.ExecContext(ctx, schema+fmt.Sprintf("pragma application_id = %d; pragma user_version = %d;", applicationID, version))
	if err == nil {
		_, err = tx.ExecContext(ctx, "insert into meta values ('store', ?)", store)
	}
	if err != nil {
		return err
	}
	return tx.Commit()
}

// close closes the file; the next process may have it.
func (f *file) close() error {
	var err error
	if f.read != nil {
		err = f.read.Close()
	}
	if f.write != nil {
		err = errors.Join(err, f.write.Close())
	}
	return errors.Join(err, f.lock.Unlock())
}

// explain makes a *damage of an error of the file that another attempt would meet again. A full disk is none.
func (f *file) explain(err error) error {
	fault, ok := errors.AsType[*sqlite.Error](err)
	if _, known := errors.AsType[*damage](err); known || !ok && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	if ok {
		switch fault.Code() & 0xff {
		case lib.SQLITE_FULL, lib.SQLITE_BUSY, lib.SQLITE_LOCKED, lib.SQLITE_INTERRUPT, lib.SQLITE_NOMEM, lib.SQLITE_CANTOPEN, lib.SQLITE_PERM:
			return err
		}
	}
	return &damage{f.path, fmt.Sprintf("the history is damaged: %v", err)}
}
