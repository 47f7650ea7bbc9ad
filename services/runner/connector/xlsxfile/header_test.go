package xlsxfile

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"runhook/shared/mapping"
	"runhook/shared/task"
)

// Titles may stand above the row that names the columns.
func TestHeaderRow(t *testing.T) {
	titles := cells("Members of 2026") + `<row r="3">` + strings.TrimPrefix(cells("Printed", "31 January"), "<row>") + `<row r="5">` + strings.TrimPrefix(cells("ID", "Name"), "<row>") + cells("1", "Ann")
	for name, c := range map[string]struct {
		rows string
		at   int
		want []string
		err  string
	}{
		"below titles":         {titles, 5, []string{"ID|Name", "1|Ann"}, ""},
		"the first":            {cells("ID") + cells("1"), 1, []string{"ID", "1"}, ""},
		"a title":              {titles, 1, []string{"Members of 2026", "Printed", "ID", "1"}, ""},
		"a row that is not":    {titles, 4, nil, "row 4 of the sheet Members in the file in.xlsx of connection drop is empty, and source.csv.header_row says that it names the columns; correct it"},
		"a row without a cell": {cells("A") + "<row/>" + cells("ID"), 2, nil, "row 2 of the sheet Members in the file in.xlsx of connection drop is empty"},
		"behind the end":       {titles, 9, nil, "ends before row 9, which source.csv.header_row says names the columns; correct it"},
		"of formulas":          {cells("A") + `<row><c><f>x</f></c></row>` + cells("ID"), 2, nil, "the header of the sheet Members in the file in.xlsx of connection drop has a formula without a saved value; open the workbook in a spreadsheet program and save it (cell A2)"},
	} {
		t.Run(name, func(t *testing.T) {
			rows, err := readAs(t, newBook(c.rows).bytes(t), &task.CSVSource{HeaderRow: c.at})
			if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
				t.Errorf("got %v, want %q", err, c.err)
			}
			if !slices.Equal(rows, c.want) {
				t.Errorf("got %q, want %q", rows, c.want)
			}
		})
	}
}

// A name that is a formula without a value is said where a task names a column that is not there.
func TestNameThatIsAFormula(t *testing.T) {
	for header, want := range map[string]string{
		`<row><c t="inlineStr"><is><t>id</t></is></c><c><f>"na"&amp;"me"</f></c></row>`:                  "the name in cell B1 is a formula without a saved value: open the workbook in a spreadsheet program and save it",
		`<row r="3"><c r="B3" t="inlineStr"><is><t>id</t></is></c><c r="D3" t="str"><f>A1</f></c></row>`: "the name in cell D3 is a formula without a saved value: open the workbook in a spreadsheet program and save it",
		`<row><c t="inlineStr"><is><t>id</t></is></c><c t="str"><f>A9</f><v></v></c></row>`:              "",
	} {
		columns := open(t, newBook(header+cells("1", "Ann"))).Columns()
		if columns.Unread != want {
			t.Errorf("%s: %q, want %q", header, columns.Unread, want)
		}
		_, err := mapping.NewScope(columns, nil).Compile("name")
		if err == nil || strings.Contains(err.Error(), "the source has id, and the name in cell") != (want != "") {
			t.Errorf("%s: %v", header, err)
		}
	}
}

// Columns of one name cannot be told apart, and the others are read.
func TestRepeatedNames(t *testing.T) {
	for name, c := range map[string]struct {
		rows     string
		want     []string
		repeated map[string]string
	}{
		"two":           {cells("ID", "Name", "Note", "Name") + cells("1", "Ann", "x", "Bob"), []string{"ID|Note", "1|x"}, map[string]string{"Name": "columns B and D"}},
		"three":         {cells("ID", "N", " N ", "N") + cells("1", "a", "b", "c"), []string{"ID", "1"}, map[string]string{"N": "columns B and C and D"}},
		"of two kinds":  {cells("A", "B", "ID", "A", "B") + cells("1", "2", "3"), []string{"ID", "3"}, map[string]string{"A": "columns A and D", "B": "columns B and E"}},
		"nothing else":  {cells("ID", "Name", "Name") + cells("", "Ann", ""), []string{"ID", ""}, map[string]string{"Name": "columns B and C"}},
		"without names": {cells("", "ID", "", "Name") + cells("x", "1", "y", "Ann"), []string{"ID|Name", "1|Ann"}, map[string]string{}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBook(c.rows)
			expectRows(t, b, "", c.want...)
			if got := open(t, b).Columns().Repeated; !maps.Equal(got, c.repeated) {
				t.Errorf("repeated are %v, want %v", got, c.repeated)
			}
		})
	}
}

// A cell that says true or false has one of these.
func TestNeitherTrueNorFalse(t *testing.T) {
	for _, value := range []string{"2", "-1", "yes"} {
		expectRows(t, newBook(cells("ID", "Paid")+`<row><c><v>1</v></c><c t="b"><v>`+value+`</v></c></row>`+cells("2", "x")), "",
			"ID|Paid", "fault: Paid has neither true nor false in a cell of that kind (cell B2)", "2|x")
	}
}
