//go:build unix

package caller

import (
	"os"
	"strings"
	"testing"

	"github.com/rs/zerolog"
)

func TestSecretsFileOfOthers(t *testing.T) {
	path := write(t, "a: "+partner)
	for mode, refused := range map[os.FileMode]bool{
		0o600: false, 0o400: false, 0o640: false, 0o660: true, 0o604: true, 0o602: true, 0o644: true, 0o666: true,
	} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		_, err := LoadSecrets(path, zerolog.Nop())
		if (err != nil) != refused || refused && !strings.Contains(err.Error(), "--secrets: "+path+" may be ") {
			t.Errorf("%o: %v", mode, err)
		}
	}
}
