package sqldb

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/stdlib"

	"runhook/services/runner/check"
	"runhook/services/runner/connection"
	"runhook/services/runner/connector"
	"runhook/services/runner/row"
	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/watermark"
)

// postgresDialect is a PostgreSQL database, from version 12 on.
type postgresDialect struct {
	at connection.Database
	// temporary: tables are made in the connection's own temporary schema, and go with it.
	temporary bool
}

const (
	// connectWait is how long a server may take to answer.
	connectWait = 10 * time.Second
	// cancelWait is how long a statement may go on after its end was asked for, until its connection is cut.
	cancelWait = 5 * time.Second
)

// find leaves it to open whether the server answers: no run makes a database of one.
func (postgresDialect) find(bool) (bool, error) { return true, nil }

func (d postgresDialect) open(ctx context.Context, to use) (*sql.DB, error) {
	config, err := pgx.ParseConfig(d.at.Postgres)
	if err != nil {
		return nil, run.Failf("the address of connection %s cannot be used; correct it, the files that its sslrootcert, sslcert, sslkey and passfile name, or the runner's variables that begin with PG", d.at.Name)
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectWait
	}
	config.BuildContextWatcherHandler = func(conn *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.CancelRequestContextWatcherHandler{Conn: conn, DeadlineDelay: cancelWait}
	}
	if to == toRead {
		config.BuildFrontend = func(r io.Reader, w io.Writer) *pgproto3.Frontend {
			frontend := pgproto3.NewFrontend(r, w)
			frontend.SetMaxBodyLen(maxCell)
			return frontend
		}
	}
	begin := settings
	given := config.RuntimeParams
	if given["application_name"] == "" {
		given["application_name"] = "runhook"
	}
	if given["lock_timeout"] == "" {
		longest := lockWait
		if to == toForget {
			longest = forgetWait
		}
		begin += "; SET lock_timeout = " + strconv.FormatInt(longest.Milliseconds(), 10)
	}
	db := stdlib.OpenDB(*config, stdlib.OptionAfterConnect(func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.PgConn().Exec(ctx, begin).ReadAll()
		return err
	}))
	db.SetMaxOpenConns(1)
	if err := db.PingContext(ctx); err != nil {
		db.Close()
		return nil, explain(ctx, d, err)
	}
	return db, nil
}

// settings are those that the forms of values depend on, and how soon a runner that is gone is noticed.
const settings = "SET client_encoding = 'UTF8'; SET datestyle = 'ISO'; SET intervalstyle = 'iso_8601'; SET extra_float_digits = 1; SET bytea_output = 'hex'; SET standard_conforming_strings = on; " +
	"SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3"

// interrupter has nothing to do: the driver ends a statement with its context.
func (postgresDialect) interrupter(context.Context, *sql.DB) (func(), error) { return func() {}, nil }

// checkRights leaves it to the table's own rights.
func (postgresDialect) checkRights(bool, *check.Report) {}

// reads has all that a source reads be of one moment.
func (postgresDialect) reads() string { return "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY" }

func (d postgresDialect) scratched() dialect { d.temporary = true; return d }

