package sqldb

import (
	"slices"
	"strings"
)

// The statements take a row's values in the mapping's order; those that only look for the key take the
// key's values in its order.

// insertStatement inserts a number of rows at once.
func (t *table) insertStatement(rows int) string {
	names := make([]string, len(t.target))
	for i, c := range t.target {
		names[i] = c.name
	}
	tuples := make([]string, rows)
	values := make([]string, len(names))
	for r := range tuples {
		for i := range values {
			values[i] = t.dialect.inOrder(r*len(values) + i + 1)
		}
		tuples[r] = "(" + strings.Join(values, ", ") + ")"
	}
	return "INSERT" + t.onConflict + " INTO " + t.sql + " (" + quoteNames(t.dialect, names) + ") VALUES " + strings.Join(tuples, ", ")
}

// insertMissingStatement is insertStatement that leaves out rows whose key is there.
func (t *table) insertMissingStatement(rows int) string {
	key := make([]string, len(t.key))
	for i, at := range t.key {
		key[i] = t.target[at].name
	}
	return t.dialect.missingOnly(t.insertStatement(rows), quoteNames(t.dialect, key))
}

// updateStatement updates the rows that have the key and another value in any other column. It is
// empty where the mapping has the key's columns only.
func (t *table) updateStatement() string {
	var set []string
	for i, c := range t.target {
		if !slices.Contains(t.key, i) {
			set = append(set, t.dialect.quote(c.name)+" = "+t.dialect.parameter(i+1))
		}
	}
	if len(set) == 0 {
		return ""
	}
	return "UPDATE" + t.onConflict + " " + t.sql + " SET " + strings.Join(set, ", ") +
		" WHERE " + t.keyCondition(false) + " AND (" + t.differs() + ")"
}

// lookStatement is 1 for a row that has the key and that updateStatement would change, 0 for any other that
// has it.
func (t *table) lookStatement() string {
	differs := t.differs()
	if differs == "" {
		return t.selectOne("0", t.keyCondition(false))
	}
	return t.selectOne("CASE WHEN "+differs+" THEN 1 ELSE 0 END", t.keyCondition(false))
}

// existsStatement is 1 for a row that has the key.
func (t *table) existsStatement() string { return t.selectOne("1", t.keyCondition(true)) }

// heldStatement is how many rows the table has of one that was written, the identity of one of them, and for each
// column 1 if it has another value than was written. Columns of the primary key may fill in what was null.
// Behind the row's values it takes the number of a row that was inserted, if the table has numbers.
func (t *table) heldStatement(inserted bool) string {
	var condition string
	switch {
	case !inserted:
		condition = t.keyCondition(false)
	case t.numbered:
		condition = t.identity + " = " + t.dialect.parameter(len(t.target)+1)
	default:
		condition = t.sameCondition()
	}
	found := []string{"count(*)", "max(" + t.identity + ")"}
	for i, c := range t.target {
		different := t.dialect.differs(t.dialect.quote(c.name), t.dialect.parameter(i+1))
		switch {
		case !inserted && slices.Contains(t.key, i): // it was found by that
			different = "0"
		case c.inKey > 0:
			different += " AND " + t.dialect.parameter(i+1) + " IS NOT NULL"
		}
		found = append(found, "coalesce(max(CASE WHEN "+different+" THEN 1 ELSE 0 END), 0)")
	}
	return "SELECT " + strings.Join(found, ", ") + " FROM " + t.sql + " WHERE " + condition
}

// selectOne selects from the rows of a condition, and looks no further than the first of the largest.
func (t *table) selectOne(value, condition string) string {
	return "SELECT " + value + " AS n FROM " + t.sql + " WHERE " + condition + " ORDER BY n DESC LIMIT 1"
}

// differs is the condition that a column beside the key has another value than the row; empty if there is none.
func (t *table) differs() string {
	var differs []string
	for i, c := range t.target {
		if !slices.Contains(t.key, i) {
			differs = append(differs, t.dialect.differs(t.dialect.quote(c.name), t.dialect.parameter(i+1)))
		}
	}
	return strings.Join(differs, " OR ")
}

func (t *table) deleteStatement() string {
	return "DELETE FROM " + t.sql + " WHERE " + t.keyCondition(true)
}

// keyCondition finds the rows that have the key. Its parameters are the row's values, or the key's
// alone.
func (t *table) keyCondition(alone bool) string {
	var equal []string
	for place, at := range t.key {
		number := at + 1
		if alone {
			number = place + 1
		}
		collation := ""
		if t.collations != nil {
			collation = t.collations[place]
		}
		equal = append(equal, t.dialect.equals(t.dialect.quote(t.target[at].name), t.dialect.parameter(number), collation))
	}
	return strings.Join(equal, " AND ")
}

// sameCondition finds the row that has the primary key, or all of the row's values if the mapping leaves a part
// of that to the table.
func (t *table) sameCondition() string {
	var key, all []string
	for i, c := range t.target {
		column, parameter := t.dialect.quote(c.name), t.dialect.parameter(i+1)
		if c.inKey > 0 {
			key = append(key, t.dialect.equals(column, parameter, ""))
		}
		all = append(all, t.dialect.differs(column, parameter))
	}
	if len(key) == len(t.primaryKey()) {
		return strings.Join(key, " AND ")
	}
	return "NOT (" + strings.Join(all, " OR ") + ")"
}
