package sqldb

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-sql-driver/mysql"

	"runhook/services/runner/check"
	"runhook/services/runner/connection"
	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/watermark"
)

// mysqlDialect is a database of MariaDB, from version 10.5 on, or of MySQL, from version 8.0 on.
type mysqlDialect struct {
	at connection.Database
	// temporary: tables are made for the connection alone, and go with it.
	temporary bool
}

// find leaves it to open whether the server answers: no run makes a database of one.
func (mysqlDialect) find(bool) (bool, error) { return true, nil }

func (d mysqlDialect) open(ctx context.Context, to use) (*sql.DB, error) {
	connector, err := d.connector(to)
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(1)
	if err := db.PingContext(ctx); err != nil {
		db.Close()
		return nil, explain(ctx, d, err)
	}
	return db, nil
}

// mysqlOwn are the settings of a connection's address that are no variables of a session.
var mysqlOwn = []string{"socket", "ssl-mode", "ssl-ca", "ssl-cert", "ssl-key", "password-file", "connect_timeout"}

// connector reads the connection's address.
func (d mysqlDialect) connector(to use) (*mysqlConnector, error) {
	u, err := url.Parse(d.at.MySQL)
	if err != nil {
		return nil, d.unusable("it is no URL")
	}
	given := u.Query()
	config := mysql.NewConfig()
	config.Logger = &mysql.NopLogger{}
	config.User = u.User.Username()
	config.Passwd, _ = u.User.Password()
	config.DBName = strings.TrimPrefix(u.Path, "/")
	config.Net, config.Addr = "tcp", u.Host
	if u.Port() == "" {
		config.Addr = net.JoinHostPort(u.Hostname(), "3306")
	}
	if socket := given.Get("socket"); socket != "" {
		config.Net, config.Addr = "unix", socket
	}
	if file := given.Get("password-file"); file != "" {
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, d.unusable("its password-file cannot be read")
		}
		config.Passwd, _, _ = strings.Cut(string(content), "\n")
		config.Passwd = strings.TrimSuffix(config.Passwd, "\r")
	}
	config.Timeout = connectWait
	if seconds := given.Get("connect_timeout"); seconds != "" {
		n, err := strconv.Atoi(seconds)
		if err != nil || n < 1 {
			return nil, d.unusable("its connect_timeout is no number of seconds")
		}
		config.Timeout = time.Duration(n) * time.Second
	}
	if err := d.encrypt(config, given, u.Hostname()); err != nil {
		return nil, err
	}
	config.MaxAllowedPacket = 0     // the server's
	config.InterpolateParams = true // one way to the server, however many values a statement has
	config.ClientFoundRows = true
	config.ConnectionAttributes = "program_name:runhook"
	inner, err := mysql.NewConnector(config)
	if err != nil {
		return nil, d.unusable("the driver refuses it")
	}
	return &mysqlConnector{dialect: d, inner: inner, begin: mysqlSettings(to, given)}, nil
}

func (d mysqlDialect) unusable(why string) error {
	return run.Failf("the address of connection %s cannot be used: %s; correct it", d.at.Name, why)
}

// encrypt has the connection be encrypted as its address says.
func (d mysqlDialect) encrypt(config *mysql.Config, given url.Values, host string) error {
	mode := given.Get("ssl-mode")
	authorities := given.Get("ssl-ca")
	if mode == "" {
		mode = "PREFERRED"
		if authorities != "" {
			mode = "VERIFY_IDENTITY"
		}
	}
	if mode == "DISABLED" {
		return nil
	}
	settings := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	if authorities != "" {
		content, err := os.ReadFile(authorities)
		settings.RootCAs = x509.NewCertPool()
		if err != nil || !settings.RootCAs.AppendCertsFromPEM(content) {
			return d.unusable("the file that its ssl-ca names cannot be read, or has no certificate")
		}
	}
	if file := given.Get("ssl-cert"); file != "" {
		certificate, err := tls.LoadX509KeyPair(file, given.Get("ssl-key"))
		if err != nil {
			return d.unusable("the files that its ssl-cert and ssl-key name cannot be read, or do not fit each other")
		}
		settings.Certificates = []tls.Certificate{certificate}
	}
	switch mode {
	case "PREFERRED":
		config.AllowFallbackToPlaintext = true
		settings.InsecureSkipVerify = true
	case "REQUIRED":
		settings.InsecureSkipVerify = true
	case "VERIFY_CA":
		settings.InsecureSkipVerify = true // but for the authority
		settings.VerifyConnection = func(state tls.ConnectionState) error {
			between := x509.NewCertPool()
			for _, certificate := range state.PeerCertificates[1:] {
				between.AddCert(certificate)
			}
			_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: settings.RootCAs, Intermediates: between})
			return err
		}
	}
	config.TLS = settings
	return nil
}

