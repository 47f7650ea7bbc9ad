package csvfile

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"runhook/shared/task"
)

// A checkpoint holds a version, and may be continued by another release: how a version is made is the
// same whether the file is read whole when it is opened, or not.
func TestVersion(t *testing.T) {
	folder := t.TempDir()
	set := connections(t, folder)
	path := filepath.Join(folder, "in.csv")
	moment := time.Unix(1_700_000_000, 0)
	put := func(content string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, moment, moment); err != nil {
			t.Fatal(err)
		}
	}
	open := func() *Source {
		t.Helper()
		s, err := Open(t.Context(), set, &task.CSVSource{Connection: "drop", Path: "in.csv"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	}
	version := func(s *Source) string {
		t.Helper()
		v, err := s.Version()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, size := range []int{3, headBytes - 1, headBytes, headBytes + 1, versionBytes + 1} {
		content := "n\n" + strings.Repeat("1", size-2)
		put(content)
		s := open()
		before := version(s)
		if whole, err := FileVersion(s.file, s.info, s.place); err != nil || whole != before {
			t.Errorf("%d bytes: version %s, of the file itself %s, %v", size, before, whole, err)
		}
		if size <= headBytes {
			put(strings.Replace(content, "1", "2", 1))
			if after := version(s); after != before {
				t.Errorf("%d bytes: the version is not of what was read, but %s", size, after)
			}
		}
		for what, changed := range map[string]string{
			"content": strings.Replace(content, "1", "2", 1), "size": content + "1",
		} {
			put(changed)
			if after := version(open()); after == before {
				t.Errorf("%d bytes: %s changed, and the version did not", size, what)
			}
		}
		put(content)
		if err := os.Chtimes(path, moment, moment.Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		if after := version(open()); after == before {
			t.Errorf("%d bytes: the time changed, and the version did not", size)
		}
	}
	put("n\n1\n")
	const known = "4 1700000000000000000 "
	if v := version(open()); v != known+"6ff2d84956e507dade83da732a88aa6f" {
		t.Errorf("the version of a known file is %s", v)
	}
}
