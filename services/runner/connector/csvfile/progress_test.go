package csvfile

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/text/encoding/unicode"

	"runhook/shared/task"
)

// The progress is that of the rows that were read, in small files too, which are in a buffer whole.
func TestProgressFollowsTheRows(t *testing.T) {
	var text strings.Builder
	text.WriteString("who,n\n")
	letters := rand.New(rand.NewPCG(1, 2))
	const count = 200
	for i := range count {
		fmt.Fprintf(&text, "%0100x,%d\n", letters.Uint64(), i)
	}
	dense := "who,n\n" // which a few reads of the packed file give
	for i := range 10 * count {
		dense += fmt.Sprintf("%0300x,%d\n", letters.IntN(1000), i)
	}
	zipped := func(text string) string {
		var packed bytes.Buffer
		zip := gzip.NewWriter(&packed)
		if _, err := zip.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if err := zip.Close(); err != nil {
			t.Fatal(err)
		}
		return packed.String()
	}
	wide, err := unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewEncoder().String(text.String())
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(text.String(), "\n")
	for name, content := range map[string]string{
		"in.csv": text.String(), "wide.csv": wide, "in.csv.gz": zipped(text.String()), "dense.csv.gz": zipped(dense),
		"at hand.csv": strings.Join(lines[:21], ""), "large.csv": text.String() + strings.Repeat(strings.Join(lines[1:], ""), 9),
	} {
		folder := t.TempDir()
		if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(t.Context(), connections(t, folder), &task.CSVSource{Connection: "drop", Path: name})
		if err != nil {
			t.Fatal(err)
		}
		total := count
		switch name {
		case "at hand.csv":
			total = 20
		case "large.csv", "dense.csv.gz":
			total = 10 * count
		}
		cells := make([]any, 2)
		for n := 1; n <= total; n++ {
			if _, err := s.Next(t.Context(), cells); err != nil {
				t.Fatal(err)
			}
			if part, _ := s.Progress(); math.Abs(part-float64(n)/float64(total)) > 0.05 {
				t.Errorf("%s: %.3f after row %d of %d", name, part, n, total)
				break
			}
		}
		s.Close()
	}
}