// mysqlStrict is how the server takes values: what does not fit is an error, and never cut or made zero.
const mysqlStrict = "STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION,NO_AUTO_VALUE_ON_ZERO"

// mysqlSettings are the statements with which a connection begins: those that the forms of values and what becomes of
// them depend on, how long others are waited for, and what its address says.
func mysqlSettings(to use, given url.Values) []string {
	longest := lockWait
	if to == toForget {
		longest = forgetWait
	}
	seconds := strconv.Itoa(int(longest.Seconds()))
	isolation := "READ COMMITTED"
	idle := ", idle_transaction_timeout = 60" // a runner that is gone holds no lock for longer
	if to == toRead {
		isolation, idle = "REPEATABLE READ", ""
	}
	settings := []string{
		"SET NAMES utf8mb4",
		"SET SESSION sql_mode = '" + mysqlStrict + "', time_zone = '+00:00', lc_messages = 'en_US', autocommit = 1, sql_safe_updates = 0, sql_select_limit = 18446744073709551615, " +
			"sql_big_selects = 1, foreign_key_checks = 1, unique_checks = 1, innodb_lock_wait_timeout = " + seconds + ", lock_wait_timeout = " + seconds +
			", net_write_timeout = 7200, wait_timeout = 86400 /*M!100500 , check_constraint_checks = 1" + idle + " */",
		"SET SESSION TRANSACTION ISOLATION LEVEL " + isolation,
	}
	var named []string
	for name, values := range given {
		if slices.Contains(mysqlOwn, name) {
			continue
		}
		value := values[len(values)-1]
		if _, err := strconv.ParseFloat(value, 64); err != nil {
			value = "'" + value + "'"
		}
		named = append(named, name+" = "+value)
	}
	if slices.Sort(named); len(named) > 0 {
		settings = append(settings, "SET SESSION "+strings.Join(named, ", "))
	}
	return settings
}

// mysqlConnector connects to a server, and knows the connection that it has made last.
type mysqlConnector struct {
	dialect mysqlDialect
	inner   driver.Connector
	begin   []string
	id      atomic.Int64
}

func (c *mysqlConnector) Driver() driver.Driver { return c.inner.Driver() }

// mysqlConn is a connection whose queries come as prepared statements do: with all digits of a number.
type mysqlConn struct {
	mysqlInner
	from *mysqlConnector
}

type mysqlInner interface {
	driver.Conn
	driver.ConnPrepareContext
	driver.ConnBeginTx
	driver.ExecerContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
	driver.NamedValueChecker
}

// mysqlUnreached is an error of a connection that was not made.
type mysqlUnreached struct{ error }

func (u mysqlUnreached) Unwrap() error { return u.error }

func (c *mysqlConnector) Connect(ctx context.Context) (driver.Conn, error) {
	made, err := c.inner.Connect(ctx)
	if err != nil {
		return nil, mysqlUnreached{err}
	}
	conn, ok := made.(mysqlInner)
	if !ok {
		return nil, errors.Join(errDriver, made.Close())
	}
	for _, statement := range c.begin {
		if _, err := conn.ExecContext(ctx, statement, nil); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
	}
	if err := c.look(ctx, made); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return mysqlConn{conn, c}, nil
}

