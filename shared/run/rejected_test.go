package run

import (
	"reflect"
	"strings"
	"testing"
)

// What is stored is compressed; what an older version has stored is not, and is read all the same.
func TestRejectedChunks(t *testing.T) {
	t.Parallel()
	chunk := RejectedChunk{Columns: []string{"ID", "Name"}, Delimiter: ";"}
	for range 256 {
		chunk.Rows = append(chunk.Rows, RejectedRow{Row: 7, Column: "id", Reason: "must not be empty: it is the key", Cells: []string{"", "Ann <&> Ö"}})
	}
	data, err := chunk.Encode()
	if err != nil || len(data) > 2000 {
		t.Errorf("%d bytes, %v", len(data), err)
	}
	if read, err := DecodeRejectedChunk(data); err != nil || !reflect.DeepEqual(read, chunk) {
		t.Errorf("%v: %+v", err, read)
	}
	old := `{"Columns":["ID"],"Delimiter":",","Rows":[{"Row":1,"Column":"id","Reason":"r","Cells":["x"]}]}`
	want := RejectedChunk{Columns: []string{"ID"}, Delimiter: ",", Rows: []RejectedRow{{Row: 1, Column: "id", Reason: "r", Cells: []string{"x"}}}}
	if read, err := DecodeRejectedChunk([]byte(old)); err != nil || !reflect.DeepEqual(read, want) {
		t.Errorf("%v: %+v", err, read)
	}
	for _, none := range []string{"", "{}", "no JSON", string(data[:len(data)/2]), old[:20], strings.Repeat("\x1f\x8b", 20)} {
		if read, err := DecodeRejectedChunk([]byte(none)); err == nil {
			t.Errorf("%q is read as %+v", none, read)
		}
	}
}

func TestRejectedSet(t *testing.T) {
	t.Parallel()
	set := RejectedSet{}.With(5, 1, 10, 100).With(5, 2, 20, 200).With(9, 1, 1, 7)
	if want := (RejectedSet{{5, 1, 2, 30, 300}, {9, 1, 1, 1, 7}}); !reflect.DeepEqual(set, want) {
		t.Errorf("%+v", set)
	}
	if rows, size := set.Rows(); rows != 31 || size != 307 || set.Chunks() != 3 {
		t.Errorf("%d rows of %d bytes in %d chunks", rows, size, set.Chunks())
	}
}
