package connection

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

const mysqlExample = `{mysql: "mysql://app:${MYSQL_PASSWORD}@db.example.org/crm"}`

// mysqlModes are the values of ssl-mode.
var mysqlModes = []string{"DISABLED", "PREFERRED", "REQUIRED", "VERIFY_CA", "VERIFY_IDENTITY"}

// mysqlSettings are what may stand behind a server's URL beside the variables of a session.
var mysqlSettings = []string{"socket", "ssl-mode", "ssl-ca", "ssl-cert", "ssl-key", "password-file", "connect_timeout"}

var (
	// mysqlVariable is the name of a variable of a session, and mysqlValue what it may be set to.
	mysqlVariable = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
	mysqlValue    = regexp.MustCompile(`^[A-Za-z0-9_.,:+-]*$`)
	// mysqlFixed are the variables that the runner sets itself, because what becomes of values depends on them.
	mysqlFixed = []string{
		"autocommit", "character_set_client", "character_set_connection", "character_set_results", "collation_connection", "foreign_key_checks",
		"innodb_strict_mode", "lc_messages", "sql_auto_is_null", "sql_big_selects", "sql_mode", "sql_safe_updates", "sql_select_limit", "time_zone", "timestamp",
		"transaction_isolation", "tx_isolation", "transaction_read_only", "tx_read_only", "unique_checks", "check_constraint_checks",
	}
)

// mysql reads the URL of a server of MySQL or MariaDB.
func (r *reader) mysql(name string, node *yaml.Node) {
	address, settings, ok := r.serverURL(name, node, mysqlKind, mysqlExample, "mysql", "mariadb")
	if !ok {
		return
	}
	socket := settings.Get("socket") != ""
	mode := settings.Get("ssl-mode")
	password := false
	if address.User != nil {
		_, password = address.User.Password()
	}
	database := strings.TrimPrefix(address.Path, "/")
	before := len(r.problems)
	switch {
	case strings.Trim(address.Host, ":") == "" && !socket:
		r.report(node.Line, "the connection %s: mysql has no host, as in %s: %s", name, name, mysqlExample)
	case database == "" || strings.Contains(database, "/"):
		r.report(node.Line, "the connection %s: mysql has no database behind the host, as in %s: %s", name, name, mysqlExample)
	case mode != "" && !slices.Contains(mysqlModes, mode):
		r.report(node.Line, "the connection %s: ssl-mode must be one of %s", name, strings.Join(mysqlModes, ", "))
	case password && settings.Has("password-file"):
		r.report(node.Line, "the connection %s: has a password and a password-file; keep one", name)
	case settings.Get("ssl-cert") == "" != (settings.Get("ssl-key") == ""):
		r.report(node.Line, "the connection %s: ssl-cert and ssl-key belong together", name)
	case settings.Has("password"):
		r.report(node.Line, "the connection %s: the password goes in front of the host, as in %s: %s", name, name, mysqlExample)
	}
	for _, setting := range slices.Sorted(maps.Keys(settings)) {
		switch {
		case slices.Contains(mysqlSettings, setting):
		case slices.Contains(mysqlFixed, setting):
			r.report(node.Line, "the connection %s: %s is set by the runner, because what becomes of values depends on it; take it out", name, setting)
		case !mysqlVariable.MatchString(setting):
			r.report(node.Line, "the connection %s: what is behind ? must be one of %s, or a variable of the server's sessions, as in max_statement_time=60", name, strings.Join(mysqlSettings, ", "))
		case !mysqlValue.MatchString(settings.Get(setting)):
			r.report(node.Line, "the connection %s: the value of %s has a letter that no variable's value needs", name, setting)
		}
	}
	if len(r.problems) == before {
		r.set.connections[name] = connection{kind: mysqlKind, address: address.String()}
	}
}