func (postgresDialect) quote(name string) string {
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

// place takes what is before the first dot for the schema.
func (d postgresDialect) place(table string) string {
	schema, name, found := strings.Cut(table, ".")
	switch {
	case !found && d.temporary:
		return "pg_temp." + d.quote(table)
	case !found:
		return d.quote(table)
	case d.temporary:
		return "pg_temp." + d.quote(name)
	}
	return d.quote(schema) + "." + d.quote(name)
}

// longestName is what a server is built with; a longer one it cuts.
func (postgresDialect) longestName() int { return 63 }

func (postgresDialect) parameter(n int) string { return "$" + strconv.Itoa(n) }

// parameterMark stands for a parameter in a query until its surroundings are known. It is a letter of no script.
const parameterMark = "\U0010FFFD"

// askedForNull is a parameter of which a query asks whether it has a value, which says nothing of its type.
var askedForNull = regexp.MustCompile("(?i)" + parameterMark + `(\s+is\s+(not\s+)?null\b)`)

// cut makes each place of a parameter one of its own, because each has the type that it is used with there.
func (d postgresDialect) cut(query string) (text string, names []string, err error) {
	if strings.Contains(query, parameterMark) {
		return "", nil, errors.New("there is a letter of no script in it")
	}
	var places []int
	text, all, err := task.CutQuery(query, func(n int) string {
		places = append(places, n)
		return parameterMark
	})
	if err != nil {
		return "", nil, err
	}
	text = askedForNull.ReplaceAllString(text, parameterMark+"::text$1")
	for i, n := range places {
		names = append(names, all[n-1])
		text = strings.Replace(text, parameterMark, d.parameter(i+1), 1)
	}
	return text, names, nil
}

func (d postgresDialect) inOrder(n int) string { return d.parameter(n) }

func (postgresDialect) begin() []string {
	return []string{"BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"}
}

// waits leaves it to lock_timeout: a statement that waited for too long ends its transaction.
func (postgresDialect) waits(time.Duration) string { return "" }

func (postgresDialect) locks(context.Context, session) (bool, error) { return false, nil }

func (postgresDialect) settles() string { return "" }

func (postgresDialect) commit(ctx context.Context, conn *sql.Conn) error {
	err := conn.Raw(func(raw any) error {
		on, ok := raw.(*stdlib.Conn)
		if !ok {
			return errDriver
		}
		tag, err := on.Conn().Exec(ctx, "COMMIT")
		if err == nil && tag.String() != "COMMIT" {
			err = errGivenUp
		}
		return err
	})
	if err != nil {
		return commitError{err}
	}
	return nil
}

func (postgresDialect) unclear(err error) bool {
	failed, ok := errors.AsType[commitError](err)
	if !ok || errors.Is(failed.error, errGivenUp) {
		return false
	}
	known := serverError(failed.error)
	return known == nil || known.Code[:2] == "57" || known.Code[:2] == "08" || known.Code[:2] == "XX"
}

func (postgresDialect) again(err error) bool {
	known := serverError(err)
	return known != nil && (known.Code == "40001" || known.Code == "40P01")
}

func (postgresDialect) busy(err error) bool {
	if _, atCommit := errors.AsType[commitError](err); atCommit {
		return false
	}
	known := serverError(err)
	return known != nil && slices.Contains([]string{"55P03", "40001", "40P01"}, known.Code)
}

// serverError is an error that the server has told; nil for any other.
func serverError(err error) *pgconn.PgError {
	if failed, ok := errors.AsType[commitError](err); ok {
		err = failed.error
	}
	if known, ok := errors.AsType[*pgconn.PgError](err); ok && len(known.Code) == 5 {
		return known
	}
	return nil
}

// missingOnly, equals and differs are parts of statements for single rows, which this dialect has none of.
func (postgresDialect) missingOnly(insert, key string) string {
	return insert + " ON CONFLICT (" + key + ") DO NOTHING"
}

func (postgresDialect) equals(column, parameter, collation string) string {
	if collation != "" {
		parameter += " COLLATE " + collation
	}
	return column + " = " + parameter
}

func (postgresDialect) differs(column, parameter string) string {
	return column + " IS DISTINCT FROM " + parameter
}

func (postgresDialect) described(_ context.Context, _ session, query string) (string, error) {
	return within(query), nil
}

func (postgresDialect) keepsOrder() bool { return true }

func (postgresDialect) creates(place string) (begin, end string) {
	return "CREATE TABLE IF NOT EXISTS " + place, ""
}

func (postgresDialect) compares(declared string) (single, moments bool) {
	switch strings.TrimPrefix(declared, postgresMark) {
	case "float4":
		return true, false
	case "date", "timestamp", "timestamptz":
		return false, true
	}
	return false, false
}

func (postgresDialect) writeMoment(_ string, value watermark.Value) string { return value.String() }

func (postgresDialect) nullsLast() bool { return true }

func (postgresDialect) behind(rows int64) string { return " offset " + strconv.FormatInt(rows, 10) }

// aside has nothing to copy: who reads keeps nobody from writing.
func (postgresDialect) aside(context.Context, session, int, string, []any) (string, error) {
	return "", nil
}

func (postgresDialect) stored(column string) string { return column }

func (postgresDialect) checkpoints() checkpointSQL {
	const key = ` WHERE store = $1 AND task = $2 AND run = $3`
	return checkpointSQL{
		make: `CREATE TABLE ` + checkpointTable +
			` (store text NOT NULL, task text NOT NULL, run bigint NOT NULL, token bigint NOT NULL, state text NOT NULL, PRIMARY KEY (store, task, run))`,
		raise: `INSERT INTO ` + checkpointTable + ` AS c (store, task, run, token, state) VALUES ($1, $2, $3, $4, '')` +
			` ON CONFLICT (store, task, run) DO UPDATE SET token = excluded.token WHERE c.token <= excluded.token`,
		read:   `SELECT token, state FROM ` + checkpointTable + key,
		write:  `UPDATE ` + checkpointTable + ` SET state = $5` + key + ` AND token = $4`,
		remove: `DELETE FROM ` + checkpointTable + key + ` AND token = $4`,
		settle: `SELECT token, state FROM ` + checkpointTable + key + ` FOR UPDATE`,
	}
}

// makeCheckpoints asks first: to make a table that is there takes rights that an account may not have.
func (d postgresDialect) makeCheckpoints(ctx context.Context, conn *sql.Conn) error {
	var there bool
	find := func() error {
		return conn.QueryRowContext(ctx, `SELECT to_regclass($1) IS NOT NULL`, checkpointTable).Scan(&there)
	}
	if err := find(); err != nil || there {
		return err
	}
	if err := execute(ctx, conn, "SAVEPOINT checkpoints"); err != nil {
		return err
	}
	made := execute(ctx, conn, d.checkpoints().make)
	if made == nil {
		return execute(ctx, conn, "RELEASE SAVEPOINT checkpoints")
	}
	if err := execute(ctx, conn, "ROLLBACK TO SAVEPOINT checkpoints"); err != nil {
		return err
	}
	if err := find(); err != nil || there { // another run was quicker
		return err
	}
	return made
}

func (postgresDialect) repeated(name string, earlier []string) (first string, again bool) {
	return name, slices.Contains(earlier, name)
}

func (postgresDialect) tables() string {
	return `SELECT CASE WHEN pg_table_is_visible(c.oid) THEN c.relname ELSE n.nspname || '.' || c.relname END
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind IN ('r', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') ORDER BY 1`
}

func (d postgresDialect) relation(ctx context.Context, conn *sql.Conn, name string) (*relation, error) {
	schema, table, qualified := strings.Cut(name, ".")
	if !qualified {
		schema, table = "", name
	}
	var r relation
	var id, namespace, made string
	var rules bool
	err := conn.QueryRowContext(ctx, `SELECT c.oid::text, n.nspname, c.relname, c.relkind::text, c.relrowsecurity,
			EXISTS (SELECT FROM pg_rewrite w WHERE w.ev_class = c.oid AND c.relkind IN ('r', 'p')),
			array_to_string(ARRAY(SELECT right_ FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) WITH ORDINALITY AS u(right_, n)
				WHERE NOT has_table_privilege(c.oid, right_) AND (right_ = 'DELETE' OR NOT has_any_column_privilege(c.oid, right_)) ORDER BY n), ' ')
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND lower(c.relname) = lower($1)
			AND CASE WHEN $3 THEN c.relnamespace = pg_my_temp_schema() WHEN $2 = '' THEN pg_table_is_visible(c.oid) ELSE lower(n.nspname) = lower($2) END
		ORDER BY c.relname = $1 DESC, n.nspname = $2 DESC, c.relname = lower($1) DESC, c.relname, n.nspname LIMIT 1`, table, schema, d.temporary).
		Scan(&id, &namespace, &r.name, &made, &r.guarded, &rules, scanned(&r.lacks))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	r.sql = d.quote(namespace) + "." + d.quote(r.name)
	if qualified && !d.temporary {
		r.name = namespace + "." + r.name
	}
	switch {
	case made == "v" || made == "m":
		r.odd = "is a view; name a table"
	case made == "f":
		r.odd = "is a foreign table; name one of the database itself"
	case rules:
		r.odd = "has rewrite rules, which make other statements of those that write rows; name a table without"
	}
	if r.odd != "" {
		return &r, nil
	}
	if err := d.columns(ctx, conn, &r, id); err != nil {
		return nil, err
	}
	if err := d.indexes(ctx, conn, &r, id); err != nil {
		return nil, err
	}
	// Of partitions, and of tables that inherit from this one, too.
	err = conn.QueryRowContext(ctx, `WITH RECURSIVE all_of(id) AS (SELECT $1::oid UNION SELECT i.inhrelid FROM pg_inherits i JOIN all_of a ON i.inhparent = a.id)
		SELECT EXISTS (SELECT FROM pg_trigger t JOIN all_of a ON t.tgrelid = a.id WHERE NOT t.tgisinternal AND t.tgenabled IN ('O', 'A')),
			EXISTS (SELECT FROM pg_trigger t JOIN all_of a ON t.tgrelid = a.id WHERE t.tgdeferrable)`, id).Scan(&r.triggers, &r.deferred)
	// Without a primary key a row can be found again only where it was put.
	r.numbered, r.identity = made == "r", "ctid"
	return &r, err
}

// scanned reads words with spaces between.
func scanned(into *[]string) sql.Scanner { return wordScanner{into} }

type wordScanner struct{ into *[]string }

func (s wordScanner) Scan(value any) error {
	text, _ := value.(string)
	*s.into = strings.Fields(text)
	return nil
}

func (d postgresDialect) columns(ctx context.Context, conn *sql.Conn, r *relation, id string) error {
	// The type of a domain is the one that it is over, with what is said of its length there.
	rows, err := conn.QueryContext(ctx, `WITH RECURSIVE base AS (
			SELECT a.attnum, t.oid, t.typtype, t.typname, t.typnamespace, t.typcategory, t.typbasetype, t.typnotnull AS filled, CASE WHEN t.typtype = 'd' THEN t.typtypmod ELSE a.atttypmod END AS mod
			FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped
		UNION ALL
			SELECT b.attnum, t.oid, t.typtype, t.typname, t.typnamespace, t.typcategory, t.typbasetype, b.filled OR t.typnotnull, CASE WHEN t.typtype = 'd' AND b.mod = -1 THEN t.typtypmod ELSE b.mod END
			FROM base b JOIN pg_type t ON b.typtype = 'd' AND t.oid = b.typbasetype
		)
		SELECT a.attname, format_type(a.atttypid, a.atttypmod), format_type(b.oid, -1), CASE WHEN b.typnamespace = 'pg_catalog'::regnamespace OR b.typname = 'citext' THEN b.typname ELSE '' END, b.mod,
			a.attnotnull OR b.filled, a.atthasdef, a.attidentity::text, a.attgenerated <> '',
			coalesce((SELECT array_position(i.indkey::int2[], a.attnum) + 1 FROM pg_index i WHERE i.indrelid = a.attrelid AND i.indisprimary), 0),
			coalesce((SELECT quote_ident(n.nspname) || '.' || quote_ident(c.collname) FROM pg_collation c JOIN pg_namespace n ON n.oid = c.collnamespace WHERE c.oid = a.attcollation), '')
		FROM pg_attribute a JOIN base b ON b.attnum = a.attnum AND b.typtype <> 'd'
		WHERE a.attrelid = $1::oid ORDER BY a.attnum`, id)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var c tableColumn
		var base, identity string
		var mod int
		var byDefault bool
		if err := rows.Scan(&c.name, &c.declared, &c.cast, &base, &mod, &c.notNull, &byDefault, &identity, &c.computed, &c.inKey, &c.collation); err != nil {
			return err
		}
		c.exact = c.declared
		c.declared = postgresMark + c.declared
		c.numbered = identity == "a"
		c.kind, c.storage = typeOf(base, mod)
		c.plain = plainTypes[base]
		c.required = c.notNull && !byDefault && identity == "" && !c.computed
		r.columns = append(r.columns, c)
	}
	return rows.Err()
}