// look reads the connection's number, and whether the server has taken its settings.
func (c *mysqlConnector) look(ctx context.Context, conn driver.Conn) error {
	asked, ok := conn.(driver.QueryerContext)
	if !ok {
		return errDriver
	}
	rows, err := asked.QueryContext(ctx, "SELECT CAST(CONNECTION_ID() AS CHAR), VERSION(), @@SESSION.sql_mode, @@SESSION.time_zone", nil)
	if err != nil {
		return err
	}
	values := make([]driver.Value, 4)
	err = rows.Next(values)
	texts := make([]string, len(values))
	for i, value := range values {
		text, _ := value.([]byte)
		texts[i] = string(text)
	}
	if err := errors.Join(err, rows.Close()); err != nil {
		return err
	}
	if !mysqlKnown(texts[1]) {
		return run.Failf("the server of connection %s is older than MariaDB 10.5 and MySQL 8.0, from which on it can be used", c.dialect.at.Name)
	}
	if !strings.Contains(texts[2], "STRICT_ALL_TABLES") || texts[3] != "+00:00" {
		return run.Failf("the server of connection %s, or what is between, does not take the settings of the connection (sql_mode, time_zone), without which values would be cut without a word; connect to the server itself", c.dialect.at.Name)
	}
	id, err := strconv.ParseInt(texts[0], 10, 64)
	c.id.Store(id)
	return err
}

// mysqlKnown reports whether a server of that version can be used.
func mysqlKnown(version string) bool {
	least, next := 8, 0
	if strings.Contains(version, "MariaDB") {
		least, next = 10, 5
		version = strings.TrimPrefix(version, "5.5.5-") // that of a server that passes for an older one
	}
	var major, minor int
	if _, err := fmt.Sscanf(version, "%d.%d", &major, &minor); err != nil {
		return true
	}
	return major > least || major == least && minor >= next
}

// kill ends the statement that is under way on the connection that was made last, over another one.
func (c *mysqlConnector) kill() {
	ctx, cancel := context.WithTimeout(context.Background(), cancelWait)
	defer cancel()
	other, err := c.inner.Connect(ctx)
	if err != nil {
		return // it is tried again
	}
	defer func() { _ = other.Close() }() // it has done what it was for
	if conn, ok := other.(driver.ExecerContext); ok {
		_, _ = conn.ExecContext(ctx, "KILL QUERY "+strconv.FormatInt(c.id.Load(), 10), nil) // one that has ended is of no interest
	}
}

// interrupter ends statements at the server: the driver only hangs up, and they would go on there.
func (mysqlDialect) interrupter(ctx context.Context, db *sql.DB) (func(), error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	var from *mysqlConnector
	err = conn.Raw(func(raw any) error {
		on, ok := raw.(mysqlConn)
		if !ok {
			return errDriver
		}
		from = on.from
		return nil
	})
	if err != nil {
		return nil, err
	}
	return from.kill, nil
}

// checkRights leaves it to the table's own rights.
func (mysqlDialect) checkRights(bool, *check.Report) {}

// reads has all that a source reads be of one moment.
func (mysqlDialect) reads() string { return "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY" }

func (d mysqlDialect) scratched() dialect { d.temporary = true; return d }

func (mysqlDialect) quote(name string) string {
	return "`" + strings.ReplaceAll(name, "`", "``") + "`"
}

// place takes what is before the first dot for the database.
func (d mysqlDialect) place(table string) string {
	if database, name, found := strings.Cut(table, "."); found {
		return d.quote(database) + "." + d.quote(name)
	}
	return d.quote(table)
}

// longestName is no matter: the server cuts none.
func (mysqlDialect) longestName() int { return 0 }

func (mysqlDialect) parameter(int) string { return "?" }

func (mysqlDialect) inOrder(int) string { return "?" }

var (
	errMySQLEscape  = errors.New(`a backslash in it is in front of a quote; write '' for a quote in a text`)
	errMySQLComment = errors.New("a comment in it begins with # or with -- and no space, or is executed (/*!); write -- and a space, or /* … */")
)

// cut refuses what the server reads in another way than other databases, so that a text or a comment could end
// elsewhere. Each place of a parameter is one of its own.
func (d mysqlDialect) cut(query string) (text string, names []string, err error) {
	if strings.Contains(query, `\'`) || strings.Contains(query, `\"`) || strings.Contains(query, "\\`") {
		return "", nil, errMySQLEscape
	}
	if err := mysqlComments(query); err != nil {
		return "", nil, err
	}
	var places []int
	text, all, err := task.CutQuery(query, func(n int) string {
		places = append(places, n)
		return d.parameter(n)
	})
	for _, n := range places {
		names = append(names, all[n-1])
	}
	return text, names, err
}

