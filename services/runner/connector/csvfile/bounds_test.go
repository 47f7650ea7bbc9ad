package csvfile

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"runhook/services/runner/connector/connectortest"
	"runhook/shared/task"
)

// Whoever reads a file can be stopped where it has nothing but what comes to no row.
func TestReadingStops(t *testing.T) {
	var packed bytes.Buffer
	pack := gzip.NewWriter(&packed)
	if _, err := pack.Write([]byte("ID\n")); err != nil || pack.Close() != nil {
		t.Fatal(err)
	}
	begin := packed.Len()
	pack.Reset(&packed)
	pack.Close()
	empty := bytes.Clone(packed.Bytes()[begin:])
	folder := t.TempDir()
	for name, content := range map[string]string{
		"lines.csv":      "ID\n" + strings.Repeat("\n", 1<<20),
		"members.csv.gz": packed.String() + strings.Repeat(string(empty), 10_000),
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, skips := range []bool{false, true} {
			asked := 8
			ctx := connectortest.Ending(t.Context(), &asked)
			s, err := Open(ctx, connections(t, folder), &task.CSVSource{Connection: "drop", Path: name})
			if err != nil {
				t.Fatal(err)
			}
			if skips {
				err = s.Skip(ctx, 1)
			} else {
				_, err = s.Next(ctx, make([]any, 1))
			}
			if s.Close(); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// What an interrupted attempt has written is looked for in so much of the file only.
func TestMostWritten(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "out.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := file.Truncate(100 + maxWritten + 1); err != nil {
		t.Fatal(err)
	}
	for behind, want := range map[int64]int{100: 0, 101: maxWritten, maxWritten + 91: 10} {
		d := &Destination{file: file, resumed: true, behind: behind, began: 100 + maxWritten + 1}
		if err := d.findWritten(); err != nil || len(d.written) != want {
			t.Errorf("behind %d bytes: %d are compared, %v", behind, len(d.written), err)
		}
	}
}

// idle gives nothing and no end.
type idle struct{}

func (idle) Read([]byte) (int, error) { return 0, nil }

// What gives nothing is not asked for ever.
func TestNoProgress(t *testing.T) {
	if err := newReader(idle{}, ',', 10).read(); !errors.Is(err, io.ErrNoProgress) {
		t.Error(err)
	}
}

// A row has so many columns and no more, in whatever way they are written.
func TestMostColumns(t *testing.T) {
	for name, c := range map[string]struct {
		cell string
		from task.CSVSource
	}{
		"plain": {cell: "a"}, "quoted": {cell: `"a"`}, "escaped": {cell: `\a`, from: task.CSVSource{Escapes: true}},
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			from := c.from
			from.Connection, from.Path = "drop", "in.csv"
			open := func(count int) error {
				content := strings.Repeat(c.cell+",", count-1) + c.cell + "\n"
				if err := os.WriteFile(filepath.Join(folder, "in.csv"), []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
				s, err := Open(t.Context(), connections(t, folder), &from)
				if err == nil {
					s.Close()
				}
				return err
			}
			if err := open(maxColumns); err != nil {
				t.Error(err)
			}
			if err := open(maxColumns + 1); err == nil || !strings.Contains(err.Error(), "the header of the file in.csv of connection drop has more than 16384 columns") {
				t.Errorf("got %v", err)
			}
		})
	}
}
