// Package making is what the page and whoever can read files and databases say to each other of a task that is being
// made of an uploaded file. What a person has chosen is a [Wish], and what becomes of that a [Proposal].
package making

import (
	"errors"

	"runhook/shared/task"
)

// Uploads is the connection in whose folder uploaded files are kept.
const Uploads = "uploads"

// Uploaded is the name of the uploaded file that a task reads; empty for a task that reads none.
func Uploaded(def *task.Definition) string {
	from, isFile := def.Source.(task.FileSource)
	if !isFile {
		return ""
	}
	connection, _ := from.Place()
	file, err := from.Reads(nil)
	if err != nil || connection != Uploads { // its name has parameters in it
		return ""
	}
	return file
}

// MaxUpload is the largest file in bytes that can be uploaded.
const MaxUpload = 16 << 20

var (
	// ErrNoDraft: there is no uploaded file of that id, or it is over.
	ErrNoDraft = errors.New("the uploaded file is not there any more")
	// ErrThere: the folder of task files has a file of the name, or the task was changed meanwhile.
	ErrThere = errors.New("there is a task file of that name already")
)

// Refusal is what a person has to correct, in a sentence for them.
type Refusal struct {
	// Field is the form's field that it is about; empty for none.
	Field   string
	Message string
}

func (r *Refusal) Error() string { return r.Message }

// Choice is what a person has chosen for one column of the destination.
type Choice struct {
	// From is the source's column, empty for none. Formula counts instead where Formulated is set.
	From       string
	Formula    string
	Formulated bool
	// Days is how days are written in From, like dd.MM.yyyy, empty for yyyy-MM-dd. It is a choice where DaysChosen is set.
	Days       string
	DaysChosen bool
	// Type is what a column of a new table holds, one of Types.
	Type string
}

// Types are what a column of a new table may hold.
var Types = []string{"text", "whole number", "number", "date"}

// Wish is what a person has chosen so far. What is empty is suggested.
type Wish struct {
	// Draft is the id of the uploaded file.
	Draft string
	// Sheet is that of a workbook, and HeaderRow the row that names the columns, 0 for the first with anything in it.
	Sheet     string
	HeaderRow int
	// Connection is the database, Table its table, and New that Table is to be made.
	Connection, Table string
	New               bool
	// Choices are those for columns of the destination, by their names.
	Choices map[string]Choice
	// Chosen: Key and Action are chosen, also if Key is empty.
	Chosen bool
	Key    []string
	Action string
	// Name is the task's, and File that of its file.
	Name, File string
}

// Column is a column of the uploaded file.
type Column struct {
	Name    string
	Samples []string
	Empty   int64
}

// Fault is why rows would fail.
type Fault struct {
	Words   string
	Rows    int64
	Which   string
	Example string
}

// Target is a column of the destination.
type Target struct {
	Name, Type    string
	Key, Required bool
	Choice        Choice
	// Why says why this is suggested; empty if it was chosen.
	Why string
	// IsDay: it holds days, so that it matters how they are written.
	IsDay   bool
	Samples []string
	Empty   int64
	Faults  []Fault
	// Wrong is what is wrong with the formula, empty for nothing.
	Wrong string
}

// Cell is a value as it would be written.
type Cell struct {
	Text string
	Null bool
	// Wrong is why the row would fail, at the column that it is about.
	Wrong string
}

// Row is one of the first rows.
type Row struct {
	Number int64
	Cells  []Cell
	// Wrong is why it would fail, if that is about no column.
	Wrong string
}

// Proposal is the task as it would be.
type Proposal struct {
	Wish
	// FileName is what the person calls the uploaded file.
	FileName string
	Workbook bool
	Sheets   []string
	Columns  []Column
	// Rows are those that were looked at, and All that there are no more.
	Rows int64
	All  bool

	Connections []string
	Tables      []string
	TableWidth  int
	Targets     []Target
	Matched     int
	Unused      []string
	// Fit and Failed are how many rows would be written, and not.
	Fit, Failed, EmptyKeys, RepeatedKeys int64
	First                                []Row
	Others                               []Fault
	// Problems keep the task from being saved, Warnings do not.
	Problems, Warnings []string
	// Text is the task file.
	Text string
	// Writable: the folder of task files can be written.
	Writable bool
}
