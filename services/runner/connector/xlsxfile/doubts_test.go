package xlsxfile

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"runhook/services/runner/row"
)

// warned reads a sheet to its end, and returns its warnings. A skip over its rows comes to the same.
func warned(t *testing.T, b book) []string {
	t.Helper()
	s, skipped := open(t, b), open(t, b)
	for {
		if _, err := s.Next(t.Context(), make([]any, len(s.Columns().Names))); errors.Is(err, io.EOF) {
			break
		} else if _, own := row.Own(err); err != nil && !own {
			t.Fatal(err)
		}
	}
	_ = skipped.Skip(t.Context(), 100)
	if got, want := skipped.Warnings(), s.Warnings(); !slices.Equal(got, want) {
		t.Errorf("behind a skip the warnings are %q, want %q", got, want)
	}
	return s.Warnings()
}

// Rows that may be none of the table are rows, and a warning says which.
func TestRowsThatMayBeNone(t *testing.T) {
	at := func(number int, texts ...string) string {
		return strings.Replace(cells(texts...), "<row>", fmt.Sprintf(`<row r="%d">`, number), 1)
	}
	const of = " of the sheet Members in the file in.xlsx of connection drop"
	const other = " may name the columns of another table"
	table := cells("ID", "Name") + cells("1", "Ann") + cells("2", "Bob")
	for name, c := range map[string]struct {
		rows string
		want []string
	}{
		"another table":              {table + at(6, "SKU", "Price") + cells("A1", "9.5"), []string{"Row 6" + of + other + "; "}},
		"two more":                   {table + at(6, "SKU", "Price") + at(8, "Code", "Title") + at(10, "X", "Y"), []string{"Row 6" + of + other + " (so do 2 more); "}},
		"words behind words":         {cells("First", "Last") + cells("Ann", "Lee") + at(5, "City", "Country"), []string{"Row 5" + of + other}},
		"behind spaces":              {table + cells(" ", "") + cells("SKU", "Price"), []string{"Row 5" + of + other}},
		"with fewer columns":         {cells("ID", "Name", "City") + cells("1", "Ann", "Rome") + at(5, "SKU", "Price"), []string{"Row 5" + of + other}},
		"no gap":                     {table + cells("SKU", "Price"), nil},
		"a row behind a gap":         {table + at(6, "3", "Cid"), nil},
		"a word that is missing":     {table + at(6, "n/a", "Cid"), nil},
		"words where words are":      {cells("ID", "First", "Last") + cells("1", "Ann", "Lee") + at(5, "", "Bob", "Ray"), nil},
		"gaps throughout":            {cells("ID", "Name") + at(3, "1", "Ann") + at(5, "x", "Bob"), nil},
		"one cell":                   {table + at(6, "Notes"), nil},
		"one other name":             {table + cells("ID", "Nick"), nil},
		"a name of a property":       {cells("Name", "Value") + cells("Port", "8080") + cells("Name", "alpha"), []string{"Row 3" + of + other + "; "}},
		"words behind a gap":         {cells("nr", "name") + cells("A", "Ann") + cells("B", "Bob") + at(6, "code", "label") + cells("C", "Cat"), []string{"Row 6" + of + other + "; "}},
		"a name for a number":        {cells("item", "price") + cells("Pen", "2") + cells("Plum", "price") + cells("Fig", "3"), []string{"Row 3" + of + other + "; "}},
		"one name twice":             {cells("Yes", "No") + cells("x", "y") + cells("No", "No") + cells("z", "w"), nil},
		"a row that goes on":         {cells("nr", "name") + cells("A", "Ann") + at(5, "C", "Cat"), nil},
		"a gap behind a header":      {table + cells("ID", "Name") + cells("3", "Cid") + cells("x", "Dan"), nil},
		"a total":                    {table + cells("Total", "3"), []string{"The last row" + of + ", row 4, looks like a total, and was read as a row; leave it out with where"}},
		"a total behind empty cells": {table + at(6, "", "Grand total:") + cells(" "), []string{"The last row" + of + ", row 6"}},
		"a total in the middle":      {table + cells("Summe", "3") + cells("4", "Dan"), nil},
		"a name like a total":        {table + cells("4", "Total"), nil},
	} {
		t.Run(name, func(t *testing.T) {
			if got := warned(t, newBook(c.rows)); !slices.EqualFunc(got, c.want, strings.HasPrefix) {
				t.Errorf("warnings %q, want %q", got, c.want)
			}
		})
	}
}

