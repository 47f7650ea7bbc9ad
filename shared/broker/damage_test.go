package broker

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// The index of a stream is kept where its newest block ends as a message does.
func TestIndexOfAnEndInZerosIsRemoved(t *testing.T) {
	t.Parallel()
	dir, zeros, message := t.TempDir(), make([]byte, 100), []byte("a message, and its checksum")
	for name, blocks := range map[string][][]byte{
		"whole":       {message},
		"torn":        {append(bytes.Clone(message), zeros...)},
		"torn before": {append(bytes.Clone(message), zeros...), message},
		"torn since":  {message, append(bytes.Clone(message), zeros[:checksum]...)},
		"nearly":      {append(bytes.Clone(message), zeros[:checksum-1]...)},
		"only zeros":  {zeros},
		"short":       {zeros[:checksum-1]},
		"empty":       {nil},
	} {
		msgs := filepath.Join(dir, "jetstream", "$G", "streams", name, "msgs")
		if err := os.MkdirAll(msgs, 0o700); err != nil {
			t.Fatal(err)
		}
		for i, data := range append(blocks, []byte("the index")) {
			file := []string{"9.blk", "10.blk"}[min(i, 1)]
			if i == len(blocks) {
				file = "index.db"
			}
			if err := os.WriteFile(filepath.Join(msgs, file), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for range 2 { // also where there is none
		if err := distrust(dir); err != nil {
			t.Fatal(err)
		}
	}
	for name, kept := range map[string]bool{
		"whole": true, "torn": false, "torn before": true, "torn since": false, "nearly": true, "only zeros": false, "short": true, "empty": true,
	} {
		_, err := os.Stat(filepath.Join(dir, "jetstream", "$G", "streams", name, "msgs", "index.db"))
		if is := err == nil; is != kept {
			t.Errorf("%s: the index is there: %t", name, is)
		}
	}
}
