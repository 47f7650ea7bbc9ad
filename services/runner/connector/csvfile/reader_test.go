package csvfile

import (
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// records reads all of a text; a record that cannot be read is an error's text.
func records(in io.Reader, delimiter rune) [][]string {
	r := newReader(in, delimiter, largestRead)
	var all [][]string
	for {
		err := r.read()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			all = append(all, []string{"error: " + err.Error()})
			if !errors.Is(err, errQuote) {
				return all
			}
			continue
		}
		text := string(r.record)
		var record []string
		for _, f := range r.fields {
			record = append(record, f.text(text))
		}
		all = append(all, record)
	}
}

func TestReader(t *testing.T) {
	quote, unclosed := "error: "+errQuote.Error(), "error: "+errUnclosed.Error()
	for _, c := range []struct {
		text string
		want [][]string
	}{
		{"", nil},
		{"\n\r\n\n", nil},
		{"a", [][]string{{"a"}}},
		{"a,b\nc,d", [][]string{{"a", "b"}, {"c", "d"}}},
		{"a,b\r\n\r\nc,d\r\n", [][]string{{"a", "b"}, {"c", "d"}}},
		{",\n,,", [][]string{{"", ""}, {"", "", ""}}},
		{`""`, [][]string{{""}}},
		{`"",""` + "\r", [][]string{{"", ""}}},
		{`"a""b","""","c,d"` + "\n", [][]string{{`a"b`, `"`, "c,d"}}},
		{"\"a\r\nb\nc\",d\ne", [][]string{{"a\r\nb\nc", "d"}, {"e"}}},
		{"\"a\",\nb", [][]string{{"a", ""}, {"b"}}},
		{"a,\"b\n\"", [][]string{{"a", "b\n"}}},
		{"a\"b,c\nd", [][]string{{quote}, {"d"}}},
		{"\"a\"b,c\nd", [][]string{{quote}, {"d"}}},
		{"\"a\" ,c\nd", [][]string{{quote}, {"d"}}},
		{"\"a\nb\"c\nd", [][]string{{quote}, {"d"}}},
		{"a,b\"\n\"c\nd", [][]string{{quote}, {unclosed}}},
		{"a\n\"b,c\nd\n", [][]string{{"a"}, {unclosed}}},
		{"a\rb,c\n", [][]string{{"a\rb", "c"}}},
		{"a,b\r\r\n\r\r\n\"c\",d\r\r\r", [][]string{{"a", "b"}, {"c", "d"}}},
	} {
		for name, in := range map[string]io.Reader{
			"whole": strings.NewReader(c.text), "by byte": iotest.OneByteReader(strings.NewReader(c.text)),
			"end with data": iotest.DataErrReader(strings.NewReader(c.text)),
		} {
			if got := records(in, ','); !slices.EqualFunc(got, c.want, slices.Equal) {
				t.Errorf("%q %s: got %q, want %q", c.text, name, got, c.want)
			}
		}
	}
}

// Records larger than the buffer, and up to the bound, are read; the buffer moves under them.
func TestReaderOfLongRecords(t *testing.T) {
	long := strings.Repeat("x\n", 100_000)
	text := "a,b\n" + strings.Repeat("1,2\n", 20_000) + `"` + long + `",y` + "\nz,z\n"
	got := records(strings.NewReader(text), ',')
	if n := len(got); n != 20_003 || got[n-2][0] != long || got[n-2][1] != "y" || got[n-1][0] != "z" {
		t.Errorf("%d records", len(got))
	}
	for size, want := range map[int]int{maxRecord - 1: 2, maxRecord + 1: 1} {
		r := newReader(io.MultiReader(strings.NewReader(strings.Repeat("x", size)), strings.NewReader("\ny\n")), ',', largestRead)
		var err error
		n := 0
		for ; err == nil; n++ {
			err = r.read()
		}
		if n-1 != want && want == 2 || want == 1 && !errors.Is(err, errTooLong) {
			t.Errorf("a record of %d bytes: %d records, %v", size, n-1, err)
		}
		if cap(r.buffer) > 4*maxRecord {
			t.Errorf("the buffer grew to %d", cap(r.buffer))
		}
	}
}

