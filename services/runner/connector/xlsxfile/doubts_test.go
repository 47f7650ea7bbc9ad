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
	const other = " comes behind an empty row and may name the columns of another table"
	table := cells("ID", "Name") + cells("1", "Ann") + cells("2", "Bob")
	for name, c := range map[string]struct {
		rows string
		want []string
	}{
		"another table":              {table + at(6, "SKU", "Price") + cells("A1", "9.5"), []string{"Row 6" + of + other + "; "}},
		"two more":                   {table + at(6, "SKU", "Price") + at(8, "Code", "Title") + at(10, "x", "y"), []string{"Row 6" + of + other + " (so do 2 more); "}},
		"words behind words":         {cells("First", "Last") + cells("Ann", "Lee") + at(5, "City", "Country"), []string{"Row 5" + of + other}},
		"behind spaces":              {table + cells(" ", "") + cells("SKU", "Price"), []string{"Row 5" + of + other}},
		"with fewer columns":         {cells("ID", "Name", "City") + cells("1", "Ann", "Rome") + at(5, "SKU", "Price"), []string{"Row 5" + of + other}},
		"no gap":                     {table + cells("SKU", "Price"), nil},
		"a row behind a gap":         {table + at(6, "3", "Cid"), nil},
		"a word that is missing":     {table + at(6, "n/a", "Cid"), nil},
		"words where words are":      {cells("ID", "First", "Last") + cells("1", "Ann", "Lee") + at(5, "", "Bob", "Ray"), nil},
		"gaps throughout":            {cells("ID", "Name") + at(3, "1", "Ann") + at(5, "x", "Bob"), nil},
		"one cell":                   {table + at(6, "Notes"), nil},
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