// mysqlComments looks for comments, outside of quotes, that others do not know as such.
func mysqlComments(query string) error {
	for i := 0; i < len(query); i++ {
		rest := query[i:]
		switch letter := query[i]; {
		case letter == '\'' || letter == '"' || letter == '`':
			end := strings.IndexByte(query[i+1:], letter)
			if end < 0 {
				return nil // which is told by others
			}
			i += end + 1
		case letter == '#', strings.HasPrefix(rest, "/*!"), strings.HasPrefix(strings.ToUpper(rest), "/*M!"), strings.HasPrefix(rest, "/*+"),
			strings.HasPrefix(rest, "--") && len(rest) > 2 && !strings.Contains(" \t\r\n", rest[2:3]):
			return errMySQLComment
		case strings.HasPrefix(rest, "--"):
			end := strings.IndexByte(rest, '\n')
			if end < 0 {
				return nil
			}
			i += end
		case strings.HasPrefix(rest, "/*"):
			end := strings.Index(rest[2:], "*/")
			if end < 0 {
				return nil
			}
			i += end + 3
		}
	}
	return nil
}

// begin marks the transaction, so that commit sees whether the server has given it up meanwhile. What was executed behind
// that is in another transaction then, which nobody commits.
func (mysqlDialect) begin() []string {
	return []string{"SET autocommit = 0", "START TRANSACTION READ WRITE", "SAVEPOINT " + mysqlMarkOfBatch}
}

const mysqlMarkOfBatch = "runhook_batch"

func (mysqlDialect) waits(time.Duration) string { return "" }

func (mysqlDialect) locks(context.Context, session) (bool, error) { return false, nil }

func (mysqlDialect) settles() string { return "" }

func (mysqlDialect) commit(ctx context.Context, conn *sql.Conn) error {
	for _, statement := range []string{"RELEASE SAVEPOINT " + mysqlMarkOfBatch, "COMMIT"} {
		if _, err := conn.ExecContext(ctx, statement); err != nil {
			return commitError{err}
		}
	}
	return nil
}

func (mysqlDialect) unclear(err error) bool {
	failed, ok := errors.AsType[commitError](err)
	if !ok || errors.Is(failed.error, errGivenUp) {
		return false
	}
	known := mysqlError(failed.error)
	return known == nil || slices.Contains([]uint16{1053, 1152, 1158, 1159, 1160, 1161, 1180, 1317, 1927, 3100, 4031}, known.Number)
}

func (mysqlDialect) again(err error) bool {
	known := mysqlError(err)
	return known != nil && (known.Number == 1213 || known.Number == 1020 || known.Number == 1047 || mysqlGone(known))
}

// mysqlGone reports whether the error is that the transaction is not there any more.
func mysqlGone(known *mysql.MySQLError) bool {
	return known.Number == 1305 && strings.HasPrefix(known.Message, "SAVEPOINT ")
}

func (d mysqlDialect) busy(err error) bool {
	if _, atCommit := errors.AsType[commitError](err); atCommit {
		return false
	}
	known := mysqlError(err)
	return known != nil && (known.Number == 1205 || known.Number == 3572 || d.again(err))
}

// mysqlError is an error that the server has told; nil for any other.
func mysqlError(err error) *mysql.MySQLError {
	if failed, ok := errors.AsType[commitError](err); ok {
		err = failed.error
	}
	known, _ := errors.AsType[*mysql.MySQLError](err)
	return known
}

// missingOnly, equals and differs are parts of statements for single rows, which this dialect has none of.
func (mysqlDialect) missingOnly(insert, _ string) string { return insert }

func (mysqlDialect) equals(column, parameter, _ string) string { return column + " = " + parameter }

func (mysqlDialect) differs(column, parameter string) string {
	return "NOT (" + column + " <=> " + parameter + ")"
}

func (mysqlDialect) compares(declared string) (single, moments bool) {
	base, _, _ := strings.Cut(strings.TrimPrefix(declared, mysqlMark), "(")
	switch base {
	case "float", "float unsigned":
		return true, false
	case "date", "timestamp", "datetime":
		return false, true
	}
	return false, false
}

