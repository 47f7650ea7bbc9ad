package xlsxfile

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"runhook/services/runner/check"
	"runhook/services/runner/row"
)

const unsaved = "fault: Name has a formula without a saved value; open the workbook in a spreadsheet program and save it (cell %s)"

// expectRows reads the first sheet of a workbook.
func expectRows(t *testing.T, b book, sheet string, want ...string) {
	t.Helper()
	if got, err := read(t, b.bytes(t), sheet); err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
}

func TestFormulasWithoutValue(t *testing.T) {
	at := func(cell string) string { return fmt.Sprintf(unsaved, cell) }
	id := func(cell string) string { return strings.Replace(at(cell), "Name", "ID", 1) }
	for name, c := range map[string]struct {
		rows string
		want []string
	}{
		"no element":            {`<row><c><v>1</v></c><c><f>A2*2</f></c></row>`, []string{at("B2")}},
		"an empty element":      {`<row r="9"><c r="A9"><v>1</v></c><c r="B9"><f>A9</f><v></v></c></row>`, []string{at("B9")}},
		"closed at once":        {`<row><c><v>1</v></c><c t="n"><f>A2</f><v/></c></row>`, []string{at("B2")}},
		"a shared formula":      {`<row><c><v>1</v></c><c><f t="shared" si="0"/></c></row>`, []string{at("B2")}},
		"a text":                {`<row><c><v>1</v></c><c t="str"><f>A2</f></c></row>`, []string{at("B2")}},
		"a shared text":         {`<row><c><v>1</v></c><c t="s"><f>A2</f><v></v></c></row>`, []string{at("B2")}},
		"true or false":         {`<row><c><v>1</v></c><c t="b"><f>A2</f><v></v></c></row>`, []string{at("B2")}},
		"a date":                {`<row><c><v>1</v></c><c s="1"><f>TODAY()</f></c></row>`, []string{at("B2")}},
		"an empty text":         {`<row><c><v>1</v></c><c t="str"><f>A2</f><v></v></c></row>`, []string{"1|"}},
		"a 0":                   {`<row><c><v>1</v></c><c><f>A2</f><v>0</v></c></row>`, []string{"1|0"}},
		"no other cell":         {`<row><c r="B2"><f>A2</f></c></row><row r="7"><c r="B7"><f>A7</f><v/></c></row>`, []string{at("B2"), at("B7")}},
		"nothing but texts":     {`<row><c t="str"><f>x</f><v></v></c><c t="str"><f>x</f><v></v></c></row>`, nil},
		"beside the table":      {`<row><c><v>1</v></c><c/><c><f>A2</f></c></row><row><c r="C3"><f>A3</f></c></row>`, []string{"1|"}},
		"cells of one array":    {`<row><c><v>1</v></c><c><f t="array" ref="B2:B3">A2:A3</f></c></row><row><c><v>2</v></c></row><row><c><v>3</v></c></row>`, []string{at("B2"), at("B3, of the formula in B2"), "3|"}},
		"rows of an array":      {`<row r="2"><c r="A2"><f t="array" ref="A2:B4">x</f><v></v></c></row><row r="6"><c r="A6"><v>6</v></c></row>`, []string{id("A2"), id("A3, of the formula in A2"), id("A4, of the formula in A2"), "6|"}},
		"an array at the end":   {`<row r="2"><c r="A2"><v>1</v></c></row><row r="3"><c r="A3"/><c r="B3"><f t="array" ref="B3:B5">x</f></c></row>`, []string{"1|", at("B3"), at("B4, of the formula in B3"), at("B5, of the formula in B3")}},
		"an array with values":  {`<row><c><v>1</v></c><c><f t="array" ref="B2:B3">x</f><v>5</v></c></row><row><c><v>2</v></c><c><v>6</v></c></row>`, []string{"1|5", "2|6"}},
		"an array with a value": {`<row><c><v>1</v></c><c><f t="array" ref="B2:B3">x</f></c></row><row><c><v>2</v></c><c><v>7</v></c></row>`, []string{at("B2"), "2|7"}},
		"a damaged array":       {`<row><c><v>1</v></c><c><f t="array" ref="B9:A2">x</f></c></row><row><c><v>2</v></c></row>`, []string{at("B2"), "2|"}},
	} {
		t.Run(name, func(t *testing.T) {
			expectRows(t, newBook(cells("ID", "Name")+c.rows), "", append([]string{"ID|Name"}, c.want...)...)
		})
	}
}