// indexes reads the unique indexes, the primary key first. One that is partial, over an expression, or checked only at
// a commit identifies no row.
func (d postgresDialect) indexes(ctx context.Context, conn *sql.Conn, r *relation, id string) error {
	rows, err := conn.QueryContext(ctx, `SELECT c.relname, a.attname, coalesce(quote_ident(n.nspname) || '.' || quote_ident(l.collname), ''), i.indimmediate AND i.indisvalid AND i.indpred IS NULL
		FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
			CROSS JOIN LATERAL generate_series(0, i.indnkeyatts - 1) AS k(n)
			JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[k.n]
			LEFT JOIN pg_collation l ON l.oid = i.indcollation[k.n] LEFT JOIN pg_namespace n ON n.oid = l.collnamespace
		WHERE i.indrelid = $1::oid AND i.indisunique AND i.indexprs IS NULL
		ORDER BY i.indisprimary DESC, c.relname, k.n`, id)
	if err != nil {
		return err
	}
	defer rows.Close()
	last := ""
	for rows.Next() {
		var name, column, collation string
		var identifies bool
		if err := rows.Scan(&name, &column, &collation, &identifies); err != nil {
			return err
		}
		into := &r.unique
		if !identifies {
			into = &r.others
		}
		if name != last {
			*into = append(*into, uniqueIndex{name: name})
			last = name
		}
		x := &(*into)[len(*into)-1]
		x.columns, x.collations = append(x.columns, column), append(x.collations, collation)
	}
	return rows.Err()
}

