package sqldb

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"runhook/services/runner/check"
	"runhook/services/runner/connection"
	"runhook/services/runner/connector"
	"runhook/services/runner/row"
	"runhook/shared/plainfile"
	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/wait"
	"runhook/shared/watermark"
)

// lockWait is how long a transaction waits for other writers of the database.
const lockWait = time.Minute

// sqliteDialect is a SQLite database.
type sqliteDialect struct{ at connection.Database }

func (d sqliteDialect) find(create bool) (found bool, err error) {
	info, err := os.Stat(d.at.SQLite)
	missing := errors.Is(err, os.ErrNotExist)
	switch {
	case err == nil && info.IsDir():
		return false, run.Failf("the database of connection %s is a folder, not a file", d.at.Name)
	case missing && !create:
		return false, run.Failf("the database of connection %s does not exist; correct the connection, or set create: true in the task", d.at.Name)
	case missing:
		if _, err := os.Stat(filepath.Dir(d.at.SQLite)); errors.Is(err, os.ErrNotExist) {
			return false, run.Failf("the folder of the database of connection %s does not exist; make it", d.at.Name)
		}
	}
	return !missing, nil
}

func (d sqliteDialect) open(ctx context.Context, to use) (*sql.DB, error) {
	address, err := d.address(to)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(d.at.SQLite)
	isNew := to == toCreate && (err != nil || info.Size() == 0)
	if isNew && err != nil {
		// The driver would make it for everybody to read; its journals have its mode.
		if made, err := os.OpenFile(d.at.SQLite, os.O_RDWR|os.O_CREATE|os.O_EXCL, plainfile.Private); err == nil {
			_ = made.Close() // nothing was written; what is wrong the driver will say
		}
	}
	connector, err := sqlite.NewConnector(address)
	if err != nil {
		return nil, explain(ctx, d, err)
	}
	if to == toRead {
		connector = reading{connector}
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(1)
	err = db.PingContext(ctx)
	if err == nil && to == toRead {
		err = limit(ctx, db)
	}
	if err == nil && isNew {
		err = useWAL(ctx, db)
	}
	if err != nil {
		db.Close()
		return nil, explain(ctx, d, err)
	}
	return db, nil
}

// address is the database's file as a URI, with the settings of a use. It fails where find does.
func (d sqliteDialect) address(to use) (string, error) {
	var settings string
	wait := lockWait
	switch to {
	case scratch:
		return "", nil
	case toRead:
		// The last connection to leave a write-ahead log puts it into the database's file, if it may write.
		settings = "?mode=rw&_query_only=1&_defensive=1&_pragma=trusted_schema(0)"
		if _, err := os.Stat(d.at.SQLite); errors.Is(err, os.ErrNotExist) {
			return "", run.Failf("the database of connection %s does not exist; correct the connection", d.at.Name)
		}
	case toCreate:
		settings = "?mode=rwc&_foreign_keys=1" + unspilled
	case toForget:
		settings, wait = "?mode=rw", forgetWait
	default:
		settings = "?mode=rw&_foreign_keys=1" + unspilled
	}
	if _, err := d.find(to == toCreate); err != nil {
		return "", err
	}
	return address(d.at.SQLite) + settings + "&_busy_timeout=" + strconv.FormatInt(wait.Milliseconds(), 10), nil
}

// unspilled has a transaction keep in memory what it has changed: to write that to the file ahead of the
// commit would wait for readers, and keep them waiting until then.
const unspilled = "&_pragma=cache_spill(0)"

// address is a database file as a URI. Its path begins with a slash, on Windows too.
func address(path string) string {
	name := url.URL{Path: "/" + strings.TrimPrefix(filepath.ToSlash(path), "/")}
	return "file:" + name.EscapedPath()
}

// useWAL has a new database use a write-ahead log, so that readers are not in the way. One that was there
// keeps its mode: people who may not write it may not be able to read it any more otherwise. SQLite does not
// wait for the lock of another run that makes it, so this does.
func useWAL(ctx context.Context, db *sql.DB) error {
	limit := time.Now().Add(lockWait)
	for {
		_, err := db.ExecContext(ctx, "PRAGMA journal_mode = WAL")
		if primary(err) != lib.SQLITE_BUSY || time.Now().After(limit) {
			return err
		}
		if !wait.For(ctx, 10*time.Millisecond) {
			return ctx.Err()
		}
	}
}

// checkRights reports what may not be written: the database's file, or its folder, where the journal
// has to be.
func (d sqliteDialect) checkRights(found bool, report *check.Report) {
	at := check.At("destination", "sql", "connection")
	if found {
		file, err := os.OpenFile(d.at.SQLite, os.O_RDWR, 0)
		if err != nil {
			report.Errorf(at, "the database of connection %s may not be written by this user; correct the permissions of its file", d.at.Name)
		} else {
			_ = file.Close() // nothing was written
		}
	}
	if !check.Writable(filepath.Dir(d.at.SQLite)) {
		report.Errorf(at, "the folder of the database of connection %s may not be written by this user, and the database's journal has to be in it; correct its permissions", d.at.Name)
	}
}

func (sqliteDialect) quote(name string) string {
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

func (d sqliteDialect) place(table string) string { return d.quote(table) }

func (sqliteDialect) longestName() int { return 0 }

func (d sqliteDialect) scratched() dialect { return d }

// reads has nothing to say: open has seen to it.
func (sqliteDialect) reads() string { return "" }

func (sqliteDialect) cell(*sql.ColumnType) func(any) any { return nil }

// sets are none: to write a row costs no way over a network.
func (sqliteDialect) sets(*table, task.Action) (sets, bool) { return sets{}, false }

func (sqliteDialect) commit(ctx context.Context, conn *sql.Conn) error {
	_, err := conn.ExecContext(ctx, "COMMIT")
	return err
}

// unclear is never: who commits is in this process.
func (sqliteDialect) unclear(error) bool { return false }

func (sqliteDialect) again(error) bool { return false }

func (d sqliteDialect) cut(query string) (text string, names []string, err error) {
	return task.CutQuery(query, d.parameter)
}

func (sqliteDialect) parameter(n int) string { return "?" + strconv.Itoa(n) }

// inOrder leaves the number out: the driver looks each name up in every execution.
func (sqliteDialect) inOrder(int) string { return "?" }

// begin takes the lock at once: a transaction that has read before cannot wait for it.
func (sqliteDialect) begin() []string { return []string{"BEGIN IMMEDIATE"} }

func (sqliteDialect) waits(longest time.Duration) string {
	return "PRAGMA busy_timeout = " + strconv.FormatInt(longest.Milliseconds(), 10)
}

func (sqliteDialect) locks(ctx context.Context, on session) (bool, error) {
	var mode string
	err := on.QueryRowContext(ctx, "PRAGMA journal_mode").Scan(&mode)
	return mode != "wal", err
}

// settles puts the write-ahead log into the database's file, if it has one. The last connection to close would do
// that under a lock that even readers do not get past.
func (sqliteDialect) settles() string { return "PRAGMA wal_checkpoint(TRUNCATE)" }

// aside copies the rows of a database without a write-ahead log, which cannot be written while it is read,
// into the connection's temporary database: that takes memory and, for what is larger, a file.
func (d sqliteDialect) aside(ctx context.Context, on session, columns int, query string, args []any) (copied string, err error) {
	if locks, err := d.locks(ctx, on); err != nil || !locks {
		return "", err
	}
	names := make([]string, columns)
	for i := range names {
		names[i] = "c" + strconv.Itoa(i)
	}
	if _, err := on.ExecContext(ctx, "PRAGMA query_only = 0; CREATE TEMP TABLE "+copyTable+" ("+strings.Join(names, ", ")+")"); err != nil {
		return "", d.noRoomAside(err)
	}
	if _, err := on.ExecContext(ctx, "INSERT INTO temp."+copyTable+" "+query, args...); err != nil {
		return "", d.noRoomAside(err)
	}
	_, err = on.ExecContext(ctx, "PRAGMA query_only = 1")
	return "SELECT * FROM temp." + copyTable + " ORDER BY rowid", err
}

// noRoomAside tells the errors of the temporary database's file from those of the database.
func (d sqliteDialect) noRoomAside(err error) error {
	known, ok := errors.AsType[*sqlite.Error](err)
	if ok && slices.Contains([]int{lib.SQLITE_FULL, lib.SQLITE_CANTOPEN, lib.SQLITE_IOERR_WRITE, lib.SQLITE_IOERR_GETTEMPPATH}, known.Code()) {
		return run.Failf("the rows of the query find no room in the runner's folder for temporary files; make room, name another folder in its environment variable SQLITE_TMPDIR, or set journal_mode = wal in the database of connection %s, which is read without a copy", d.at.Name)
	}
	return err
}

func (sqliteDialect) missingOnly(insert, key string) string {
	return insert + " ON CONFLICT (" + key + ") DO NOTHING"
}

func (d sqliteDialect) equals(column, parameter, collation string) string {
	if collation != "" {
		column += " COLLATE " + d.quote(collation)
	}
	return column + " = " + parameter
}

func (sqliteDialect) differs(column, parameter string) string {
	return column + " COLLATE BINARY IS NOT " + parameter
}

func (sqliteDialect) described(_ context.Context, _ session, query string) (string, error) {
	return within(query), nil
}

func (sqliteDialect) keepsOrder() bool { return true }

func (sqliteDialect) creates(place string) (begin, end string) {
	return "CREATE TABLE IF NOT EXISTS " + place, ""
}

// compares knows no moments: they are texts.
func (sqliteDialect) compares(string) (single, moments bool) { return false, false }

func (sqliteDialect) writeMoment(_ string, value watermark.Value) string { return value.String() }

func (sqliteDialect) nullsLast() bool { return false }

func (sqliteDialect) behind(rows int64) string {
	return " limit -1 offset " + strconv.FormatInt(rows, 10)
}

// stored takes the declared type from a column: the driver would make something else of its values.
func (sqliteDialect) stored(column string) string { return "+" + column }

func (d sqliteDialect) makeCheckpoints(ctx context.Context, conn *sql.Conn) error {
	_, err := conn.ExecContext(ctx, d.checkpoints().make)
	return err
}

func (sqliteDialect) checkpoints() checkpointSQL {
	return checkpointSQL{
		make: `CREATE TABLE IF NOT EXISTS ` + checkpointTable +
			` (store TEXT NOT NULL, task TEXT NOT NULL, run INTEGER NOT NULL, token INTEGER NOT NULL, state TEXT NOT NULL, PRIMARY KEY (store, task, run))`,
		raise: `INSERT INTO ` + checkpointTable + ` (store, task, run, token, state) VALUES (?1, ?2, ?3, ?4, '')` +
			` ON CONFLICT (store, task, run) DO UPDATE SET token = excluded.token WHERE token <= excluded.token`,
		read:   `SELECT token, state FROM ` + checkpointTable + ` WHERE store = ?1 AND task = ?2 AND run = ?3`,
		write:  `UPDATE ` + checkpointTable + ` SET state = ?5 WHERE store = ?1 AND task = ?2 AND run = ?3 AND token = ?4`,
		remove: `DELETE FROM ` + checkpointTable + ` WHERE store = ?1 AND task = ?2 AND run = ?3 AND token = ?4`,
	}
}

func (d sqliteDialect) relation(ctx context.Context, conn *sql.Conn, name string) (*relation, error) {
	var r relation
	var view bool
	err := conn.QueryRowContext(ctx, `SELECT name, type = 'view' FROM sqlite_schema WHERE name = ? COLLATE NOCASE AND type IN ('table', 'view')`, name).Scan(&r.name, &view)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if view {
		r.odd = "is a view; name a table"
	}
	if err != nil || view {
		return &r, err
	}
	r.sql = d.quote(r.name)
	var strict, numberless bool
	if err := conn.QueryRowContext(ctx, `SELECT strict, wr FROM pragma_table_list WHERE schema = 'main' AND name = ?`, r.name).Scan(&strict, &numberless); err != nil {
		return nil, err
	}
	rows, err := conn.QueryContext(ctx, `SELECT name, type, "notnull", dflt_value IS NOT NULL, pk, hidden FROM pragma_table_xinfo(?)`, r.name)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var c tableColumn
		var notNull, byDefault bool
		var hidden int
		if err := rows.Scan(&c.name, &c.declared, &notNull, &byDefault, &c.inKey, &hidden); err != nil {
			return nil, err
		}
		c.kind, c.storage, c.computed = kindOf(c.declared), storageOf(c.declared, strict), hidden != 0
		// An INTEGER PRIMARY KEY makes its own numbers.
		c.notNull = notNull && (c.inKey == 0 || c.kind != integerKind)
		c.required = c.notNull && !byDefault
		r.columns = append(r.columns, c)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	if r.unique, err = uniqueIndexes(ctx, conn, &r); err != nil {
		return nil, err
	}
	err = conn.QueryRowContext(ctx, `SELECT count(*) > 0 FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = ? COLLATE NOCASE`, r.name).Scan(&r.triggers)
	if !r.triggers {
		// The table's own rule, such as UNIQUE ON CONFLICT REPLACE, must not delete or leave out rows without a
		// word. In a table with triggers this would also be the rule of their statements.
		r.onConflict = " OR ABORT"
	}
	r.numbered, r.identity = !numberless, rowNumber(r.columns)
	if numberless {
		key := r.primaryKey()
		for i, name := range key {
			key[i] = "quote(" + d.quote(name) + ")"
		}
		r.identity = strings.Join(key, " || ',' || ")
	}
	return &r, err
}

// rowNumber is a name of the row's number that no column has.
func rowNumber(columns []tableColumn) string {
	names := []string{"rowid", "oid", "_rowid_"}
	return names[max(0, slices.IndexFunc(names, func(name string) bool {
		return !slices.ContainsFunc(columns, func(c tableColumn) bool { return strings.EqualFold(c.name, name) })
	}))]
}

// uniqueIndexes reads a table's unique indexes, in the order in which an upsert looks for its own: the row's
// number first. One that is partial or over an expression identifies no row.
func uniqueIndexes(ctx context.Context, conn *sql.Conn, r *relation) (unique []uniqueIndex, err error) {
	rows, err := conn.QueryContext(ctx, `SELECT l.name, l.origin, coalesce(i.name, ''), i.coll FROM pragma_index_list(?) l, pragma_index_xinfo(l.name) i WHERE l."unique" AND NOT l.partial AND i.key ORDER BY l.seq, i.seqno`, r.name)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	last, numbered := "", true
	for rows.Next() {
		var name, origin, column, collation string
		if err := rows.Scan(&name, &origin, &column, &collation); err != nil {
			return nil, err
		}
		if name != last {
			unique = append(unique, uniqueIndex{})
			last = name
		}
		x := &unique[len(unique)-1]
		x.columns, x.collations = append(x.columns, column), append(x.collations, collation)
		numbered = numbered && origin != "pk"
	}
	if key := r.primaryKey(); numbered && len(key) > 0 {
		unique = slices.Insert(unique, 0, uniqueIndex{columns: key})
	}
	return unique, rows.Err()
}

func (sqliteDialect) tables() string {
	return `SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'`
}

// numbered is how SQLite names a column whose name an earlier one has.
var numbered = regexp.MustCompile(`^(.*):\d+$`)

func (sqliteDialect) repeated(name string, earlier []string) (first string, again bool) {
	if match := numbered.FindStringSubmatch(name); match != nil && slices.Contains(earlier, match[1]) {
		return match[1], true
	}
	return name, slices.Contains(earlier, name)
}

func (sqliteDialect) column(c *sql.ColumnType) check.Column {
	column := declaredColumn(c.Name(), c.DatabaseTypeName())
	column.Stored, column.Declared = true, c.DatabaseTypeName()
	return column
}

// declaredLength is the length that a type declares for texts: VARCHAR(20).
var declaredLength = regexp.MustCompile(`(?i)char[a-z ]*\(\s*(\d+)\s*\)`)

// declaredColumn is what a column's declared type says of its values. SQLite keeps what it is given
// all the same, so that of a text nothing is said but its length.
func declaredColumn(name, declared string) check.Column {
	c := check.Column{Name: name}
	switch kindOf(declared) {
	case integerKind:
		c.Kind = check.Whole
	case realKind:
		c.Kind = check.Number
	case booleanKind:
		c.Kind = check.Boolean
	}
	if match := declaredLength.FindStringSubmatch(declared); match != nil {
		c.Length, _ = strconv.Atoi(match[1])
	}
	return c
}

// affinity is what SQLite makes of the values of a column, by its declared type.
type affinity int

const (
	textAffinity affinity = iota
	noAffinity
	realAffinity
	integerAffinity
	numericAffinity
)

// affinityOf has SQLite's own rules.
func affinityOf(declared string) affinity {
	declared = strings.ToUpper(declared)
	for _, rule := range []struct {
		part     string
		affinity affinity
	}{
		{"INT", integerAffinity},
		{"CHAR", textAffinity},
		{"CLOB", textAffinity},
		{"TEXT", textAffinity},
		{"BLOB", noAffinity},
		{"REAL", realAffinity},
		{"FLOA", realAffinity},
		{"DOUB", realAffinity},
	} {
		if strings.Contains(declared, rule.part) {
			return rule.affinity
		}
	}
	if declared == "" {
		return noAffinity
	}
	return numericAffinity
}

// names are the type names that people use for what is stored as text or as numbers, of which SQLite knows
// few. The first that fits counts; of the others the affinity decides.
var names = []struct {
	kind kind
	name *regexp.Regexp
}{
	{booleanKind, regexp.MustCompile(`BOOL`)},
	{dateTimeKind, regexp.MustCompile(`DATETIME|TIMESTAMP`)},
	{textKind, regexp.MustCompile(`CHAR|CLOB|TEXT`)},
	{integerKind, regexp.MustCompile(`\b(U|TINY|SMALL|MEDIUM|BIG|LONG|HUGE)?INT(EGER)?\d*\b`)},
	{anyKind, regexp.MustCompile(`BLOB`)},
	{realKind, regexp.MustCompile(`REAL|FLOA|DOUB`)},
	{dateKind, regexp.MustCompile(`\bDATE\b`)},
	{timeKind, regexp.MustCompile(`\bTIME(TZ)?\b`)},
	{numericKind, regexp.MustCompile(`\b(NUM(ERIC|BER)?|DEC(IMAL)?|(SMALL)?MONEY|CURRENCY)\d*\b`)},
}

// kindOf reads a declared type.
func kindOf(declared string) kind {
	declared = strings.ToUpper(declared)
	for _, n := range names {
		if n.name.MatchString(declared) {
			return n.kind
		}
	}
	return anyKind
}

// storageOf is what a column of a declared type makes of its values, nil if it keeps them. exact: a column
// without one of SQLite's types keeps them, as in a STRICT table.
func storageOf(declared string, exact bool) storage {
	made := affinityOf(declared)
	switch k := kindOf(declared); {
	case k == numericKind:
		return numbers{}
	case k != anyKind && k != textKind, made == textAffinity, made == noAffinity, made == numericAffinity && exact:
		return nil
	}
	return looseTexts{}
}

// numbers is a column of numbers: whole ones are kept exactly, others as doubles.
type numbers struct{}

func (numbers) hold(value any) (any, string) {
	text, ok := value.(string)
	if !ok {
		return value, ""
	}
	return numberOf(text)
}

// looseTexts is a column of a type that SQLite does not know, such as STRING or UUID: a text that is a number
// in digits becomes that number, and loses its zeros.
type looseTexts struct{}

func (looseTexts) hold(value any) (any, string) {
	text, ok := value.(string)
	if !ok {
		return value, ""
	}
	number, ok := parseDecimal(strings.Trim(text, " \t\n\v\f\r"))
	if !ok {
		return value, ""
	}
	whole, isWhole, _ := number.whole()
	if isWhole && strconv.FormatInt(whole, 10) == text {
		return value, ""
	}
	if f, err := strconv.ParseFloat(text, 64); err == nil && !isWhole && number.isGivenBack(f) && strconv.FormatFloat(f, 'f', -1, 64) == text {
		return value, ""
	}
	return nil, "is text that SQLite would make another number of, because it knows no such type; a column of type TEXT keeps it"
}

// plainType is a type that may stand in a statement as it is.
var plainType = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_ ]*(\([0-9, ]+\))?$`)

// columnTypes are those of a copy of another make's columns. What is not here is kept as text, in all its digits.
var columnTypes = map[string]string{
	"int2": "INTEGER", "int4": "INTEGER", "int8": "INTEGER", "oid": "INTEGER", "float4": "REAL", "float8": "REAL", "bool": "BOOLEAN", "bytea": "BLOB",
	"tinyint": "INTEGER", "smallint": "INTEGER", "mediumint": "INTEGER", "int": "INTEGER", "bigint": "INTEGER", "year": "INTEGER",
	"tinyint unsigned": "INTEGER", "smallint unsigned": "INTEGER", "mediumint unsigned": "INTEGER", "int unsigned": "INTEGER", "float": "REAL", "double": "REAL",
	"binary": "BLOB", "varbinary": "BLOB", "tinyblob": "BLOB", "blob": "BLOB", "mediumblob": "BLOB", "longblob": "BLOB", "geometry": "BLOB",
}

// columnType declares a copy as the column is that it is made for, unless that could be of a STRICT table,
// where ANY means something else: without a type it takes all the same values.
func (sqliteDialect) columnType(c connector.Column, _ bool) string {
	for _, mark := range []string{postgresMark, mysqlMark} {
		if declared, other := strings.CutPrefix(c.Declared, mark); other {
			return cmp.Or(columnTypes[declared], "TEXT")
		}
	}
	switch {
	case c.Stored && plainType.MatchString(c.Declared) && !strings.EqualFold(c.Declared, "ANY"):
		return c.Declared
	case c.Stored:
		return ""
	}
	switch c.Kind {
	case reflect.Bool:
		return "BOOLEAN"
	case reflect.Int, reflect.Int64:
		return "INTEGER"
	case reflect.Float64:
		return "REAL"
	case reflect.Slice: // bytes; no column takes another list
		return "BLOB"
	}
	return "TEXT"
}

func (sqliteDialect) copies(to tableColumn, declared string) bool {
	return strings.EqualFold(to.declared, declared) && !strings.EqualFold(declared, "ANY")
}

// primary is the primary result code of an error, 0 for one that is not SQLite's.
func primary(err error) int {
	if known, ok := errors.AsType[*sqlite.Error](err); ok {
		return known.Code() & 0xff
	}
	return 0
}

func (d sqliteDialect) failure(err error) error {
	known, ok := errors.AsType[*sqlite.Error](err)
	if !ok {
		return run.Failf("the database of connection %s cannot be used; the driver refused", d.at.Name)
	}
	switch known.Code() & 0xff {
	case lib.SQLITE_BUSY, lib.SQLITE_LOCKED:
		return run.Passingf("the database of connection %s was locked by another writer for longer than a minute; end that one", d.at.Name)
	case lib.SQLITE_READONLY, lib.SQLITE_PERM:
		return run.Failf("the database of connection %s may not be written by the runner; correct the permissions of its file and folder", d.at.Name)
	case lib.SQLITE_CANTOPEN:
		return run.Failf("the database of connection %s cannot be opened; correct its path, or the permissions of its file and folder", d.at.Name)
	case lib.SQLITE_NOTADB:
		return run.Failf("the database of connection %s is not a SQLite database", d.at.Name)
	case lib.SQLITE_FULL:
		return run.Failf("the disk of the database of connection %s is full", d.at.Name)
	case lib.SQLITE_CORRUPT, lib.SQLITE_IOERR:
		return run.Failf("the database of connection %s is damaged or its disk fails (SQLite result code %d)", d.at.Name, known.Code())
	case lib.SQLITE_AUTH:
		return run.Failf("the query may only read the database of connection %s: it cannot attach another, change a setting, or write", d.at.Name)
	case lib.SQLITE_TOOBIG:
		return run.Failf("the database of connection %s has a value, or a row that is sorted, of more than %d MiB; leave its column out of the query, or cut it with substr", d.at.Name, maxCell>>20)
	case lib.SQLITE_SCHEMA:
		return run.Passingf("a table in connection %s was changed during the run", d.at.Name)
	}
	return run.Failf("the database of connection %s refused (SQLite result code %d)", d.at.Name, known.Code())
}

func (sqliteDialect) fault(err error, t *table) *row.Fault {
	known, ok := errors.AsType[*sqlite.Error](err)
	if !ok {
		return nil
	}
	if fault := brokenRule(known.Code(), t); fault != nil {
		return fault.Saying(known.Error())
	}
	return nil
}

// brokenRule says which kind of rule of the table a row broke, nil for any other result code.
func brokenRule(code int, t *table) *row.Fault {
	switch code {
	case lib.SQLITE_CONSTRAINT_PRIMARYKEY, lib.SQLITE_CONSTRAINT_ROWID:
		return row.Faultf(strings.Join(t.primaryKey(), ", "), "breaks a uniqueness rule")
	case lib.SQLITE_CONSTRAINT_UNIQUE:
		return row.Faultf(t.onlyUnique(), "breaks a uniqueness rule")
	case lib.SQLITE_CONSTRAINT_NOTNULL:
		return row.Faultf("", "must not be empty in every column that needs a value")
	case lib.SQLITE_CONSTRAINT_FOREIGNKEY:
		return row.Faultf("", "refers to a row of another table that does not exist, or is referred to by one")
	case lib.SQLITE_CONSTRAINT_CHECK:
		return row.Faultf("", "breaks a check rule of the table")
	case lib.SQLITE_CONSTRAINT_TRIGGER:
		return row.Faultf("", "is refused by a trigger of the table")
	case lib.SQLITE_CONSTRAINT_DATATYPE, lib.SQLITE_MISMATCH:
		return row.Faultf("", "has a value of the wrong type")
	case lib.SQLITE_TOOBIG:
		return row.Faultf("", "is too long")
	}
	if code&0xff == lib.SQLITE_CONSTRAINT {
		return row.Faultf("", "breaks a rule of the table")
	}
	return nil
}

func (sqliteDialect) words(err error) string {
	known, ok := errors.AsType[*sqlite.Error](err)
	if !ok || primary(err) != lib.SQLITE_ERROR {
		return ""
	}
	words := strings.TrimPrefix(known.Error(), "SQL logic error: ")
	return strings.TrimSuffix(words, " ("+strconv.Itoa(known.Code())+")")
}

func (sqliteDialect) busy(err error) bool { return primary(err) == lib.SQLITE_BUSY }
