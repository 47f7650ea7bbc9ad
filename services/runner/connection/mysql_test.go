package connection_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"runhook/services/runner/connection"
)

// What stands in the environment is put into the part of the URL in which it is written, whatever letters it has.
func TestMySQLURL(t *testing.T) {
	t.Setenv("RUNHOOK_TEST_PASSWORD", "a@b/c?d#e%2f:$ü")
	t.Setenv("RUNHOOK_TEST_URL", "mariadb://app:x@db/crm")
	for written, want := range map[string]string{
		"mysql://app:${RUNHOOK_TEST_PASSWORD}@db.example.org:3307/crm":        "mysql://app:a%40b%2Fc%3Fd%23e%252f%3A$%C3%BC@db.example.org:3307/crm",
		"mysql://app@db/crm?ssl-mode=VERIFY_IDENTITY&password-file=/run/pass": "mysql://app@db/crm?password-file=%2Frun%2Fpass&ssl-mode=VERIFY_IDENTITY",
		"${RUNHOOK_TEST_URL}":                       "mysql://app:x@db/crm",
		"mysql:///crm?socket=/run/mysqld/s":         "mysql:///crm?socket=%2Frun%2Fmysqld%2Fs",
		"mysql://db/crm?max_statement_time=60":      "mysql://db/crm?max_statement_time=60",
		"mysql://db/crm?innodb_lock_wait_timeout=5": "mysql://db/crm?innodb_lock_wait_timeout=5",
	} {
		set, err := connection.Parse([]byte("crm: {mysql: '"+written+"'}\n"), "c.yaml")
		if err != nil {
			t.Errorf("%s: %v", written, err)
			continue
		}
		if got, err := set.Database("crm"); err != nil || got.MySQL != want || got.Name != "crm" || got.SQLite+got.Postgres != "" {
			t.Errorf("%s: %+v, %v; want %s", written, got, err, want)
		}
	}
}

func TestMySQLURLIsRefused(t *testing.T) {
	for written, want := range map[string]string{
		"{}":                                               "must be a URL, as in crm: {mysql:",
		"app:hunter2@tcp(db:3306)/crm":                     "must be a URL",
		"postgres://hunter2@db/crm":                        "must be a URL",
		"mysql://app:hunter2@/crm":                         "has no host",
		"mysql://app:hunter2@db":                           "has no database behind the host",
		"mysql://app:hunter2@db/crm/x":                     "has no database behind the host",
		"mysql://db/crm?ssl-mode=hunter2":                  "ssl-mode must be one of DISABLED, PREFERRED",
		"mysql://db/crm?ssl-cert=/hunter2":                 "ssl-cert and ssl-key belong together",
		"mysql://db/crm?password=hunter2":                  "the password goes in front of the host",
		"mysql://db/crm?ssl-mode=REQUIRED;hunter2":         "must be name=value, with & between",
		"mysql://app@db/crm#hunter2":                       "cannot have a #",
		"mysql://app:${RUNHOOK_NOT_SET}@h/d":               "the environment variable RUNHOOK_NOT_SET is not set",
		"mysql://app:hunter2@db/crm?password-file=/x":      "has a password and a password-file",
		"mysql://db/crm?sql_mode=":                         "sql_mode is set by the runner",
		"mysql://db/crm?time_zone=hunter2":                 "time_zone is set by the runner",
		"mysql://db/crm?sslMode=hunter2":                   "must be one of socket, ssl-mode",
		"mysql://db/crm?group_concat_max_len=hunter2'%2B1": "has a letter that no variable's value needs",
	} {
		if !strings.HasPrefix(written, "{") {
			written = "'" + strings.ReplaceAll(written, "'", "''") + "'"
		}
		_, err := connection.Parse([]byte("crm: {mysql: "+written+"}\n"), "c.yaml")
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v, want %s", written, err, want)
		}
	}
}

// A file that everybody may read holds no password.
func TestMySQLPasswordInTheFile(t *testing.T) {
	t.Setenv("RUNHOOK_TEST_PASSWORD", "x")
	for written, refused := range map[string]bool{
		"mysql://app:hunter2@db/crm":                  true,
		"mysql://app@db/crm?password-file=/run/pass":  false,
		"mysql://app:${RUNHOOK_TEST_PASSWORD}@db/crm": false,
	} {
		file := filepath.Join(t.TempDir(), "c.yaml")
		if err := os.WriteFile(file, []byte("crm: {mysql: '"+written+"'}\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := connection.Load(file)
		if (err != nil) != refused || refused && (!strings.Contains(err.Error(), "holds its password itself") || strings.Contains(err.Error(), "hunter2")) {
			t.Errorf("%s: %v", written, err)
		}
	}
}