func (d postgresDialect) failure(err error) error {
	name := d.at.Name
	var refused *pgconn.ConnectError
	known := serverError(err)
	switch {
	case errors.As(err, new(*pgproto3.ExceededMaxBodyLenErr)):
		return run.Failf("the query of connection %s gives a row of more than %d MiB; leave a column out of the query, or cut it with substr", name, maxCell>>20)
	case known == nil && errors.Is(err, errGivenUp):
		return run.Passingf("the database of connection %s gave a transaction up", name)
	case known == nil && errors.As(err, &refused):
		return run.Passingf("the server of connection %s does not answer, or not as its address says; start it, or correct the host, the port, sslmode or sslrootcert", name)
	case known == nil && errors.Is(err, errDriver):
		return run.Failf("the database of connection %s cannot be used; the driver refused", name)
	case known == nil:
		return run.Passingf("the connection to the server of connection %s was lost", name)
	}
	return d.told(known)
}

// told is the failure of an error that the server has told: its code, and names, which are no values.
func (d postgresDialect) told(known *pgconn.PgError) error {
	name, code := d.at.Name, known.Code
	switch code {
	case "28P01", "28000":
		return run.Failf("the server of connection %s refuses the user, the password or the kind of connection; correct them (SQLSTATE %s)", name, code)
	case "3D000":
		return run.Failf("the database of connection %s does not exist; correct the name behind the host, or make it (SQLSTATE %s)", name, code)
	case "3F000":
		return run.Failf("the schema that the table is named with, or that search_path names, does not exist in connection %s (SQLSTATE %s)", name, code)
	case "53300":
		return run.Passingf("the server of connection %s takes no more connections; raise max_connections there, or give the runner fewer --slots (SQLSTATE %s)", name, code)
	case "53100":
		return run.Passingf("the disk of the server of connection %s is full (SQLSTATE %s)", name, code)
	case "55P03":
		return run.Passingf("a row or a table of connection %s was locked by another writer for longer than lock_timeout, a minute unless its address says another; end that one (SQLSTATE %s)", name, code)
	case "40001", "40P01":
		return run.Passingf("other writers of the database of connection %s kept the rows from being written; all of the batch was tried again for a minute (SQLSTATE %s)", name, code)
	case "57014":
		return run.Passingf("a statement took longer than the statement_timeout of connection %s, or was canceled at the server (SQLSTATE %s)", name, code)
	case "25006":
		return run.Passingf("the database of connection %s takes nothing that writes: a query may only read, and a replica is not written to (SQLSTATE %s)", name, code)
	case "42501":
		return run.Failf("the account of connection %s may not do this; grant it the rights on the table, or on the schema to create it (SQLSTATE %s)", name, code)
	case "42704", "42883", "42P01", "42703":
		return run.Failf("a table, a column, a type or a function in connection %s was changed during the run, or is not there (SQLSTATE %s)", name, code)
	case "0A000":
		return run.Passingf("a table in connection %s was changed during the run, or cannot be written in this way (SQLSTATE %s)", name, code)
	}
	switch code[:2] {
	case "08", "57":
		return run.Passingf("the server of connection %s is being stopped, or ended the connection (SQLSTATE %s)", name, code)
	case "53":
		return run.Passingf("the server of connection %s has no resources left (SQLSTATE %s)", name, code)
	case "22":
		return run.Failf("the query of connection %s, or a parameter in it, has a value that does not fit where it is used (SQLSTATE %s)", name, code)
	case "XX":
		return run.Failf("the database of connection %s is damaged or its server fails (SQLSTATE %s)", name, code)
	}
	return run.Failf("the database of connection %s refused (SQLSTATE %s)", name, code)
}