func TestHeaderOfFormulas(t *testing.T) {
	b := newBook(`<row><c><f>Data!A1</f><v/></c><c><f>Data!B1</f><v/></c></row>` + cells("1", "Ann"))
	if _, err := read(t, b.bytes(t), ""); err == nil || !strings.Contains(err.Error(), "the header of the sheet Members in the file in.xlsx of connection drop has a formula without a saved value; open the workbook in a spreadsheet program and save it (cell A1)") {
		t.Errorf("got %v", err)
	}
}

// A formula of a column that the task does not name is no fault.
func TestUnusedFormulas(t *testing.T) {
	s := open(t, newBook(cells("ID", "Name")+`<row><c><v>1</v></c><c><f>A2</f></c></row>`))
	s.Use([]bool{true, false})
	if _, err := s.Next(t.Context(), make([]any, 2)); err != nil {
		t.Error(err)
	}
}

// calculated says how the workbook is calculated.
func (b book) calculated(attributes string) {
	b["xl/workbook.xml"] = strings.Replace(b["xl/workbook.xml"], "</workbook>", "<calcPr "+attributes+"/></workbook>", 1)
}

// A workbook that asks to be calculated is warned of, if the task reads formulas of it.
func TestRecalculated(t *testing.T) {
	formula := cells("ID", "Name") + `<row><c><v>1</v></c><c><f>A2</f><v>0</v></c></row>`
	const warning = "the sheet Members in the file in.xlsx of connection drop asks to be calculated when it is opened, so its formulas may give other values than it has saved; open it in a spreadsheet program and save it"
	for name, c := range map[string]struct {
		rows, calculation string
		used              []bool
		want              []string
	}{
		"asked":               {formula, `calcId="1" fullCalcOnLoad="1"`, []bool{true, true}, []string{warning}},
		"asked in words":      {formula, `fullCalcOnLoad="true"`, []bool{false, true}, []string{warning}},
		"asked each time":     {formula, `calcId="1" forceFullCalc="1"`, []bool{true, true}, []string{warning}},
		"not asked each time": {formula, `forceFullCalc="0"`, []bool{true, true}, nil},
		"not asked":           {formula, `calcId="1" fullCalcOnLoad="0"`, []bool{true, true}, nil},
		"nothing said":        {formula, ``, []bool{true, true}, nil},
		"no formula":          {cells("ID", "Name") + cells("1", "Ann"), `fullCalcOnLoad="1"`, []bool{true, true}, nil},
		"a column not named":  {formula, `fullCalcOnLoad="1"`, []bool{true, false}, nil},
		"a formula of a text": {cells("ID", "Name") + `<row><c t="str"><f>x</f><v>a</v></c></row>`, `fullCalcOnLoad="1"`, []bool{true, true}, []string{warning}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBook(c.rows)
			b.calculated(c.calculation)
			s := open(t, b)
			s.Use(c.used)
			if _, err := s.Next(t.Context(), make([]any, 2)); err != nil {
				t.Fatal(err)
			}
			if got := s.Warnings(); !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// The faults of a column are of one kind, whatever cells they name.
func TestFaultsOfAColumn(t *testing.T) {
	s := open(t, newBook(cells("ID", "Name")+`<row r="5"><c><v>1</v></c><c><f>A5</f></c></row><row r="7"><c><v>2</v></c><c><f>A7</f></c></row>`))
	var faults check.Tally
	for number := range int64(2) {
		_, err := s.Next(t.Context(), make([]any, 2))
		fault, ok := errors.AsType[*row.Fault](err)
		if s.Line() != 5+2*number {
			t.Errorf("row %d is said to be row %d of the sheet", number+1, s.Line())
		}
		if !ok || !strings.Contains(fault.Reason(), fmt.Sprintf(" (cell B%d)", 5+2*number)) {
			t.Fatal(err)
		}
		faults.Add(number+1, fault)
	}
	var found check.Report
	faults.Report(2, func(string) check.Field { return nil }, &found)
	if len(found.Findings) != 1 || !strings.HasPrefix(found.Findings[0].Message, "of the first 2 rows 2 would fail, from row 1 on: Name has a formula") {
		t.Errorf("found %v", found.Findings)
	}
}
