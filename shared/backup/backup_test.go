package backup_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"runhook/shared/backup"
)

// What was dropped is not in the file, which is whole all the same.
func TestDroppedParts(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("long ", 1000)
	write := func(file *written, dropping bool) {
		drop := func(name string, texts ...string) {
			if dropping {
				file.add(name, texts...)
				file.drop(name)
			}
		}
		drop("one")
		drop("one", "wrong", long)
		file.add("one", "1", long)
		if dropping {
			file.drop("two") // nothing of it has come
		}
		drop("two", long, "wrong")
		drop("two")
		file.add("two", "2")
		drop("three", long)
		if dropping {
			file.add("three", "wrong")
			file.add("four", long)
			file.add("five", "wrong")
			file.drop("three") // with all behind it
		}
		file.add("three", "3")
	}
	plain, dropped := create(t, "plain"), create(t, "dropped")
	write(plain, false)
	write(dropped, true)
	if was, is := plain.commit(), dropped.commit(); is != was {
		t.Errorf("the file has %d bytes, and %d without what was dropped", is, was)
	}
	read, err := backup.Open(dropped.path)
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	var got []string
	for {
		name, data, err := read.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprintf("%s %d %.4s", name, len(data), data))
	}
	if want := fmt.Sprint([]string{"one 1 1", "one 5000 long", "two 1 2", "three 1 3"}); fmt.Sprint(got) != want {
		t.Errorf("the file has %v, want %s", got, want)
	}
}

// written is a backup that a test writes.
type written struct {
	*backup.Writer
	t    *testing.T
	path string
}

func create(t *testing.T, name string) *written {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	file, err := backup.Create(path, backup.Manifest{Store: "s", MadeOn: time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC)})
	if err != nil {
		t.Fatal(err)
	}
	return &written{file, t, path}
}

func (w *written) add(name string, texts ...string) {
	w.t.Helper()
	for _, text := range texts {
		if err := w.Add(name, []byte(text)); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *written) drop(name string) {
	w.t.Helper()
	if err := w.Drop(name); err != nil {
		w.t.Fatal(err)
	}
}

// commit returns how large the file is.
func (w *written) commit() int64 {
	w.t.Helper()
	if _, err := w.Commit(); err != nil {
		w.t.Fatal(err)
	}
	info, err := os.Stat(w.path)
	if err != nil {
		w.t.Fatal(err)
	}
	return info.Size()
}