// standardClasses are the classes of error codes that the server has itself. A trigger may raise others.
const standardClasses = "00 01 02 03 08 09 0A 0B 0F 0L 0P 0Z 10 20 21 22 23 24 25 26 27 28 2B 2D 2F 34 38 39 3B 3D 3F 40 42 44 53 54 55 57 58 72 F0 HV P0 XX"

func (d postgresDialect) fault(err error, t *table) *row.Fault {
	known := serverError(err)
	if known == nil {
		return nil
	}
	fault := d.brokenRule(known, t)
	if fault == nil {
		return nil
	}
	fault.Message += " (SQLSTATE " + known.Code + ")"
	return fault.Saying(known.Message)
}

// brokenRule says which rule of the table a row broke, nil for any other error.
func (d postgresDialect) brokenRule(known *pgconn.PgError, t *table) *row.Fault {
	rule := ""
	if known.ConstraintName != "" {
		rule = " " + known.ConstraintName
	}
	switch known.Code {
	case "23505":
		column := ""
		for _, index := range slices.Concat(t.unique, t.others) {
			if index.name == known.ConstraintName {
				column = strings.Join(index.columns, ", ")
			}
		}
		return row.Faultf(column, "breaks a uniqueness rule")
	case "23502":
		return row.Faultf(known.ColumnName, "must not be empty")
	case "23503", "23001":
		return row.Faultf("", "refers to a row of another table that does not exist, or is referred to by one:%s", rule)
	case "23514":
		return row.Faultf("", "breaks a check rule of the table:%s", rule)
	case "23P01":
		return row.Faultf("", "breaks an exclusion rule of the table:%s", rule)
	case "22001", "22026":
		return row.Faultf("", "has a text that is too long")
	case "22003":
		return row.Faultf("", "has a number that is too large")
	case "42501":
		if t.guarded {
			return row.Faultf("", "is refused by a row security policy of the table")
		}
	}
	switch class := known.Code[:2]; {
	case class == "22":
		return row.Faultf("", "has a value of the wrong type")
	case class == "23", class == "44":
		return row.Faultf("", "breaks a rule of the table")
	case class == "54":
		return row.Faultf("", "is too large for the table or an index of it")
	case class == "P0", t.triggers && !strings.Contains(standardClasses, class):
		return row.Faultf("", "is refused by a trigger of the table")
	}
	return nil
}

func (postgresDialect) words(err error) string {
	known := serverError(err)
	if known == nil || known.Code[:2] != "42" && known.Code != "25006" && known.Code != "0A000" && known.Code != "3F000" {
		return ""
	}
	return known.Message + " (SQLSTATE " + known.Code + ")"
}

func (d postgresDialect) sets(t *table, action task.Action) (sets, bool) {
	w := postgresWriter{d, t}
	s := sets{bind: w.bind}
	if t.deferred || t.triggers { // which may write to tables that have such rules
		s.settle = "SET CONSTRAINTS ALL IMMEDIATE"
	}
	if t.uniqueKey {
		s.open = byIndex
	}
	if action != task.Insert {
		s.look, s.few = w.look(action, false), t.uniqueKey
		if s.distinct = w.distinct(); s.distinct != nil {
			s.apart = w.look(action, true)
		}
	}
	switch action {
	case task.Insert:
		s.identify = t.triggers
		s.insert = w.insert(s.identify)
		s.named = w.named
		if !t.triggers && !t.guarded {
			s.put, s.begins = (&postgresCopy{w: w}).put, true
		}
	case task.Upsert:
		s.insert, s.update = w.insert(false)+" ON CONFLICT ("+strings.Join(w.key(), ", ")+") DO NOTHING", w.update()
	case task.Update:
		s.update = w.update()
	case task.Delete:
		s.remove = w.remove()
	}
	if t.triggers {
		s.held = w.held(action)
	}
	return s, true
}

// byIndex has the server find the rows of a batch by the key's index, from the first batch on: while it plans each of the
// first ones anew, it may read all of a large table for each.
func byIndex(ctx context.Context, conn *sql.Conn) error {
	return execute(ctx, conn, "SET plan_cache_mode = force_generic_plan")
}

// postgresWriter makes the statements that write rows to a table. They take a list for each column, of texts or of
// bytes.
type postgresWriter struct {
	d postgresDialect
	t *table
}