// What stands below the total row of a table may be a note.
func TestRowsBelowTheTotalOfATable(t *testing.T) {
	for place, want := range map[string][]string{
		"A1:B3": {"Row 4 of the sheet Members in the file in.xlsx of connection drop comes below the total row of a table (so does one more), and was read as a row; "},
		"A1:B5": nil,
		"D1:E3": nil,
	} {
		b := newBook(cells("ID", "Name") + cells("1", "Ann") + cells("Total", "1") + cells("2", "Bob") + cells("3", "Cid"))
		b["xl/worksheets/_rels/sheet1.xml.rels"] = `<Relationships><Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/table" Target="../tables/table1.xml"/></Relationships>`
		b["xl/tables/table1.xml"] = `<table id="1" ref="` + place + `" totalsRowCount="1"/>`
		if got := warned(t, b); !slices.EqualFunc(got, want, strings.HasPrefix) {
			t.Errorf("%s: warnings %q, want %q", place, got, want)
		}
	}
}

// What is below a second header is not in the columns of the first.
func TestSecondHeaders(t *testing.T) {
	at := func(number int, texts ...string) string {
		return strings.Replace(cells(texts...), "<row>", fmt.Sprintf(`<row r="%d">`, number), 1)
	}
	const (
		other = "fault: names other columns than the header does: another table begins in row "
		below = "fault: stands below row "
		which = ", which names other columns than the header: it is not of the same table"
	)
	for name, c := range map[string]struct {
		rows string
		want []string
	}{
		"with a name more":                     {cells("nr", "sum") + cells("1", "5") + cells("nr", "day", "sum") + cells("7", "8", "9"), []string{"nr|sum", "1|5", other + "3", below + "3" + which}},
		"with two names more, in another case": {cells("nr", "sum") + cells("1", "5") + cells("NR", "Day", "SUM", "Town") + cells("7", "8", "9"), []string{"nr|sum", "1|5", other + "3", below + "3" + which}},
		"with one other name":                  {cells("nr", "sum", "town") + cells("1", "5", "Ulm") + cells("nr", "cost", "town") + cells("7", "8", "Bonn") + cells("nr", "sum", "town") + cells("9", "10", "Kiel"), []string{"nr|sum|town", "1|5|Ulm", other + "3", below + "3" + which, "fault: is the header again", "9|10|Kiel"}},
		"of words, with one other name":        {cells("key", "name", "town") + cells("A", "Ann", "Ulm") + cells("key", "title", "town") + cells("B", "Bob", "Bonn"), []string{"key|name|town", "A|Ann|Ulm", other + "3", below + "3" + which}},
		"with two other names around two":      {cells("nr", "name", "town", "zip") + cells("1", "Ann", "Ulm", "89073") + cells("key", "name", "town", "post") + cells("2", "Bob", "Kiel", "24103"), []string{"nr|name|town|zip", "1|Ann|Ulm|89073", other + "3", below + "3" + which}},
		"with fewer, behind a gap":             {cells("nr", "sum", "town") + cells("1", "5", "Ulm") + at(5, "nr", "cost") + cells("7", "8"), []string{"nr|sum|town", "1|5|Ulm", other + "5", below + "5" + which}},
		"with more, behind a gap":              {cells("nr", "sum") + cells("1", "5") + at(5, "nr", "day", "sum") + cells("7", "8", "9"), []string{"nr|sum", "1|5", other + "5", below + "5" + which}},
		"not from the first column on":         {cells("", "nr", "sum") + cells("x", "1", "5") + cells("", "nr", "day", "sum") + cells("y", "7", "8", "9"), []string{"nr|sum", "1|5", other + "3", below + "3" + which}},
		"with a note beside":                   {cells("nr", "sum") + cells("1", "5") + cells("nr", "sum", "", "see below") + cells("7", "8"), []string{"nr|sum", "1|5", "fault: is the header again", "7|8"}},
		"none in names that are cells":         {cells("nr", "kind", "note") + cells("1", "a", "x") + cells("nr", "Bob", "y"), []string{"nr|kind|note", "1|a|x", "nr|Bob|y"}},
		"none in a row with a note":            {cells("nr", "name") + cells("1", "Ann") + at(5, "2", "Bob", "name"), []string{"nr|name", "1|Ann", "2|Bob"}},
		"none in small letters as another row": {cells("nr", "name") + cells("A", "Ann") + cells("B", "bob") + at(6, "x", "cid") + cells("C", "Cat"), []string{"nr|name", "A|Ann", "B|bob", "x|cid", "C|Cat"}},
	} {
		t.Run(name, func(t *testing.T) { expectRows(t, newBook(c.rows), "", c.want...) })
	}
}