// writeMoment leaves the zone out, of which a server takes none: that of each connection is UTC.
func (mysqlDialect) writeMoment(declared string, value watermark.Value) string {
	if declared == mysqlMark+"timestamp" {
		return value.UTC(time.DateTime)
	}
	return value.String()
}

func (mysqlDialect) nullsLast() bool { return false }

func (mysqlDialect) behind(rows int64) string {
	return " limit 18446744073709551615 offset " + strconv.FormatInt(rows, 10)
}

// described leaves it to the server's preparation whether the query can stand within another one: to ask for that may
// compute a row already.
func (mysqlDialect) described(ctx context.Context, on session, query string) (string, error) {
	statement, err := on.PrepareContext(ctx, within(query))
	if err != nil {
		return "", err
	}
	if words := strings.Fields(query); !strings.EqualFold(words[0], "select") {
		return within(query), statement.Close() // no server takes another in brackets
	}
	return "(\n" + query + "\n) limit 0", statement.Close()
}

// keepsOrder is false: the server drops the order of a query within another one.
func (mysqlDialect) keepsOrder() bool { return false }

// aside has nothing to copy: who reads keeps nobody from writing.
func (mysqlDialect) aside(context.Context, session, int, string, []any) (string, error) {
	return "", nil
}

func (mysqlDialect) stored(column string) string { return column }

func (d mysqlDialect) creates(place string) (begin, end string) {
	begin = "CREATE TABLE IF NOT EXISTS "
	if d.temporary {
		begin = "CREATE TEMPORARY TABLE IF NOT EXISTS "
	}
	// Two texts are one key only if they are the same.
	return begin + place, " ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 /*M! COLLATE=utf8mb4_nopad_bin */ /*!80000 COLLATE=utf8mb4_0900_bin */"
}

func (mysqlDialect) checkpoints() checkpointSQL {
	const key = ` WHERE store = ? AND task = ? AND run = ?`
	return checkpointSQL{
		make: `CREATE TABLE IF NOT EXISTS ` + checkpointTable +
			` (store varchar(100) NOT NULL, task varchar(100) NOT NULL, run bigint NOT NULL, token bigint NOT NULL, state longtext NOT NULL, PRIMARY KEY (store, task, run)) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin`,
		raise: `INSERT INTO ` + checkpointTable + ` (store, task, run, token, state) VALUES (?, ?, ?, ?, '')` +
			` ON DUPLICATE KEY UPDATE token = greatest(token, VALUES(token))`,
		read: `SELECT token, state FROM ` + checkpointTable + key,
		write: `UPDATE ` + checkpointTable + ` AS c JOIN (SELECT ? AS store, ? AS task, ? AS run, ? AS token, ? AS state) AS g` +
			` ON c.store = g.store AND c.task = g.task AND c.run = g.run AND c.token = g.token SET c.state = g.state`,
		remove: `DELETE FROM ` + checkpointTable + key + ` AND token = ?`,
		settle: `SELECT token, state FROM ` + checkpointTable + key + ` FOR UPDATE`,
	}
}

// makeCheckpoints leaves the transaction for it, in which nothing was done yet: to make a table ends one.
func (d mysqlDialect) makeCheckpoints(ctx context.Context, conn *sql.Conn) error {
	var kind, engine string
	err := conn.QueryRowContext(ctx, `SELECT table_type, coalesce(engine, '') FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = '`+checkpointTable+`'`).Scan(&kind, &engine)
	switch {
	case err == nil && !strings.EqualFold(engine, "InnoDB"):
		return run.Failf("the table %s of connection %s has no transactions (it is a %s of the engine %s); the runner keeps in it how far a run is: ALTER TABLE %[1]s ENGINE=InnoDB, or drop it", checkpointTable, d.at.Name, strings.ToLower(kind), engine)
	case !errors.Is(err, sql.ErrNoRows):
		return err
	}
	for _, statement := range append([]string{"COMMIT", d.checkpoints().make}, d.begin()...) {
		if err := execute(ctx, conn, statement); err != nil {
			return err
		}
	}
	return nil
}

func (mysqlDialect) repeated(name string, earlier []string) (first string, again bool) {
	return name, slices.Contains(earlier, name)
}

func (mysqlDialect) tables() string {
	return `SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE' ORDER BY 1`
}
