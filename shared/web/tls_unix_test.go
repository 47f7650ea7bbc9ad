//go:build unix

package web

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/rs/zerolog"

	"runhook/shared/proctest"
)

// A pipe that comes into the place of a certificate holds nobody up, and the certificate from before still holds.
func TestCertificateThatBecomesAPipe(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	certFile, keyFile := proctest.Certificate(t, dir)
	log := proctest.NewOutput()
	certificate, err := LoadCertificate(certFile, keyFile, zerolog.New(log))
	if err != nil {
		t.Fatal(err)
	}
	certificate.lookAgain = 0
	before, _ := certificate.get(nil)
	if err := os.Remove(certFile); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(certFile, 0o600); err != nil {
		t.Fatal(err)
	}
	if now, err := certificate.get(nil); err != nil || now != before || !strings.Contains(log.String(), filepath.Base(certFile)) {
		t.Errorf("the certificate is %v, %v; the log says %s", now, err, log)
	}
}

// A key that others could read or change would let them sign links.
func TestKeysThatOthersCanReadAreRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "run.key")
	if err := CreateKeyFile(path); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []os.FileMode{0o644, 0o620, 0o602} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadKeys(path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadKeys(path); err != nil {
		t.Error(err)
	}
}
