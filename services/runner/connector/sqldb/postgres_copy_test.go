package sqldb

import (
	"bytes"
	"io"
	"testing"

	"runhook/services/runner/row"
)

// What COPY reads is the same however little is read at once, and nothing comes of rows that are another's again.
func TestCopyTextInParts(t *testing.T) {
	var rows []*row.Row
	for i := range int64(3) {
		rows = append(rows, &row.Row{Values: []any{i, "a\tb\\", nil, []byte{0, 255}, true, 1.5}})
	}
	const one = "\ta\\tb\\\\\t\\N\t\\\\x00ff\ttrue\t1.5\n"
	want := "0" + one + "1" + one + "2" + one
	for size := 1; size < len(want)+2; size++ {
		text, got, part := &copyText{rows: rows}, bytes.Buffer{}, make([]byte, size)
		for {
			n, err := text.Read(part)
			got.Write(part[:n])
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if got.String() != want {
			t.Fatalf("%d bytes at once: %q, want %q", size, got.String(), want)
		}
	}
	text := &copyText{rows: rows}
	part := make([]byte, 4)
	if n, err := text.Read(part); n != 4 || err != nil {
		t.Fatal(n, err)
	}
	text.end()
	if n, err := text.Read(part); n != 0 || err != io.EOF {
		t.Errorf("after its end it gives %q, %v", part[:n], err)
	}
}
