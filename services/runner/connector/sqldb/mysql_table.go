package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/go-sql-driver/mysql"

	"runhook/services/runner/row"
	"runhook/shared/run"
)

func (d mysqlDialect) relation(ctx context.Context, conn *sql.Conn, name string) (*relation, error) {
	database, table, qualified := strings.Cut(name, ".")
	if !qualified {
		database, table = "", name
	}
	r := relation{name: name, sql: d.place(name)}
	if !d.temporary {
		var kind, engine, transactions string
		err := conn.QueryRowContext(ctx, `SELECT t.table_schema, t.table_name, t.table_type, coalesce(t.engine, ''), coalesce(e.transactions, '')
			FROM information_schema.tables AS t LEFT JOIN information_schema.engines AS e ON e.engine = t.engine
			WHERE t.table_schema = CASE WHEN ? = '' THEN DATABASE() ELSE ? END AND lower(t.table_name) = lower(?)
			ORDER BY CAST(t.table_name AS BINARY) = CAST(? AS BINARY) DESC, t.table_name LIMIT 1`, database, database, table, table).Scan(&database, &table, &kind, &engine, &transactions)
		if errors.Is(err, sql.ErrNoRows) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		r.name, r.sql = table, d.quote(database)+"."+d.quote(table)
		if qualified {
			r.name = database + "." + table
		}
		switch {
		case strings.Contains(kind, "VIEW"):
			r.odd = "is a view; name a table"
		case kind == "SEQUENCE":
			r.odd = "is a sequence; name a table"
		case transactions != "YES":
			r.odd = "has no transactions, because its engine is " + engine + ": a batch could be written in part; ALTER TABLE " + r.sql + " ENGINE=InnoDB"
		}
		if r.odd != "" {
			return &r, nil
		}
	}
	if err := d.columns(ctx, conn, &r, database, table); err != nil {
		if known := mysqlError(err); d.temporary && known != nil && known.Number == 1146 {
			return nil, nil
		}
		return nil, err
	}
	if err := d.indexes(ctx, conn, &r); err != nil || d.temporary {
		return &r, err
	}
	err := conn.QueryRowContext(ctx, `SELECT count(*) > 0 FROM information_schema.triggers WHERE event_object_schema = ? AND event_object_table = ?`, database, table).Scan(&r.triggers)
	return &r, err
}

// shown are the rows of a statement that shows something, by the names of their columns in lower case.
func (mysqlDialect) shown(ctx context.Context, conn *sql.Conn, statement string) (all []map[string]sql.NullString, err error) {
	rows, err := conn.QueryContext(ctx, statement)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	for rows.Next() {
		values := make([]sql.NullString, len(names))
		into := make([]any, len(names))
		for i := range into {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		one := map[string]sql.NullString{}
		for i, name := range names {
			one[strings.ToLower(name)] = values[i]
		}
		all = append(all, one)
	}
	return all, rows.Err()
}

func (d mysqlDialect) columns(ctx context.Context, conn *sql.Conn, r *relation, database, table string) error {
	all, err := d.shown(ctx, conn, "SHOW FULL COLUMNS FROM "+r.sql)
	if err != nil {
		return err
	}
	documents, err := d.documents(ctx, conn, database, table)
	if err != nil {
		return err
	}
	rights := map[string]bool{}
	for _, shown := range all {
		c := tableColumn{name: shown["field"].String, collation: shown["collation"].String}
		declared := shown["type"].String
		extra := strings.ToUpper(shown["extra"].String)
		known := mysqlTypeOf(declared, c.collation)
		if slices.Contains(documents, c.name) {
			known.name = "json"
		}
		c.kind, c.storage, c.exact = known.kind(), known, known.name
		c.declared = mysqlMark + declared
		c.cast = declared
		if c.collation != "" {
			charset, _, _ := strings.Cut(c.collation, "_")
			c.cast += " CHARACTER SET " + charset + " COLLATE " + c.collation
		}
		counts := strings.Contains(extra, "AUTO_INCREMENT")
		c.numbersItself = counts
		c.computed = strings.Contains(extra, "VIRTUAL") || strings.Contains(extra, "STORED") || strings.Contains(extra, "PERSISTENT")
		c.notNull = shown["null"].String == "NO" && !counts
		c.required = c.notNull && !shown["default"].Valid && !strings.Contains(extra, "DEFAULT_GENERATED") && !c.computed
		for right := range strings.SplitSeq(strings.ToUpper(shown["privileges"].String), ",") {
			rights[right] = true
		}
		r.columns = append(r.columns, c)
	}
	for _, right := range []string{"SELECT", "INSERT", "UPDATE"} { // those to delete are no column's
		if !rights[right] && !d.temporary {
			r.lacks = append(r.lacks, right)
		}
	}
	return nil
}

// documents are the columns that hold JSON because a rule says so: MariaDB has no type of its own for it.
func (d mysqlDialect) documents(ctx context.Context, conn *sql.Conn, database, table string) (names []string, err error) {
	if d.temporary {
		return nil, nil
	}
	rows, err := conn.QueryContext(ctx, `SELECT check_clause FROM information_schema.check_constraints WHERE constraint_schema = ? AND table_name = ?`, database, table)
	if known := mysqlError(err); known != nil && known.Number == 1054 {
		return nil, nil // MySQL, whose catalog has another form, has the type
	}
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var rule string
		if err := rows.Scan(&rule); err != nil {
			return nil, err
		}
		if name, ok := strings.CutPrefix(rule, "json_valid(`"); ok {
			if name, ok = strings.CutSuffix(name, "`)"); ok {
				names = append(names, strings.ReplaceAll(name, "``", "`"))
			}
		}
	}
	return names, rows.Err()
}

