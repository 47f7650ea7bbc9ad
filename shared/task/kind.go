package task

import "slices"

// Kind is what task files call a kind of source or destination.
type Kind string

// The kinds.
const (
	CSV  Kind = "csv"
	SQL  Kind = "sql"
	HTTP Kind = "http"
	IMIS Kind = "imis"
	NATS Kind = "nats"
)

// Source says where rows come from: a *CSVSource, *SQLSource, *HTTPSource or *IMISSource.
type Source interface {
	// Name is that of the kind.
	Name() Kind
	// Ordered reports whether the source can be gone through again in the same order, so that a run that
	// was interrupted can go on behind the last row that is known to have been written.
	Ordered() bool
	// Unchanged says, as a sentence part, what must hold so that an interrupted run can go on.
	Unchanged() string
	// From names the source in lists, as in "from the file members.csv".
	From() string
	// Separator stands between the cells of a row that is given back as text.
	Separator() rune
}

// FileSource is a Source that reads a file in the folder of a connection.
type FileSource interface {
	// Place is the connection, and the file's path in its folder, which may have parameters in it.
	Place() (connection, path string)
	// Reads is that path with a run's parameters in it. The error names a parameter without one value.
	Reads(params map[string]any) (path string, err error)
}

// TextSource is a Source whose cells are text, so that a row which was not taken can be corrected as text and read again.
type TextSource interface {
	// Another is the source with another file in the place of its own.
	Another(connection, path string) *CSVSource
}

// Destination says where rows go: a *SQLDestination, *CSVDestination, *HTTPDestination,
// *NATSDestination or *IMISDestination.
type Destination interface {
	// Name is that of the kind.
	Name() Kind
	// Place names the destination in messages, as in "Writing to the table members".
	Place() string
	// Traits are what a run has to know of it.
	Traits() Traits
}

// Replacer is a Destination that may put a whole file in the place of the one that is there.
type Replacer interface {
	// Replaces is the connection, and the path in its folder of the file that is replaced, if one is.
	Replaces() (connection, path string, replaces bool)
}

// Keyed is a Destination that may find the record of a row by columns of the mapping.
type Keyed interface {
	// FoundBy are those columns, none where nothing is looked for.
	FoundBy() []string
}

// Prompting is a Source that applies a value of its own for a parameter that has none.
type Prompting interface {
	// OwnDefault names that value, as in "the IQA’s own".
	OwnDefault() string
}

// Connected is a Source or Destination at the other end of a connection.
type Connected interface {
	// Uses is the name of the connection.
	Uses() (connection string)
}

// Connections are the names of the connections that the task uses, its source's first, each once.
func (d *Definition) Connections() (names []string) {
	for _, end := range []any{d.Source, d.Destination} {
		if connected, ok := end.(Connected); ok && !slices.Contains(names, connected.Uses()) {
			names = append(names, connected.Uses())
		}
	}
	return names
}

// Traits say what becomes of rows at a destination when a run is interrupted, and how it takes them.
type Traits struct {
	// Restartable: an interrupted run that cannot continue may start over from the first row, because
	// what was written before is written over, or may arrive more than once anyway. Otherwise rows would
	// be there twice.
	Restartable bool
	// Continues: a run can go on in what an interrupted attempt left at the destination.
	Continues bool
	// AtLeastOnce: an interruption can make rows arrive more than once, because what is written and the
	// checkpoint behind it cannot be made one step.
	AtLeastOnce bool
	// Repeats is the verb of what starting over would do twice, of a destination that is not restartable:
	// "insert", "append".
	Repeats string
	// MaxDelete, MaxChange: a task's expect can bound how many rows a run deletes and updates there.
	MaxDelete, MaxChange bool
	// Key are the columns of the mapping that identify a row there; nil if a row takes no other's place.
	Key []string
	// Folds: letter case makes no difference in the values of Key, nor do spaces around them.
	Folds bool
	// BatchRows is how many rows the destination takes in one batch; 0 is any number.
	BatchRows int
}

// Action is what is done with each row at the destination.
type Action string

// The actions of a sql and of an imis destination, and of a csv one.
const (
	Insert  Action = "insert"
	Update  Action = "update"
	Upsert  Action = "upsert"
	Delete  Action = "delete"
	Replace Action = "replace"
	Append  Action = "append"
)
