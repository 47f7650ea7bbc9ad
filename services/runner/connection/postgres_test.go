package connection_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"runhook/services/runner/connection"
)

// What stands in the environment is put into the part of the URL in which it is written, whatever letters it has.
func TestPostgresURL(t *testing.T) {
	t.Setenv("RUNHOOK_TEST_PASSWORD", "a@b/c?d#e%2f:$ü")
	t.Setenv("RUNHOOK_TEST_PORT", "5433")
	t.Setenv("RUNHOOK_TEST_URL", "postgresql://app:x@db/crm")
	for written, want := range map[string]string{
		"postgres://app:${RUNHOOK_TEST_PASSWORD}@db.example.org/crm":                          "postgres://app:a%40b%2Fc%3Fd%23e%252f%3A$%C3%BC@db.example.org/crm",
		"postgres://app:${RUNHOOK_TEST_PASSWORD}@db:${RUNHOOK_TEST_PORT}/crm":                 "postgres://app:a%40b%2Fc%3Fd%23e%252f%3A$%C3%BC@db:5433/crm",
		"postgres://app@db/crm?sslmode=verify-full&application_name=${RUNHOOK_TEST_PASSWORD}": "postgres://app@db/crm?application_name=a%40b%2Fc%3Fd%23e%252f%3A%24%C3%BC&sslmode=verify-full",
		"${RUNHOOK_TEST_URL}":       "postgres://app:x@db/crm",
		"postgresql://db/crm":       "postgres://db/crm",
		"postgres:///crm?host=/run": "postgres:///crm?host=%2Frun",
	} {
		set, err := connection.Parse([]byte("crm: {postgres: '"+written+"'}\n"), "c.yaml")
		if err != nil {
			t.Errorf("%s: %v", written, err)
			continue
		}
		if got, err := set.Database("crm"); err != nil || got.Postgres != want || got.Name != "crm" || got.SQLite != "" {
			t.Errorf("%s: %+v, %v; want %s", written, got, err, want)
		}
	}
}

func TestPostgresURLIsRefused(t *testing.T) {
	for written, want := range map[string]string{
		"{}":                                    "must be a URL, as in crm: {postgres:",
		"./crm.db":                              "must be a URL",
		"mysql://hunter2@db/crm":                "must be a URL",
		"postgres://app:hunter2@db:port/crm":    "must be a URL",
		"postgres://app:hunter2@/crm":           "has no host",
		"postgres://app:hunter2@db":             "has no database behind the host",
		"postgres://db/crm?sslmode=hunter2":     "sslmode must be one of disable, allow",
		"postgres://db/crm?password=hunter2":    "the password goes in front of the host",
		"postgres://app@db/crm#hunter2":         "cannot have a #",
		"postgres://app:${RUNHOOK_NOT_SET}@h/d": "the environment variable RUNHOOK_NOT_SET is not set",
	} {
		if !strings.HasPrefix(written, "{") {
			written = "'" + written + "'"
		}
		_, err := connection.Parse([]byte("crm: {postgres: "+written+"}\n"), "c.yaml")
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v, want %s", written, err, want)
		}
	}
}

// A file that everybody may read holds no password.
func TestPostgresPasswordInTheFile(t *testing.T) {
	t.Setenv("RUNHOOK_TEST_PASSWORD", "x")
	for written, refused := range map[string]bool{
		"postgres://app:hunter2@db/crm":                  true,
		"postgres://app@db/crm":                          false,
		"postgres://app:${RUNHOOK_TEST_PASSWORD}@db/crm": false,
	} {
		file := filepath.Join(t.TempDir(), "c.yaml")
		if err := os.WriteFile(file, []byte("crm: {postgres: '"+written+"'}\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := connection.Load(file)
		if (err != nil) != refused || refused && (!strings.Contains(err.Error(), "holds its password itself") || strings.Contains(err.Error(), "hunter2")) {
			t.Errorf("%s: %v", written, err)
		}
	}
}