// indexes reads the unique indexes, the primary key first. One over a part of a column, or an expression, identifies no
// row.
func (d mysqlDialect) indexes(ctx context.Context, conn *sql.Conn, r *relation) error {
	all, err := d.shown(ctx, conn, "SHOW INDEX FROM "+r.sql)
	if err != nil {
		return err
	}
	type index struct {
		uniqueIndex
		part bool
	}
	var found []*index
	for _, shown := range all {
		if shown["non_unique"].String != "0" {
			continue
		}
		name := shown["key_name"].String
		if len(found) == 0 || found[len(found)-1].name != name {
			found = append(found, &index{uniqueIndex: uniqueIndex{name: name}})
		}
		x := found[len(found)-1]
		column := shown["column_name"]
		x.columns = append(x.columns, column.String)
		x.part = x.part || !column.Valid || shown["sub_part"].Valid
		if name == "PRIMARY" {
			for i := range r.columns {
				if r.columns[i].name == column.String {
					r.columns[i].inKey = len(x.columns)
				}
			}
		}
	}
	for _, x := range found {
		if x.part {
			r.others = append(r.others, x.uniqueIndex)
		} else {
			r.unique = append(r.unique, x.uniqueIndex)
		}
	}
	slices.SortStableFunc(r.unique, func(a, b uniqueIndex) int {
		switch {
		case a.name == "PRIMARY":
			return -1
		case b.name == "PRIMARY":
			return 1
		}
		return 0
	})
	return nil
}

func (d mysqlDialect) failure(err error) error {
	name := d.at.Name
	var unreached mysqlUnreached
	known := mysqlError(err)
	switch {
	case known != nil:
		return d.told(known)
	case errors.Is(err, errGivenUp):
		return run.Passingf("the database of connection %s gave a transaction up", name)
	case errors.Is(err, mysql.ErrPktTooLarge):
		return run.Failf("a statement for connection %s is larger than the max_allowed_packet of its server; raise it", name)
	case errors.Is(err, mysql.ErrNoTLS):
		return run.Failf("the server of connection %s does not encrypt connections, which its ssl-mode wants; set TLS up there, or correct ssl-mode", name)
	case errors.Is(err, mysql.ErrCleartextPassword), errors.Is(err, mysql.ErrUnknownPlugin), errors.Is(err, mysql.ErrOldPassword), errors.Is(err, mysql.ErrOldProtocol):
		return run.Failf("the server of connection %s wants the account to sign in in a way that is not supported; give it a password of mysql_native_password, ed25519 or caching_sha2_password", name)
	case errors.As(err, &unreached):
		return run.Passingf("the server of connection %s does not answer, or not as its address says; start it, or correct the host, the port, ssl-mode or ssl-ca", name)
	case errors.Is(err, errDriver):
		return run.Failf("the database of connection %s cannot be used; the driver refused", name)
	}
	return run.Passingf("the connection to the server of connection %s was lost", name)
}

