package backup_test

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"runhook/shared/backup"
)

// What was dropped is not in the file, which is whole all the same.
func TestDroppedParts(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.backup")
	file, err := backup.Create(path, backup.Manifest{Store: "s", MadeOn: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	add := func(name string, texts ...string) {
		t.Helper()
		for _, text := range texts {
			if err := file.Add(name, []byte(text)); err != nil {
				t.Fatal(err)
			}
		}
	}
	drop := func(name string) {
		t.Helper()
		if err := file.Drop(name); err != nil {
			t.Fatal(err)
		}
	}
	long := strings.Repeat("long ", 1000)
	drop("one")
	add("one", "wrong", long)
	drop("one")
	add("one", "1", long)
	drop("two") // nothing of it has come
	add("two", long, "wrong")
	drop("two")
	drop("two")
	add("two", "2")
	add("three", "3")
	if _, err := file.Commit(); err != nil {
		t.Fatal(err)
	}
	read, err := backup.Open(path)
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