func TestReaderPassesOnWhatFails(t *testing.T) {
	failed := errors.New("the disk")
	r := newReader(io.MultiReader(strings.NewReader("a\nb"), iotest.ErrReader(failed)), ',', largestRead)
	if err := r.read(); err != nil || string(r.record) != "a\n" {
		t.Errorf("first: %v", err)
	}
	if err := r.read(); !errors.Is(err, failed) {
		t.Errorf("got %v, want the reader's error", err)
	}
}

// What the standard library reads, this reader reads too, but for line ends between quotes, which
// stay as they are. What one refuses, so does the other.
func FuzzReader(f *testing.F) {
	for _, seed := range []string{"a,b\nc,d\n", "\"a\"\"b\",c\r\n", "a\"b\nc\n", "\"a\nb\"c\nd", "\"a", "\n\n,\r\n", "\"\r\n\",x", "é;\u2028,\xff\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := records(strings.NewReader(text), ',')
		if byByte := records(iotest.OneByteReader(strings.NewReader(text)), ','); !slices.EqualFunc(got, byByte, slices.Equal) {
			t.Fatalf("%q read whole is %q, byte by byte %q", text, got, byByte)
		}
		if strings.Contains(text, "\r\r") || strings.ContainsAny(text, "\x1A\uFEFF") {
			return // of a line's end, which the standard library keeps a part of, or marks between files
		}
		standard := csv.NewReader(strings.NewReader(text))
		standard.FieldsPerRecord = -1
		for i := 0; ; i++ {
			want, err := standard.Read()
			if errors.Is(err, io.EOF) {
				if i != len(got) {
					t.Fatalf("%q: %d records, want %d: %q", text, len(got), i, got)
				}
				return
			}
			if i == len(got) {
				t.Fatalf("%q: %d records, want more: %q, %v", text, len(got), want, err)
			}
			failed := len(got[i]) == 1 && strings.HasPrefix(got[i][0], "error: ")
			if err != nil || failed {
				if (err != nil) != failed {
					t.Fatalf("%q: record %d is %q, the standard library says %v", text, i, got[i], err)
				}
				return // from here on they may see different records
			}
			for j := range got[i] {
				got[i][j] = strings.ReplaceAll(got[i][j], "\r\n", "\n")
			}
			if !slices.Equal(got[i], want) {
				t.Fatalf("%q: record %d is %q, want %q", text, i, got[i], want)
			}
		}
	})
}

// What is written is read back, byte for byte.
func FuzzWriteAndRead(f *testing.F) {
	f.Add("a", "b,\"c\"")
	f.Add("", "")
	f.Add(" a\r\n", "\r")
	f.Fuzz(func(t *testing.T, a, b string) {
		for _, want := range [][]string{{a, b}, {a}} {
			text := appendRecord(nil, want)
			got := records(bytes.NewReader(text), ',')
			if len(got) != 1 || !slices.Equal(got[0], want) {
				t.Fatalf("%q was written as %q and read as %q", want, text, got)
			}
		}
	})
}

func BenchmarkReader(b *testing.B) {
	for name, line := range map[string]string{
		"plain":  "00000042,Margaret,Ann Lee,member42@example.org,2026-01-31\n",
		"quoted": "\"00000042\",\"Margaret\",\"Lee, Ann\",\"member42@example.org\",\"2026-01-31\"\n",
	} {
		text := strings.Repeat(line, 10_000)
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				r := newReader(strings.NewReader(text), ',', largestRead)
				for r.read() == nil {
				}
			}
		})
		b.Run(name+"/standard library", func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				r := csv.NewReader(strings.NewReader(text))
				r.ReuseRecord = true
				for {
					if _, err := r.Read(); err != nil {
						break
					}
				}
			}
		})
	}
}