// told is the failure of an error that the server has told: its number, and names, which are no values.
func (d mysqlDialect) told(known *mysql.MySQLError) error {
	name, code := d.at.Name, known.Number
	if mysqlGone(known) {
		return run.Passingf("the database of connection %s gave a transaction up (error %d)", name, code)
	}
	switch code {
	case 1045, 1698, 1251, 1524, 3955:
		return run.Failf("the server of connection %s refuses the user, the password or the kind of connection; correct them (error %d)", name, code)
	case 1820, 1862:
		return run.Failf("the password of the account of connection %s has expired; set another (error %d)", name, code)
	case 3118, 4151:
		return run.Failf("the account of connection %s is locked; unlock it (error %d)", name, code)
	case 1129, 1130:
		return run.Failf("the server of connection %s takes no connection from the runner's machine for this account; let it in there (error %d)", name, code)
	case 1049:
		return run.Failf("the database of connection %s does not exist; correct the name behind the host, or make it (error %d)", name, code)
	case 1040, 1203, 1226:
		return run.Passingf("the server of connection %s takes no more connections, of this account or at all; raise max_connections there, or give the runner fewer --slots (error %d)", name, code)
	case 1021, 1114, 1041, 1037, 1038:
		return run.Passingf("the disk or the memory of the server of connection %s is full (error %d)", name, code)
	case 1205, 3572:
		return run.Passingf("a row or a table of connection %s was locked by another writer for longer than innodb_lock_wait_timeout, a minute unless its address says another; end that one (error %d)", name, code)
	case 1213, 1020, 1047:
		return run.Passingf("other writers of the database of connection %s kept the rows from being written; all of the batch was tried again for a minute (error %d)", name, code)
	case 1969, 3024, 1317, 1028:
		return run.Passingf("a statement took longer than the max_statement_time of connection %s, or was canceled at the server (error %d)", name, code)
	case 1290, 1836, 3707:
		return run.Passingf("the server of connection %s takes nothing that writes: it is read-only, as a replica is (error %d)", name, code)
	case 1792:
		return run.Failf("the query of connection %s may only read (error %d)", name, code)
	case 1044, 1142, 1143, 1227, 1370, 1410:
		return run.Failf("the account of connection %s may not do this; grant it the rights on the table, or on the database to create it (error %d)", name, code)
	case 1146, 1054, 1305, 1412, 1347:
		return run.Failf("a table, a column or a function in connection %s was changed during the run, or is not there (error %d)", name, code)
	case 1059, 1102, 1103, 1166:
		return run.Failf("a name in connection %s is longer than the 64 letters that the server takes, or has one that it does not take (error %d)", name, code)
	case 1071, 1170, 1118, 1101, 1113, 1117:
		return run.Failf("the table that create: true would make in connection %s cannot be: its key or its rows are too long, or it has too many columns; make it yourself (error %d)", name, code)
	case 1193, 1231, 1232, 1238, 1229:
		return run.Failf("the address of connection %s sets a variable that the server does not have, or not to this value; correct what is behind the ? (error %d)", name, code)
	case 1053, 1077, 1078, 1079, 1080, 1152, 1153, 1158, 1159, 1160, 1161, 1184, 1927, 4031:
		return run.Passingf("the server of connection %s is being stopped, or ended the connection (error %d)", name, code)
	case 1665:
		return run.Failf("the server of connection %s keeps its binary log by statements, which it cannot for what is written here; set binlog_format to MIXED or ROW there (error %d)", name, code)
	case 1030, 1180, 1181, 1194, 1195, 1034, 1712:
		return run.Passingf("the storage of the server of connection %s fails, or its disk is full (error %d)", name, code)
	}
	if state := string(known.SQLState[:2]); state == "22" {
		return run.Failf("the query of connection %s, or a parameter in it, has a value that does not fit where it is used (error %d)", name, code)
	}
	return run.Failf("the database of connection %s refused (error %d)", name, code)
}

func (d mysqlDialect) fault(err error, t *table) *row.Fault {
	if errors.Is(err, mysql.ErrPktTooLarge) {
		return row.Faultf("", "is larger than the max_allowed_packet of the server")
	}
	known := mysqlError(err)
	if known == nil {
		return nil
	}
	fault := d.brokenRule(known, t)
	if fault == nil {
		return nil
	}
	fault.Message += " (error " + mysqlNumber(known) + ")"
	return fault.Saying(known.Message)
}

