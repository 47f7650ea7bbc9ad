package csvfile_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"runhook/services/runner/connector/csvfile"
	"runhook/services/runner/row"
	"runhook/shared/task"
)

// rowsOf reads a file: the header, rows with | between their cells, <null>, what is wrong with a row, or
// why there are no more. A skip before each row comes to the same.
func rowsOf(t *testing.T, text string, from task.CSVSource) (rows, warnings []string) {
	t.Helper()
	folder := t.TempDir()
	if from.Path == "" {
		from.Path = "in.csv"
	}
	from.Connection = "drop"
	if err := os.WriteFile(filepath.Join(folder, from.Named()), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	set := connections(t, folder)
	for skip := 0; ; skip++ {
		s, err := csvfile.Open(t.Context(), set, &from)
		if err != nil {
			return []string{err.Error()}, nil
		}
		if err := s.Skip(t.Context(), int64(skip)); err != nil {
			s.Close()
			break
		}
		got := []string{strings.Join(s.Columns().Names, "|")}
		for {
			cells := make([]any, len(s.Columns().Names))
			_, err := s.Next(t.Context(), cells)
			if fault, own := row.Own(err); own {
				if fault == nil {
					got = append(got, "(blank)")
				} else {
					got = append(got, "! "+fault.Error())
				}
				continue
			}
			if err != nil {
				if !errors.Is(err, io.EOF) {
					got = append(got, "! "+err.Error())
				}
				break
			}
			texts := make([]string, len(cells))
			for i, cell := range cells {
				if texts[i] = "<null>"; cell != nil {
					texts[i] = cell.(string)
				}
			}
			got = append(got, strings.Join(texts, "|"))
		}
		if skip == 0 {
			rows, warnings = got, s.Warnings()
		} else if !slices.Equal(got[1:], rows[min(1+skip, len(rows)):]) {
			t.Errorf("behind %d rows of %q come %q, want %q", skip, text, got[1:], rows[1+skip:])
		}
		s.Close()
	}
	return rows, warnings
}

type rowsCase struct {
	name, text string
	from       task.CSVSource
	// want are the header and the rows, of which those with ! need only begin so.
	want []string
	// warned is what the one warning has in it; "" for none.
	warned string
}

func expectRows(t *testing.T, cases []rowsCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, warnings := rowsOf(t, c.text, c.from)
			if !slices.EqualFunc(got, c.want, func(got, want string) bool {
				return got == want || strings.HasPrefix(want, "! ") && strings.HasPrefix(got, want)
			}) {
				t.Errorf("%q is read as\n%q, want\n%q", c.text, got, c.want)
			}
			if (len(warnings) > 0) != (c.warned != "") || len(warnings) > 1 || c.warned != "" && !strings.Contains(warnings[0], c.warned) {
				t.Errorf("%q: warnings %q, want one with %q", c.text, warnings, c.warned)
			}
		})
	}
}

// Every carriage return before a line's end belongs to the end, unless it is in quotes.
func TestCarriageReturnsBeforeLineEnds(t *testing.T) {
	expectRows(t, []rowsCase{
		{name: "two", text: "id,status\r\r\n1,A\r\r\n2,\r\r\n3,\"x\"\r\r\n", want: []string{"id|status", "1|A", "2|", "3|x"}},
		{name: "three, and none at the end", text: "id,status\r\r\r\n1,A\r\r\r\n2,B\r\r", want: []string{"id|status", "1|A", "2|B"}},
		{name: "in some lines", text: "id,status\n1,A\r\r\n2,B\r\n3,C\n", want: []string{"id|status", "1|A", "2|B", "3|C"}},
		{name: "empty lines of them", text: "id,status\r\r\n\r\r\n1,A\r\r\n", want: []string{"id|status", "1|A"}},
		{name: "in quotes, and inside a cell", text: "id,status\r\r\n\"1\r\r\n2\",A\rB\r\r\n", want: []string{"id|status", "1\r\r\n2|A\rB"}},
		{name: "behind a backslash", text: "id\tstatus\r\r\n1\tA\\n\r\r\n", from: task.CSVSource{Delimiter: '\t', Escapes: true}, want: []string{"id|status", "1|A\n"}},
	})
}