// postgresCopy inserts rows by COPY, which costs the server half of what a statement does. It takes them if nothing is to
// be known of each, and no policy is to be asked for it.
type postgresCopy struct {
	w postgresWriter
	// text is the memory of what is sent.
	text []byte
}

func (c *postgresCopy) put(ctx context.Context, conn *sql.Conn, begin bool, rows []*row.Row) (inserted int64, err error) {
	var names []string
	for _, column := range c.w.t.target {
		names = append(names, c.w.d.quote(column.name))
	}
	statement := "COPY " + c.w.t.sql + " (" + strings.Join(names, ", ") + ") FROM STDIN"
	if begin {
		statement = strings.Join(append(c.w.d.begin(), statement), "; ")
	}
	err = conn.Raw(func(raw any) error {
		on, ok := raw.(*stdlib.Conn)
		if !ok {
			return errDriver
		}
		text := &copyText{rows: rows, text: c.text[:0]}
		defer func() { c.text = text.end() }()
		tag, err := on.Conn().PgConn().CopyFrom(ctx, text, statement)
		inserted = tag.RowsAffected()
		return err
	})
	return inserted, err
}

// copyText is rows as COPY reads them. They are written as they are read, so that the server is at the first while
// the others are written. Where the connection breaks, the driver may still read when it has returned, until end.
type copyText struct {
	mu   sync.Mutex
	rows []*row.Row
	// text is what was written, of which all before at was read.
	text []byte
	at   int
}

// end returns the memory of the text.
func (c *copyText) end() (memory []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	memory, c.rows, c.text, c.at = c.text, nil, nil, 0
	return memory
}

func (c *copyText) Read(into []byte) (n int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.at > 0 {
		c.text, c.at = c.text[:copy(c.text, c.text[c.at:])], 0
	}
	for len(c.text) < len(into) && len(c.rows) > 0 {
		for i, value := range c.rows[0].Values {
			if i > 0 {
				c.text = append(c.text, '\t')
			}
			c.text = appendCopied(c.text, value)
		}
		c.text, c.rows = append(c.text, '\n'), c.rows[1:]
	}
	if len(c.text) == 0 {
		return 0, io.EOF
	}
	c.at = copy(into, c.text)
	return c.at, nil
}

// appendCopied appends a value as COPY reads it.
func appendCopied(to []byte, value any) []byte {
	switch v := value.(type) {
	case nil:
		return append(to, `\N`...)
	case int64:
		return strconv.AppendInt(to, v, 10)
	case []byte:
		return hex.AppendEncode(append(to, `\\x`...), v)
	}
	text := boundText(value)
	from := 0
	for i := range len(text) {
		letter := text[i] // one that COPY takes for more than itself
		switch letter {
		default:
			continue
		case '\t':
			letter = 't'
		case '\n':
			letter = 'n'
		case '\r':
			letter = 'r'
		case '\\':
		}
		to = append(append(to, text[from:i]...), '\\', letter)
		from = i + 1
	}
	return append(to, text[from:]...)
}

func isBytes(c tableColumn) bool { return c.cast == "bytea" }

// given are the rows of a statement, as the table t with the columns c0, c1, … and n. more are lists behind them,
// of texts, named i0, i1, ….
func (w postgresWriter) given(more []string) string {
	var lists, names, columns []string
	for i, c := range w.t.target {
		name, list := "c"+strconv.Itoa(i), "text[]"
		column := "u." + name + "::" + c.cast
		if isBytes(c) {
			list = "bytea[]"
		}
		lists, names, columns = append(lists, w.d.parameter(i+1)+"::"+list), append(names, name), append(columns, column+" AS "+name)
	}
	for i, cast := range more {
		name := "i" + strconv.Itoa(i)
		lists, names = append(lists, w.d.parameter(len(w.t.target)+i+1)+"::text[]"), append(names, name)
		columns = append(columns, "u."+name+"::"+cast+" AS "+name)
	}
	return "(SELECT u.n, " + strings.Join(columns, ", ") + " FROM unnest(" + strings.Join(lists, ", ") + ") WITH ORDINALITY AS u(" + strings.Join(names, ", ") + ", n)) AS t"
}

func (w postgresWriter) key() []string {
	var names []string
	for _, at := range w.t.key {
		names = append(names, w.d.quote(w.t.target[at].name))
	}
	return names
}

// keyPart is a value of the key in t, as the key's index compares.
func (w postgresWriter) keyPart(place int) string {
	at := w.t.key[place]
	part := "t.c" + strconv.Itoa(at)
	collation := w.t.target[at].collation
	if w.t.collations != nil {
		collation = w.t.collations[place]
	}
	if collation != "" {
		part += " COLLATE " + collation
	}
	return part
}

// sameKey is the condition that a row x of the table has the key of t.
func (w postgresWriter) sameKey() string {
	var equal []string
	for place, at := range w.t.key {
		equal = append(equal, "x."+w.d.quote(w.t.target[at].name)+" = "+w.keyPart(place))
	}
	return strings.Join(equal, " AND ")
}

// keyParts are the values of the key in t.
func (w postgresWriter) keyParts() string {
	var parts []string
	for place := range w.t.key {
		parts = append(parts, w.keyPart(place))
	}
	return strings.Join(parts, ", ")
}