// brokenRule says which rule of the table a row broke, nil for any other error.
func (d mysqlDialect) brokenRule(known *mysql.MySQLError, t *table) *row.Fault {
	column := mysqlColumn(known.Message, t)
	switch known.Number {
	case 1062, 1586, 1022, 1169, 1761:
		return row.Faultf(mysqlKeyColumns(known.Message, t), "breaks a uniqueness rule")
	case 1048, 1364, 1263, 1138, 1566:
		return row.Faultf(column, "must not be empty")
	case 1451, 1452, 1216, 1217:
		return row.Faultf("", "refers to a row of another table that does not exist, or is referred to by one:%s", mysqlRule(known.Message, "CONSTRAINT `", "`"))
	case 3819:
		return row.Faultf("", "breaks a check rule of the table:%s", mysqlRule(known.Message, "constraint '", "'"))
	case 4025:
		return row.Faultf("", "breaks a check rule of the table:%s", mysqlRule(known.Message, "CONSTRAINT `", "`"))
	case 1406, 1162:
		return row.Faultf(column, "has a text that is too long")
	case 1264, 1690:
		return row.Faultf(column, "has a number that is too large")
	case 1366:
		return row.Faultf(column, "has a value of the wrong type, or a letter that the column's character set does not have")
	case 1526, 1748, 1564:
		return row.Faultf("", "has no partition of the table that takes it")
	case 1105:
		if strings.Contains(known.Message, "max_allowed_packet") {
			return row.Faultf("", "is larger than the max_allowed_packet of the server")
		}
	case 1301:
		return row.Faultf("", "is larger than the max_allowed_packet of the server")
	case 1442, 1644, 1643:
		return row.Faultf("", "is refused by a trigger of the table")
	case 1265, 1292, 1411, 1416, 1367, 1525, 3140, 3141, 3156, 1365, 4078, 4079:
		return row.Faultf(column, "has a value of the wrong type")
	}
	switch class := string(known.SQLState[:2]); {
	case class == "22":
		return row.Faultf(column, "has a value of the wrong type")
	case class == "23", class == "44":
		return row.Faultf(column, "breaks a rule of the table")
	case class == "45", t.triggers && !strings.Contains(mysqlClasses, class):
		return row.Faultf("", "is refused by a trigger of the table")
	}
	return nil
}

// mysqlClasses are the classes of SQLSTATE that the server has itself. A trigger may raise others.
const mysqlClasses = "00 01 02 08 0A 0K 0Z 21 22 23 24 25 26 28 2F 34 35 3D 3F 40 42 44 70 HY XA XAE"

func mysqlNumber(known *mysql.MySQLError) string { return strconv.Itoa(int(known.Number)) }

// mysqlColumn is the column of the table that a message names, behind the value that it quotes; empty for none.
func mysqlColumn(message string, t *table) string {
	for _, mark := range []string{"for column ", "Column ", "column ", "Field "} {
		at := strings.LastIndex(message, mark)
		if at < 0 {
			continue
		}
		name := message[at+len(mark):]
		if cut := strings.LastIndex(name, " at row "); cut >= 0 {
			name = name[:cut]
		}
		for _, end := range []string{" cannot be null", " doesn't have"} {
			name, _, _ = strings.Cut(name, end)
		}
		if dot := strings.LastIndex(name, "`.`"); dot >= 0 {
			name = name[dot+len("`."):]
		}
		name = strings.ReplaceAll(strings.Trim(name, "`'"), "``", "`")
		if at := t.at(name); at >= 0 {
			return t.columns[at].name
		}
	}
	return ""
}

// mysqlKeyOf is the name of the index that a message about a key that is there twice names at its end.
func mysqlKeyOf(message string) string {
	at := strings.LastIndex(message, " for key '")
	if at < 0 {
		return ""
	}
	name := strings.TrimSuffix(message[at+len(" for key '"):], "'")
	if dot := strings.LastIndex(name, "."); dot >= 0 { // of MySQL, which names the table too
		name = name[dot+1:]
	}
	return name
}

func mysqlKeyColumns(message string, t *table) string {
	name := mysqlKeyOf(message)
	for _, index := range slices.Concat(t.unique, t.others) {
		if index.name == name {
			return strings.Join(index.columns, ", ")
		}
	}
	return ""
}

// mysqlRule is the name of a rule that a message has between two marks, with a space before it; empty for none.
func mysqlRule(message, begin, end string) string {
	_, rest, found := strings.Cut(message, begin)
	if !found {
		return ""
	}
	name, _, found := strings.Cut(rest, end)
	if !found {
		return ""
	}
	return " " + name
}

func (mysqlDialect) words(err error) string {
	known := mysqlError(err)
	if known == nil || mysqlGone(known) || slices.Contains([]uint16{1203, 1226}, known.Number) || string(known.SQLState[:2]) != "42" && !slices.Contains([]uint16{1305, 1267, 1270, 1271, 1792, 1356, 1347, 1060}, known.Number) {
		return ""
	}
	return known.Message + " (error " + mysqlNumber(known) + ")"
}