// Words for no value mean it without quotes only, and letters behind a backslash what databases mean.
func TestNullsAndEscapes(t *testing.T) {
	tsv := task.CSVSource{Delimiter: '\t', Escapes: true}
	nulls := func(words ...string) task.CSVSource { return task.CSVSource{Null: words} }
	expectRows(t, []rowsCase{
		{
			name: "a copy of psql", text: "id\tname\tnote\n1\tAnn \"A\"\ta\\tb\\\\n\\r\n2\tBob\t\\N\n3\t\\\\N\tC:\\\\tmp\\\n next\n", from: task.CSVSource{Delimiter: '\t', Escapes: true, NoQuotes: true},
			want: []string{"id|name|note", "1|Ann \"A\"|a\tb\\n\r", "2|Bob|<null>", `3|\N|C:\tmp` + "\n next"},
		},
		{name: "mysql", text: "id\tnote\n1\tNULL\n2\tx\\0\\Z\n3\t\n", from: task.CSVSource{Delimiter: '\t', Escapes: true, Null: []string{"NULL"}}, want: []string{"id|note", "1|<null>", "2|x\x00\x1a", "3|"}},
		{name: "R", text: "\"\",\"id\",\"note\"\n\"1\",1,\"NA\"\n\"2\",2,NA\n\"3\",NA,\"a \"\"NA\"\"\"\n", from: nulls("NA"), want: []string{"id|note", "1|NA", "2|<null>", `<null>|a "NA"`}},
		{name: "nothing is null", text: "id,note\n1,\n2,\"\"\n", from: nulls(""), want: []string{"id|note", "1|<null>", "2|"}},
		{name: "without the field", text: "id,note\n1,NULL\n2,\\N\\n\n", want: []string{"id|note", "1|NULL", `2|\N\n`}},
		{name: "not a part, nor another case", text: "id,note\n1,NULLS\n2,null\n3, NULL\n", from: nulls("NULL"), want: []string{"id|note", "1|NULLS", "2|null", "3| NULL"}},
		{name: "an error that means no value", text: "id,note\n1,#N/A\n2,#REF!\n", from: nulls("#N/A"), want: []string{"id|note", "1|<null>", "! note has an error of a spreadsheet"}},
		{name: "in quotes", text: "id\tnote\n\"1\"\t\"a \\\" b \"\" c\\\nd\te\nf\"\n\"2\"\t\"\\N\"\n", from: tsv, want: []string{"id|note", "1|a \" b \" c\nd\te\nf", "2|N"}},
		{name: "an escaped delimiter", text: "id|note\n1|a\\|b\n", from: task.CSVSource{Delimiter: '|', Escapes: true}, want: []string{"id|note", "1|a|b"}},
		{name: "a long escaped delimiter", text: "id§note\n1§a\\§b\\\n", from: task.CSVSource{Delimiter: '§', Escapes: true}, want: []string{"id|note", `1|a§b\`}},
		{name: "a backslash at the end", text: "id\tnote\n1\ta\\", from: tsv, want: []string{"id|note", `1|a\`}},
		{name: "a quote in the wrong place", text: "id\tnote\n1\t\\a\"b\n2\t\"a\\\"\"b\n3\tc\n", from: tsv, want: []string{"id|note", "! note has a quote in the wrong place", "! note has a quote in the wrong place", "3|c"}},
		{name: "a quote that is never closed", text: "id\tnote\n1\ta\n2\t\"b\\\"\n3\n", from: tsv, want: []string{"id|note", "1|a", "! row 2 of the file in.csv of connection drop opens a quote that is never closed, in line 3, so that the 2 lines"}},
		{name: "no quotes", text: "id\tnote\n1\t5\" pipe\n2\t\"x\n", from: task.CSVSource{Delimiter: '\t', NoQuotes: true}, want: []string{"id|note", `1|5" pipe`, `2|"x`}},
	})
}

// What stands between files that were put behind each other is no part of a cell.
func TestMarksBetweenFiles(t *testing.T) {
	expectRows(t, []rowsCase{
		{name: "a byte order mark", text: "id,name\n1,Ann\n\xEF\xBB\xBF2,Bob\n", want: []string{"id|name", "1|Ann", "2|Bob"}},
		{name: "before quotes", text: "id,name\r\n1,Ann\r\n\xEF\xBB\xBF\xEF\xBB\xBF\"2\",Bob\r\n", want: []string{"id|name", "1|Ann", "2|Bob"}},
		{name: "in UTF-16", text: "\xFF\xFEi\x00d\x00\n\x001\x00\n\x00\xFF\xFE2\x00\n\x00", want: []string{"id", "1", "2"}},
		{name: "inside a cell", text: "id,name\n1,\xEF\xBB\xBFAnn\n", want: []string{"id|name", "1|\uFEFFAnn"}},
		{name: "alone in a line", text: "id,name\n1,Ann\n\xEF\xBB\xBF\n2,Bob\n", want: []string{"id|name", "1|Ann", "2|Bob"}},
		{name: "^Z in the last line", text: "id,name\r\n1,Ann\r\n\x1A", want: []string{"id|name", "1|Ann"}},
		{name: "^Z behind the last cell", text: "id,name\n1,Ann\x1A\x1A", want: []string{"id|name", "1|Ann"}},
		{name: "^Z between", text: "id,name\n1,Ann\n\x1A\xEF\xBB\xBFid,name\n2,Bob\n\x1A\n", want: []string{"id|name", "1|Ann", "! is the header again", "2|Bob"}},
		{name: "^Z inside a text", text: "id,name\n1,A\x1An\x1A\n", want: []string{"id|name", "1|A\x1An\x1A"}},
	})
}

// A line of spaces is empty in a table of several columns, and may be a cell of one.
func TestLinesOfSpaces(t *testing.T) {
	expectRows(t, []rowsCase{
		{name: "of two columns", text: "id,name\n1,Ann\n  \n2,Bob\n\u00a0\t\n", want: []string{"id|name", "1|Ann", "(blank)", "2|Bob", "(blank)"}},
		{name: "of quotes", text: "id,name\n1,Ann\n\"\"\n\" \"\n", want: []string{"id|name", "1|Ann", "(blank)", "(blank)"}},
		{name: "of one", text: "id\n1\n  \n\"\"\n", want: []string{"id", "1", "  ", ""}},
	})
}

// A backslash before a line end is named as what it is.
func TestBackslashesThatSwallowLines(t *testing.T) {
	from := task.CSVSource{Delimiter: '\t', Escapes: true, NoQuotes: true}
	expectRows(t, []rowsCase{
		{name: "too few fields", text: "id\tname\tx\n1\\\n2\tAnn\n3\tBob\ty\n", from: from, want: []string{"id|name|x", `! has the wrong number of fields: 2 where the header has 3; a backslash before the line end makes one row of lines 2 to 3`, "3|Bob|y"}},
		{name: "too many", text: "id\tname\n1\tC:\\\n2\tAnn\n", from: from, want: []string{"id|name", `! has the wrong number of fields: 3 where the header has 2; a backslash before the line end makes one row of lines 2 to 3`}},
		{name: "where quotes are", text: "id\tname\n1\tC:\\\n2\tAnn\n", from: task.CSVSource{Delimiter: '\t', Escapes: true}, want: []string{"id|name", `! has the wrong number of fields: 3 where the header has 2; a backslash before the line end`}},
	})
}

// A cell that a spreadsheet program could not compute is no value.
func TestErrorsOfSpreadsheets(t *testing.T) {
	const fault = "! val has an error of a spreadsheet, such as #N/A, in the place of a value"
	for _, cell := range []string{"#DIV/0!", "#N/A", "Err:502", "#WERT!", "#VALUE!", `"#REF!"`, "#NAME?", "#NV", "#¡VALOR!", "Err:999"} {
		if got, _ := rowsOf(t, "id,val\n1,"+cell+"\n2,x\n", task.CSVSource{}); !slices.Equal(got, []string{"id|val", fault, "2|x"}) {
			t.Errorf("%s is read as %q", cell, got)
		}
	}
	for _, cell := range []string{"#1", "#N", "Err:12", "Err:5021", "Err:abc", "#hash", "Error", "E", "#"} {
		if got, _ := rowsOf(t, "id,val\n1,"+cell+"\n", task.CSVSource{}); !slices.Equal(got, []string{"id|val", "1|" + cell}) {
			t.Errorf("%s is read as %q", cell, got)
		}
	}
	// The columns that the task does not name may have any.
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "in.csv"), []byte("id,val\n1,#N/A\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := csvfile.Open(t.Context(), connections(t, folder), &task.CSVSource{Connection: "drop", Path: "in.csv"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.Use([]bool{true, false})
	if cells := make([]any, 2); true {
		if _, err := s.Next(t.Context(), cells); err != nil || cells[0] != "1" {
			t.Errorf("got %v, %v", cells, err)
		}
	}
}

// What other programs put above, into and behind a header, and behind rows.
func TestHeaders(t *testing.T) {
	at := func(row int) task.CSVSource { return task.CSVSource{HeaderRow: row} }
	expectRows(t, []rowsCase{
		{name: "sep", text: "sep=;\r\nid;name\r\n1;Ann\r\n", want: []string{"id|name", "1|Ann"}},
		{name: "sep, a mark and a tab", text: "\xEF\xBB\xBFSEP=\t\nid\tname\n1\tA,n\n", want: []string{"id|name", "1|A,n"}},
		{name: "sep in quotes, and another delimiter", text: "\"sep=|\"\nid|name\n1|Ann\n", from: task.CSVSource{Delimiter: ';'}, want: []string{"id|name", "1|Ann"}},
		{name: "no sep", text: "sep=;,name\n1,Ann\n", want: []string{"sep=;|name", "1|Ann"}},
		{name: "no name, as of pandas and R", text: ",id,name\n0,1,Ann\n1,2,Bob\n", want: []string{"id|name", "1|Ann", "2|Bob"}},
		{name: "no name at the end", text: "id,name,\n1,Ann,\n2,Bob,x\n3,Cid\n4\n", want: []string{"id|name", "1|Ann", "2|Bob", "3|Cid", "! has the wrong number of fields: 1 where the header has 3"}},
		{name: "no name in quotes and spaces", text: "\"\", \t,id\na,b,1\n", want: []string{"id", "1"}},
		{name: "names twice", text: "id,note,name,note\n1,x,Ann,y\n", want: []string{"id|name", "1|Ann"}},
		{name: "a name thrice, and one but for its mark", text: "a,b,a,\xEF\xBB\xBFa,c\n1,2,3,4,5\n", want: []string{"b|c", "2|5"}},
		{name: "two marks", text: "\xEF\xBB\xBF\xEF\xBB\xBFid,name\n1,Ann\n", want: []string{"id|name", "1|Ann"}},
		{name: "two marks and a quote", text: "\xEF\xBB\xBF\xEF\xBB\xBF\"id\",name\n1,Ann\n", want: []string{"id|name", "1|Ann"}},
		{name: "what nobody sees", text: "id,na\u00a0me,\"First\nname\"\n1,Ann,x\n", want: []string{"id|na\u00a0me|First\nname", "1|Ann|x"}},
		{name: "titles", text: "Members\n\nof 2026, all\nid,name\n1,Ann\n", from: at(4), want: []string{"id|name", "1|Ann"}},
		{name: "titles with a quote", text: "the \"best\nid,name\n1,Ann\n", from: at(2), want: []string{"id|name", "1|Ann"}},
		{name: "titles and sep", text: "sep=;\nAll\nid;name\n1;Ann\n", from: at(3), want: []string{"id|name", "1|Ann"}},
		{name: "the first line by its number", text: "id,name\n1,Ann\n", from: at(1), want: []string{"id|name", "1|Ann"}},
		{name: "a line that is empty", text: "All\n\nid,name\n", from: at(2), want: []string{"line 2 of the file in.csv of connection drop is empty, and source.csv.header_row says that it names the columns; correct it"}},
		{name: "a line that is not there", text: "id,name\n1,Ann\n", from: at(3), want: []string{"the file in.csv of connection drop has 2 lines, and source.csv.header_row names line 3; correct it"}},
		{name: "many lines that are not there", text: "id,name\n1,Ann\n", from: at(30), want: []string{"the file in.csv of connection drop has 2 lines, and source.csv.header_row names line 30; correct it"}},
		{name: "delimiters behind rows", text: "id,name\n1,Ann,\n2,,\n3,Cid,x\n4,Dan\n", want: []string{"id|name", "1|Ann", "2|", "! has the wrong number of fields: 3 where the header has 2", "4|Dan"}},
		{name: "many delimiters behind rows", text: "id;name\n1;Ann;;\n2;Bob;;\n", from: task.CSVSource{Delimiter: ';'}, want: []string{"id|name", "1|Ann", "2|Bob"}},
		{name: "names of rows without one of theirs, as of R", text: "id,name\n1,1,Ann\n2,2,\n", want: []string{"id|name", "! has the wrong number of fields: 3 where the header has 2", "! has the wrong number of fields: 3 where the header has 2"}},
		{name: "a delimiter behind a later row", text: "id,name\n1,Ann\n2,Bob,\n", want: []string{"id|name", "1|Ann", "! has the wrong number of fields: 3 where the header has 2"}},
		{name: "an empty cell in quotes behind rows", text: "id,name\n1,Ann,\"\"\n", want: []string{"id|name", "! has the wrong number of fields: 3 where the header has 2"}},
	})
}

// What is below a second header is not in the columns of the first.
func TestSecondHeaders(t *testing.T) {
	const (
		again = "! is the header again"
		other = "! names other columns than the header does: another table begins in line "
		below = "! stands below line "
	)
	expectRows(t, []rowsCase{
		{name: "the same", text: "id,name\n1,Ann\n id ,\"name\"\n2,Bob\n", want: []string{"id|name", "1|Ann", again, "2|Bob"}},
		{name: "the same with a mark", text: "id,name\n1,Ann\n\xEF\xBB\xBFid,name\n2,Bob\n", want: []string{"id|name", "1|Ann", again, "2|Bob"}},
		{name: "the same with columns that have no name", text: "id,name,\n1,Ann,\nid,name\n2,Bob\n", want: []string{"id|name", "1|Ann", again, "2|Bob"}},
		{name: "in another order", text: "id,name\n1,Ann\nname,id\nBob,2\nid,name\n3,Cid\n", want: []string{"id|name", "1|Ann", other + "3", below + "3", again, "3|Cid"}},
		{name: "in another case", text: "ID,Name\n1,Ann\nid,NAME\n2,Bob\n", want: []string{"ID|Name", "1|Ann", again, "2|Bob"}},
		{name: "in another case of other letters", text: "Größe,id\n1,2\nGRÖSSE,ID\n3,4\ngröße,Id\n5,6\n", want: []string{"Größe|id", "1|2", other + "3", below + "3", again, "5|6"}},
		{name: "in another order and case", text: "id,name,City\n1,Ann,Bonn\nNAME,CITY,ID\nBob,Ulm,2\nID,NAME,CITY\n3,Cid,Kiel\n", want: []string{"id|name|City", "1|Ann|Bonn", other + "3", below + "3", again, "3|Cid|Kiel"}},
		{name: "some of the names in another case are cells", text: "Name,Status,Active\nactive,status,1\nname,active,\n", want: []string{"Name|Status|Active", "active|status|1", "name|active|"}},
		{name: "one of the names in another case in all cells", text: "Name,Status\nstatus,status\nname,name\n", want: []string{"Name|Status", "status|status", "name|name"}},
		{name: "of Miller", text: "a,b\n1,2\n\na,c\n3,4\n\na,b\n5,6\n", want: []string{"a|b", "1|2", other + "4", below + "4", again, "5|6"}},
		{name: "of Miller, of words", text: "a,b\nx,y\n\na,c\nz,w\n", want: []string{"a|b", "x|y", other + "4", below + "4"}},
		{name: "with a name more", text: "id,name\n1,Ann\nid,name,age\n2,Bob,30\n3,Cid,\n", want: []string{"id|name", "1|Ann", other + "3", below + "3", below + "3"}},
		{name: "with more in front", text: "id,name\n1,Ann,\nnew,id,name\nx,2,\n", want: []string{"id|name", "1|Ann", other + "3", below + "3"}},
		{name: "of another export", text: "id,name\n1,Ann\n2,Bob\n\nsku,price\nA1,9.5\n", want: []string{"id|name", "1|Ann", "2|Bob", other + "5", below + "5"}},
		{name: "behind delimiters", text: "id;day;name\n1;2026-01-31;Ann\n;;\nid;name;city\n2;Bob;Rome\n", from: task.CSVSource{Delimiter: ';'}, want: []string{"id|day|name", "1|2026-01-31|Ann", "(blank)", other + "4", below + "4"}},
		{name: "behind a title", text: "id,name\n1,Ann,\n\nOrders\nnr,total,day\n5,9,\n", want: []string{"id|name", "1|Ann", "! has the wrong number of fields: 1", other + "5", below + "5"}},
		{name: "of another export in other letters", text: "id,name\n1,Ann\n\nSKU,Price\nA1,9.5\nB2,3\n", want: []string{"id|name", "1|Ann", other + "4", below + "4", below + "4"}},
		{name: "of another export, far below", text: "id,name\n1,Ann\n\ncode,title\n" + strings.Repeat("A,"+strings.Repeat("b", 30000)+"\n", 5), want: []string{"id|name", "1|Ann", other + "4", below + "4", below + "4", below + "4", below + "4", below + "4"}},
		{name: "of another export of the same kinds", text: "name,age\nAnn,3\n\nproduct,price\nPen,2\nInk,\n", want: []string{"name|age", "Ann|3", "! age has a word behind an empty line", "Pen|2", "Ink|"}},
		{name: "of another export with more", text: "name,age\nAnn,3\n\nproduct,price,stock\nPen,2,7\n", want: []string{"name|age", "Ann|3", other + "4", below + "4"}},
		{name: "none in a word for a number", text: "name,age\nAnn,3\nCid,5\nKim,7\n\nBob,late\nDan,7\nEve,8\n", want: []string{"name|age", "Ann|3", "Cid|5", "Kim|7", "Bob|late", "Dan|7", "Eve|8"}, warned: "Line 6 of the file in.csv of connection drop may name the columns of another table"},
		{name: "none in words for a number", text: "name,age\nAnn,3\n\nBob Lee,see note\nEve,pending\nDan,7\n", want: []string{"name|age", "Ann|3", "Bob Lee|see note", "Eve|pending", "Dan|7"}, warned: "Line 4 of"},
		{name: "none in a word for a date", text: "name,joined\nAnn,2026-01-01\n\nBob,pending\n\nDan,2026-01-04\n", want: []string{"name|joined", "Ann|2026-01-01", "Bob|pending", "Dan|2026-01-04"}, warned: "Line 4 of"},
		{name: "none in the last row", text: "name,age\nAnn,3\n\nBob,late", want: []string{"name|age", "Ann|3", "Bob|late"}, warned: "Line 4 of"},
		{name: "none in questions with groups", text: "question,answer\nAge,3\n\nName,Ann\nCity,Rome\nZip,00501\n", want: []string{"question|answer", "Age|3", "Name|Ann", "City|Rome", "Zip|00501"}, warned: "Line 4 of"},
		{name: "none in keys of another form", text: "id,name\n1,Ann\n\nA3,Cid\nA4,Dan\n", want: []string{"id|name", "1|Ann", "A3|Cid", "A4|Dan"}, warned: "Line 4 of"},
		{name: "none in a group of words", text: "id,name\n1,Ann\n\nsub,dan\nunknown,Eve\nn/a,Kim\n4,Lee\n", want: []string{"id|name", "1|Ann", "! id has a word behind an empty line", "unknown|Eve", "n/a|Kim", "4|Lee"}},
		{name: "of words only, with more", text: "first,last\nAnn,Lee\n\ncity,country,code\nParis,France,F\n", want: []string{"first|last", "Ann|Lee", other + "4", below + "4"}},
		{name: "of any letters", text: "ID,name\n1,Ann\n\ncity,Land\nParis,France\n", want: []string{"ID|name", "1|Ann", other + "4", below + "4"}},
		{name: "none in a row too wide", text: "name,age\nAnn,3\n\nBob,late,x\nDan,7\n", want: []string{"name|age", "Ann|3", "! has the wrong number of fields", "Dan|7"}},
		{name: "none in a name beside a number", text: "n,kind\n1,id\n\n3,kind\n4,x\n", want: []string{"n|kind", "1|id", "3|kind", "4|x"}},
		{name: "of words only", text: "first,last\nAnn,Lee\n\ncity,country\nParis,France\n", want: []string{"first|last", "Ann|Lee", "city|country", "Paris|France"}, warned: "Line 4 of the file in.csv of connection drop may name the columns of another table"},
		{name: "none behind an empty line", text: "id,name\n1,Ann\n\n2,Bob\n\nnone,Cid\n", want: []string{"id|name", "1|Ann", "2|Bob", "none|Cid"}},
		{name: "none in a file with empty lines throughout", text: "name,age\n\nAnn,30\n\nBob,old\n\nCid,5\n", want: []string{"name|age", "Ann|30", "Bob|old", "Cid|5"}},
		{name: "none in one name of many", text: "id,name,type\n1,Ann,type\n\n2,name,a\nid,Bob,b\n", want: []string{"id|name|type", "1|Ann|type", "2|name|a", "id|Bob|b"}},
		{name: "with one other name", text: "nr,total,town\n1,5,Ulm\n2,6,Bonn\nnr,sum,town\n7,8,Kiel\n", want: []string{"nr|total|town", "1|5|Ulm", "2|6|Bonn", other + "4", below + "4"}},
		{name: "with one other name, in another order", text: "nr,total,town\n1,5,Ulm\ntown,sum,nr\nKiel,8,7\n", want: []string{"nr|total|town", "1|5|Ulm", other + "3", below + "3"}},
		{name: "none in a name for a date", text: "name,joined\nAnn,2026-01-31\nBob,2026-02-01\nCy,joined\nDi,2026-03-01\n", want: []string{"name|joined", "Ann|2026-01-31", "Bob|2026-02-01", "Cy|joined", "Di|2026-03-01"}, warned: "Line 4 of"},
		{name: "none in another column's name for a number", text: "name,value\nport,8080\nhost,name\nuser,7\n", want: []string{"name|value", "port|8080", "host|name", "user|7"}, warned: "Line 3 of"},
		{name: "none in one name twice", text: "Yes,No\nx,y\nNo,No\nz,w\n", want: []string{"Yes|No", "x|y", "No|No", "z|w"}},
		{name: "none in rows in the header's letters from there on", text: "name,role\nAnn,Admin\nBob,User\n\ncron,system\nroot,admin\n", want: []string{"name|role", "Ann|Admin", "Bob|User", "cron|system", "root|admin"}, warned: "Line 5 of"},
		{name: "none in words in the header's letters for a number", text: "sku,price\nA1,5\nB2,6\n\nsample,free\nC3,7\nD4,8\n", want: []string{"sku|price", "A1|5", "B2|6", "! price has a word behind an empty line", "C3|7", "D4|8"}},
		{name: "with one other name below a number", text: "id,name\n1,Ann\nid,nick\n2,Bob\n", want: []string{"id|name", "1|Ann", other + "3", below + "3"}},
		{name: "with one other name of two", text: "nr,total\n1,5\nnr,sum\n7,8\n", want: []string{"nr|total", "1|5", other + "3", below + "3"}},
		{name: "with one other name in front, in another case", text: "day,town,total\n2026-01-31,Ulm,5\nDate,TOWN,TOTAL\n2026-02-01,Kiel,8\n", want: []string{"day|town|total", "2026-01-31|Ulm|5", other + "3", below + "3"}},
		{name: "with two other names around two", text: "nr,name,town,zip\n1,Ann,Ulm,89073\nkey,name,town,post\n2,Bob,Kiel,24103\n", want: []string{"nr|name|town|zip", "1|Ann|Ulm|89073", other + "3", below + "3"}},
		{name: "of words, with one other name", text: "code,name,town\nA,Ann,Ulm\ncode,title,town\nB,Bob,Kiel\n", want: []string{"code|name|town", "A|Ann|Ulm", other + "3", below + "3"}},
		{name: "perhaps, of properties", text: "name,value\nport,8080\ntimeout,30\nname,alpha\nsize,5\n", want: []string{"name|value", "port|8080", "timeout|30", "name|alpha", "size|5"}, warned: "Line 4 of the file in.csv of connection drop may name the columns of another table; it was read as a row"},
		{name: "none in words and one name", text: "nr,kind,note\n1,a,x\nnr,Bob,y\nbig,kind,z\n", want: []string{"nr|kind|note", "1|a|x", "nr|Bob|y", "big|kind|z"}},
		{name: "none in a name and no word", text: "kind,n\na,1\nkind,n/a\nn,2\n", want: []string{"kind|n", "a|1", "kind|n/a", "n|2"}},
		{name: "of words only, in small letters as the header", text: "nr,name,town\nA,Ann,Ulm\nB,Bob,Kiel\n\ncode,label,zone\nC,Cat,Z\nD,Dan,W\n", want: []string{"nr|name|town", "A|Ann|Ulm", "B|Bob|Kiel", other + "5", below + "5", below + "5"}},
		{name: "of words only, in capitals as the header", text: "Key,Fruit\nk1,apple\nk2,pear\n\nCode,Color\nc1,red\n", want: []string{"Key|Fruit", "k1|apple", "k2|pear", other + "5", below + "5"}},
		{name: "of words only, in capitals of any letters", text: "Kennung,Ort,Größe\na,ulm,klein\nb,bonn,groß\n\nÄnderung,Bis,Von\nc,d,e\n", want: []string{"Kennung|Ort|Größe", "a|ulm|klein", "b|bonn|groß", other + "5", below + "5"}},
		{name: "none in capitals where rows are", text: "Key,Fruit\nA,Apple\nB,Pear\n\nLate,Plum\nC,Kiwi\n", want: []string{"Key|Fruit", "A|Apple", "B|Pear", "Late|Plum", "C|Kiwi"}, warned: "Line 5 of"},
		{name: "none in small letters of which a column has some", text: "nr,name,town\nA,Ann,ulm\nB,Bob,Kiel\n\nx,cid,bonn\nC,Cat,Rom\n", want: []string{"nr|name|town", "A|Ann|ulm", "B|Bob|Kiel", "x|cid|bonn", "C|Cat|Rom"}, warned: "Line 5 of"},
		{name: "none in words with spaces", text: "nr,name,town\nA,Ann,Ulm\nB,Bob,Kiel\n\nx,cid lee,bonn\nC,Cat,Rom\n", want: []string{"nr|name|town", "A|Ann|Ulm", "B|Bob|Kiel", "x|cid lee|bonn", "C|Cat|Rom"}, warned: "Line 5 of"},
		{name: "none in the last line", text: "nr,name\nA,Ann\nB,Bob\n\nx,cid\n", want: []string{"nr|name", "A|Ann", "B|Bob", "x|cid"}, warned: "Line 5 of"},
		{name: "none in rows that go on", text: "nr,name,town\nA,Ann,Ulm\nB,Bob,Kiel\n\nC,Cat,Rom\n\nD,,Oslo\n", want: []string{"nr|name|town", "A|Ann|Ulm", "B|Bob|Kiel", "C|Cat|Rom", "D||Oslo"}},
		{name: "none in the only column", text: "name\nAnn\n\nname\n", want: []string{"name", "Ann", "name"}},
	})
}

// A quote that is not meant makes one row of several.
func TestQuotesThatSwallowLines(t *testing.T) {
	expectRows(t, []rowsCase{
		{
			name: "closed in a cell", text: "id,name\n1,Ann\n2,\"Bob\n3,Cid\n4,\"Dan\n5,Eve\n",
			want: []string{"id|name", "1|Ann", "! name has a quote in the wrong place: quotes stand around a whole field, and double inside it; a quote opens in line 3 and closes in line 5, so that 3 lines were read as one row: a quote is missing", "5|Eve"},
		},
		{
			name: "with too few fields", text: "id,name,city\n1,Ann,Rome\n2,\"Bob,Oslo\n3,Cid,Bern\"\n4,Dan,Kyiv\n",
			want: []string{"id|name|city", "1|Ann|Rome", "! has the wrong number of fields: 2 where the header has 3; a quote opens in line 3 and closes in line 4, so that 2 lines were read as one row", "4|Dan|Kyiv"},
		},
		{
			name: "with as many fields", text: "id,name\n1,Ann\n2,\"Bob\n3,Cid\n4,Dan\"\n5,Eve\n",
			want: []string{"id|name", "1|Ann", "! is several rows; a quote opens in line 3 and closes in line 5, so that 3 lines were read as one row", "5|Eve"},
		},
		{
			name: "with as many and delimiters behind them", text: "id,name\n1,Ann,\n2,\"Bob,\n3,Cid\",\n",
			want: []string{"id|name", "1|Ann", "! is several rows; a quote opens in line 3 and closes in line 4"},
		},
		{
			name: "without numbers", text: "name,city\nAnn,\"Rome\nBob,Oslo\"\nCid,Bern\n",
			want: []string{"name|city", "Ann|Rome\nBob,Oslo", "Cid|Bern"}, warned: "Lines 2 to 3 of the file in.csv of connection drop were read as one row",
		},
		{
			name: "never closed", text: "id,name\n1,Ann\n2,\"Bob\n3,Cid\n4,Dan\n",
			want: []string{"id|name", "1|Ann", "! row 2 of the file in.csv of connection drop opens a quote that is never closed, in line 3, so that the 3 lines from there on are one row"},
		},
		{name: "an address", text: "id,name,address\n1,Ann,\"1 High St, Flat 2\nOslo\"\n2,Bob,\"x\ny\"\n", want: []string{"id|name|address", "1|Ann|1 High St, Flat 2\nOslo", "2|Bob|x\ny"}},
		{name: "a note", text: "id,note\n1,x\n2,\"a\nb,c\"\n", want: []string{"id|note", "1|x", "2|a\nb,c"}},
		{name: "the first row", text: "id,note\n1,\"a,\n2,b\"\n3,c\n", want: []string{"id|note", "1|a,\n2,b", "3|c"}},
	})
}

// A total at the end of a text is a row like any other to a program.
func TestTotalsAreNamed(t *testing.T) {
	for _, end := range []string{"Total,3", "TOTAL:,3\n,\n,\n", ",\"Grand Total\"\n", "Summe,3\n\n"} {
		_, warnings := rowsOf(t, "id,n\n1,1\n2,2\n"+end, task.CSVSource{})
		if len(warnings) != 1 || warnings[0] != "The last row of the file in.csv of connection drop, in line 4, looks like a total, and was read as a row; leave it out with where, if it is none" {
			t.Errorf("%q: %q", end, warnings)
		}
	}
	for _, end := range []string{"Total,3\n4,4\n", "Total,3\n,\n4,4\n", "Totally,3\n", "3,total\n", "Total,3,4\n"} {
		if _, warnings := rowsOf(t, "id,n\n1,1\n2,2\n"+end, task.CSVSource{}); len(warnings) > 0 {
			t.Errorf("%q: %q", end, warnings)
		}
	}
}

// The rows that are kept have the columns that a task can name, in the texts of the file.
func TestRecordsHaveTheColumnsThatCanBeNamed(t *testing.T) {
	folder := t.TempDir()
	text := ",id,note,x,x\n0,1,NULL,a,b\n\n\n0,2,\"N\"\"\",a,b,,\n0,3,b\\n,a,b,c\n0,4,\\N,a,b\n"
	if err := os.WriteFile(filepath.Join(folder, "in.csv"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := csvfile.Open(t.Context(), connections(t, folder), &task.CSVSource{Connection: "drop", Path: "in.csv", Null: []string{"NULL"}, Escapes: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	lines := []int64{2, 5, 6, 7}
	for i, want := range [][]string{{"1", "NULL"}, {"2", `N"`}, {"3", "b\n"}, {"4", `\N`}} {
		_, _ = s.Next(t.Context(), make([]any, 2))
		if got := s.Record().Texts(); !slices.Equal(got, want) || s.Line() != lines[i] {
			t.Errorf("row %d, of line %d, is kept as %q, want %q of line %d", i+1, s.Line(), got, want, lines[i])
		}
	}
	if got := fmt.Sprint(s.Columns().Repeated); got != "map[x:columns 4 and 5]" {
		t.Errorf("repeated are %s", got)
	}
}