// differs is the condition that a column of x has another value than t. What has no equality, or calls two values
// equal that are not the same, is compared by its text.
func (w postgresWriter) differs(at int) string {
	c := w.t.target[at]
	have, value := "x."+w.d.quote(c.name), "t.c"+strconv.Itoa(at)
	switch {
	case c.collation != "":
		return have + `::text COLLATE "C" IS DISTINCT FROM ` + value + `::text COLLATE "C"`
	case c.plain:
		return have + " IS DISTINCT FROM " + value
	}
	return have + `::text COLLATE "C" IS DISTINCT FROM ` + value + "::" + c.exact + `::text COLLATE "C"`
}

// anyDiffers is the condition that a column beside the key differs; empty if there is none.
func (w postgresWriter) anyDiffers() string {
	var differs []string
	for i := range w.t.target {
		if !slices.Contains(w.t.key, i) {
			differs = append(differs, w.differs(i))
		}
	}
	return strings.Join(differs, " OR ")
}

// distinct tells of rows whether no two have one key, where that can be told without the server; nil elsewhere.
func (w postgresWriter) distinct() func(rows []*row.Row) bool {
	if !w.t.uniqueKey || len(w.t.key) != 1 || w.t.target[w.t.key[0]].kind != integerKind {
		return nil
	}
	at := w.t.key[0]
	var keys []int64
	return func(rows []*row.Row) bool {
		keys = keys[:0]
		for _, r := range rows {
			key, whole := r.Values[at].(int64)
			if !whole {
				return false
			}
			keys = append(keys, key)
		}
		slices.Sort(keys)
		return len(slices.Compact(keys)) == len(rows)
	}
}

// look is the statement of sets.look, or, if the rows have keys that differ, of sets.apart.
func (w postgresWriter) look(action task.Action, apart bool) string {
	differs := w.anyDiffers()
	if action == task.Delete || differs == "" {
		differs = "false"
	}
	earlier, before := "(SELECT t.*, lag(t.n) OVER (PARTITION BY "+w.keyParts()+" ORDER BY t.n) AS earlier FROM "+w.given(nil)+") AS t", "coalesce(t.earlier, 0)"
	if apart {
		earlier, before = w.given(nil), "0"
	}
	first := "x." + w.key()[0]
	if w.t.uniqueKey {
		return "SELECT q.n, q.earlier, q.has FROM (SELECT t.n, " + before + " AS earlier, CASE WHEN " + first + " IS NULL THEN 0 WHEN " + differs + " THEN 2 ELSE 1 END AS has FROM " +
			earlier + " LEFT JOIN " + w.t.sql + " AS x ON " + w.sameKey() + ") AS q WHERE q.earlier > 0 OR q.has <> 1 ORDER BY q.n"
	}
	return "SELECT t.n, coalesce(min(t.earlier), 0), max(CASE WHEN " + first + " IS NULL THEN 0 WHEN " + differs + " THEN 2 ELSE 1 END) FROM " +
		earlier + " LEFT JOIN " + w.t.sql + " AS x ON " + w.sameKey() + " GROUP BY t.n ORDER BY t.n"
}

func (w postgresWriter) insert(identify bool) string {
	var names, values []string
	overriding := ""
	for i, c := range w.t.target {
		names, values = append(names, w.d.quote(c.name)), append(values, "t.c"+strconv.Itoa(i))
		if c.numbered {
			overriding = " OVERRIDING SYSTEM VALUE"
		}
	}
	returning := ""
	if identify {
		var parts []string
		for _, part := range w.identity() {
			parts = append(parts, part.column+"::text")
		}
		returning = " RETURNING " + strings.Join(parts, ", ")
	}
	return "INSERT INTO " + w.t.sql + " (" + strings.Join(names, ", ") + ")" + overriding + " SELECT " + strings.Join(values, ", ") + " FROM " + w.given(nil) + " ORDER BY t.n" + returning
}

// identityPart is a part of what tells a row of the table from all others.
type identityPart struct{ column, cast string }

// identity is the primary key, or where the row is.
func (w postgresWriter) identity() (parts []identityPart) {
	for _, c := range w.t.columns {
		if c.inKey > 0 {
			parts = append(parts, identityPart{w.d.quote(c.name), c.cast})
		}
	}
	if parts == nil {
		parts = []identityPart{{w.t.identity, "tid"}}
	}
	return parts
}

// named makes lists of what insert has returned.
func (w postgresWriter) named(identities [][]string) []any {
	lists := make([]any, len(w.identity()))
	for i := range lists {
		list := make([]string, len(identities))
		for n, identity := range identities {
			list[n] = identity[i]
		}
		lists[i] = list
	}
	return lists
}

func (w postgresWriter) update() string {
	differs := w.anyDiffers()
	if differs == "" {
		return ""
	}
	var set []string
	for i, c := range w.t.target {
		if !slices.Contains(w.t.key, i) {
			set = append(set, w.d.quote(c.name)+" = t.c"+strconv.Itoa(i))
		}
	}
	return "UPDATE " + w.t.sql + " AS x SET " + strings.Join(set, ", ") + " FROM " + w.given(nil) + " WHERE " + w.sameKey() + " AND (" + differs + ") RETURNING t.n"
}

