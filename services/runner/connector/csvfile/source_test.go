package csvfile_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"runhook/services/runner/connection"
	"runhook/services/runner/connector/csvfile"
	"runhook/services/runner/row"
	"runhook/shared/run"
	"runhook/shared/task"
)

// Whatever a file holds, it opens or says why not, and every row is a row, a fault or the reason for
// the end.
func FuzzSource(f *testing.F) {
	f.Add([]byte("ID,Name\n1,\"Ann\"\n2\n"), "", ",")
	f.Add([]byte("\xFF\xFEI\x00D\x00\n\x001\x00"), "", ",")
	f.Add([]byte("ID;N\xEB\n1;\x81\n"), "windows-1252", ";")
	f.Add([]byte("\xEF\xBB\xBFID\tN\n\xED\xA0\x80\t1\n"), "shift_jis", "\t")
	f.Add([]byte("ID\n\x1b$B\n"), "iso-2022-jp", "§")
	folder := f.TempDir()
	set, err := connection.Parse([]byte("drop: {files: .}"), filepath.Join(folder, "connections.yaml"))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte, encoding, delimiter string) {
		if err := os.WriteFile(filepath.Join(folder, "in.csv"), data, 0o600); err != nil {
			t.Fatal(err)
		}
		from := &task.CSVSource{Connection: "drop", Path: "in.csv", Encoding: encoding}
		for _, letter := range delimiter {
			from.Delimiter = letter
		}
		s, err := csvfile.Open(t.Context(), set, from)
		if err != nil {
			if _, ok := errors.AsType[*run.Failure](err); !ok {
				t.Fatalf("not a failure: %v", err)
			}
			return
		}
		defer s.Close()
		cells := make([]any, len(s.Columns().Names))
		for rows := 0; ; rows++ {
			clear(cells)
			_, err := s.Next(t.Context(), cells)
			if errors.Is(err, io.EOF) {
				break
			}
			if _, own := row.Own(err); own {
				if texts := s.Record().Texts(); len(texts) != len(cells) {
					t.Fatalf("a row that cannot be read has the cells %q", texts)
				}
				continue
			}
			if _, ok := errors.AsType[*run.Failure](err); ok {
				return
			}
			if err != nil {
				t.Fatalf("neither a fault nor a failure: %v", err)
			}
			for i, cell := range cells {
				if _, ok := cell.(string); !ok {
					t.Fatalf("cell %d is %T", i, cell)
				}
			}
			for i, text := range s.Record().Texts() {
				if text != cells[i] {
					t.Fatalf("cell %d is %q, and kept as %q", i, cells[i], text)
				}
			}
			if p, _ := s.Progress(); p < 0 || p > 1 {
				t.Fatalf("progress %v", p)
			}
			if rows > len(data) {
				t.Fatal("more rows than bytes")
			}
		}
	})
}
