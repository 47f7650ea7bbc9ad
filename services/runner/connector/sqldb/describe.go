package sqldb

import (
	"context"
	"slices"

	"runhook/services/runner/connection"
	"runhook/shared/task"
)

// TableNames are the names of the tables in a connection's database, in order; none if there is no database yet. The
// error is a [*run.Failure] or ctx's.
func TableNames(ctx context.Context, connections *connection.Set, name string) (names []string, err error) {
	database, err := dialectOf(connections, name)
	if err != nil {
		return nil, err
	}
	if there, err := database.find(true); err != nil || !there {
		return nil, err
	}
	db, err := database.open(ctx, toRead)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, explain(ctx, database, err)
	}
	defer conn.Close()
	if names, err = namesOf(ctx, conn, database.tables()); err != nil {
		return nil, explain(ctx, database, err)
	}
	names = slices.DeleteFunc(names, func(name string) bool { return name == checkpointTable })
	slices.Sort(names)
	return names, nil
}

// Described is a column of a table, as a person sees it.
type Described struct {
	Name string
	// Type is what its values are, in words.
	Type string
	// Key: it is part of the primary key. Required: it must not be empty, and has no default. Written is false for one
	// that the database computes.
	Key, Required, Written bool
}

// Describe returns the columns of a table; found is false if there is none of the name, or no database yet. The error is
// a [*run.Failure] or ctx's.
func Describe(ctx context.Context, connections *connection.Set, name, of string) (columns []Described, found bool, err error) {
	database, err := dialectOf(connections, name)
	if err != nil {
		return nil, false, err
	}
	if there, err := database.find(true); err != nil || !there {
		return nil, false, err
	}
	t := newTable(database, &task.SQLDestination{Connection: name, Table: of})
	if found, err = t.look(ctx, true); err != nil || !found {
		return nil, false, err
	}
	for _, c := range t.columns {
		columns = append(columns, Described{
			Name: c.name, Type: c.kind.words(), Key: c.inKey > 0, Required: c.required && !c.numbered && !c.numbersItself, Written: !c.computed && (!c.numbered || c.inKey > 0),
		})
	}
	return columns, true, nil
}

// words are what a column of a kind holds, for people.
func (k kind) words() string {
	switch k {
	case integerKind:
		return "whole number"
	case realKind, numericKind:
		return "number"
	case booleanKind:
		return "true or false"
	case dateKind:
		return "date"
	case dateTimeKind:
		return "date and time"
	case timeKind:
		return "time"
	}
	return "text"
}