func (w postgresWriter) remove() string {
	return "DELETE FROM " + w.t.sql + " AS x USING " + w.given(nil) + " WHERE " + w.sameKey() + " RETURNING t.n"
}

func (w postgresWriter) held(action task.Action) string {
	given, found := w.given(nil), "x."
	condition := ""
	if action == task.Insert {
		var casts []string
		for i, part := range w.identity() {
			casts = append(casts, part.cast)
			if condition += "x." + part.column + " = t.i" + strconv.Itoa(i); i < len(w.identity())-1 {
				condition += " AND "
			}
		}
		given = w.given(casts)
		found += w.identity()[0].column
	} else {
		condition = w.sameKey()
		found += w.key()[0]
		if action != task.Delete {
			given = "(SELECT t.* FROM (SELECT t.*, row_number() OVER (PARTITION BY " + w.keyParts() + " ORDER BY t.n DESC) AS later FROM " + given + ") AS t WHERE t.later = 1) AS t"
		}
	}
	columns := []string{"t.n", "bool_or(" + found + " IS NOT NULL)"}
	for i, c := range w.t.target {
		differs := w.differs(i)
		switch {
		case action == task.Delete, action != task.Insert && slices.Contains(w.t.key, i):
			differs = "false"
		case c.inKey > 0:
			differs += " AND t.c" + strconv.Itoa(i) + " IS NOT NULL"
		}
		columns = append(columns, "bool_or("+found+" IS NOT NULL AND ("+differs+"))")
	}
	return "SELECT " + strings.Join(columns, ", ") + " FROM " + given + " LEFT JOIN " + w.t.sql + " AS x ON " + condition + " GROUP BY t.n ORDER BY t.n"
}

// bind makes lists of the columns' values.
func (w postgresWriter) bind(rows []*row.Row) []any {
	lists := make([]any, len(w.t.target))
	for i := range lists {
		lists[i] = list{rows: rows, at: i, bytes: isBytes(w.t.target[i])}
	}
	return lists
}

// list is the values of a column as the driver sends them.
type list struct {
	rows  []*row.Row
	at    int
	bytes bool
}

func (l list) Dimensions() []pgtype.ArrayDimension {
	return []pgtype.ArrayDimension{{Length: int32(len(l.rows)), LowerBound: 1}}
}

func (l list) Index(i int) any {
	value := l.rows[i].Values[l.at]
	if _, text := value.(string); text || l.bytes || value == nil {
		return value
	}
	return boundText(value)
}

func (l list) IndexType() any {
	if l.bytes {
		return []byte(nil)
	}
	return ""
}

// postgresMark begins the types that this dialect declares, for another to know that they are none of its own.
const postgresMark = "postgres:"

// ofPostgres is a declared type without its mark.
func ofPostgres(declared string) (known string, ok bool) {
	return strings.CutPrefix(declared, postgresMark)
}

// castable is a declared type that may stand in a statement as it is.
var castable = regexp.MustCompile(`^[a-z][a-z0-9_ ]*(\([0-9, ]+\))?(\[\])?$`)

func (d postgresDialect) columnType(c connector.Column, _ bool) string {
	declared, own := ofPostgres(c.Declared)
	switch {
	case c.Stored && own && castable.MatchString(declared):
		return declared
	case c.Stored && strings.HasPrefix(c.Declared, mysqlMark):
		return postgresCopies(strings.TrimPrefix(c.Declared, mysqlMark))
	case c.Stored && !own:
		switch kindOf(c.Declared) {
		case integerKind:
			return "bigint"
		case realKind:
			return "double precision"
		case numericKind:
			return "numeric"
		case booleanKind:
			return "boolean"
		}
		if strings.Contains(strings.ToUpper(c.Declared), "BLOB") {
			return "bytea"
		}
	}
	switch c.Kind {
	case reflect.Bool:
		return "boolean"
	case reflect.Int, reflect.Int64:
		return "bigint"
	case reflect.Float64:
		return "double precision"
	case reflect.Slice: // bytes; no column takes another list
		return "bytea"
	case reflect.Struct: // the only one is a moment
		return "timestamptz"
	}
	return "text"
}

// postgresCopies is the type of a column that takes the values of one of that type of MySQL.
func postgresCopies(declared string) string {
	base, _, _ := strings.Cut(declared, "(")
	switch base {
	case "tinyint", "smallint", "mediumint", "int", "bigint", "year", "tinyint unsigned", "smallint unsigned", "mediumint unsigned", "int unsigned":
		return "bigint"
	case "bigint unsigned", "year unsigned", "bit", "bit unsigned":
		return "numeric(20)"
	case "date":
		return "date"
	case "float", "double", "float unsigned", "double unsigned":
		return "double precision"
	case "decimal":
		return "numeric(" + strings.TrimSuffix(strings.TrimPrefix(declared, "decimal("), " unsigned")
	case "datetime":
		return "timestamp"
	case "timestamp":
		return "timestamptz"
	case "binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob", "geometry":
		return "bytea"
	}
	return "text"
}

// copies is never: what a column takes is looked at in the same way wherever it comes from.
func (postgresDialect) copies(tableColumn, string) bool { return false }
