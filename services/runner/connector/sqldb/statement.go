package sqldb

import (
	"slices"
	"strconv"
	"strings"
)

// The statements take a row's values in the mapping's order, as ?1, ?2 and so on; those that only
// look for the key take the key's values in its order.

func parameter(at int) string { return "?" + strconv.Itoa(at+1) }

// insertStatement inserts a number of rows at once.
func (t *table) insertStatement(rows int) string {
	var names, values []string
	for i, c := range t.target {
		names = append(names, quoteName(c.name))
		values = append(values, parameter(i))
	}
	if rows > 1 {
		values = slices.Repeat([]string{"?"}, len(values))
	}
	tuple := "(" + strings.Join(values, ", ") + ")"
	return "INSERT INTO " + quoteName(t.name) + " (" + strings.Join(names, ", ") + ") VALUES " +
		tuple + strings.Repeat(", "+tuple, rows-1)
}

// insertMissingStatement is insertStatement that leaves out rows whose key is there.
func (t *table) insertMissingStatement(rows int) string {
	var key []string
	for _, at := range t.key {
		key = append(key, quoteName(t.target[at].name))
	}
	return t.insertStatement(rows) + " ON CONFLICT (" + strings.Join(key, ", ") + ") DO NOTHING"
}

// updateStatement updates the rows that have the key and another value in any other column. It is
// empty where the mapping has the key's columns only.
func (t *table) updateStatement() string {
	var set, differs []string
	for i, c := range t.target {
		if slices.Contains(t.key, i) {
			continue
		}
		set = append(set, quoteName(c.name)+" = "+parameter(i))
		// Letter case is a change too, whatever the column's collation.
		differs = append(differs, quoteName(c.name)+" COLLATE BINARY IS NOT "+parameter(i))
	}
	if len(set) == 0 {
		return ""
	}
	return "UPDATE " + quoteName(t.name) + " SET " + strings.Join(set, ", ") +
		" WHERE " + t.keyCondition(false) + " AND (" + strings.Join(differs, " OR ") + ")"
}

func (t *table) deleteStatement() string {
	return "DELETE FROM " + quoteName(t.name) + " WHERE " + t.keyCondition(true)
}

func (t *table) existsStatement() string {
	return "SELECT 1 FROM " + quoteName(t.name) + " WHERE " + t.keyCondition(true) + " LIMIT 1"
}

// keyCondition finds the rows that have the key. Its parameters are the row's values, or the key's
// alone.
func (t *table) keyCondition(alone bool) string {
	var equal []string
	for place, at := range t.key {
		number := at
		if alone {
			number = place
		}
		equal = append(equal, quoteName(t.target[at].name)+" = "+parameter(number))
	}
	return strings.Join(equal, " AND ")
}
