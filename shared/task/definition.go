// Package task holds what a task is: its definition, the parameters callers may pass, and how a
// parameter gets its value. It knows neither NATS nor HTTP nor YAML: shared/taskfile reads a task's file.
package task

import (
	"path"
	"strings"
	"time"
)

// Definition is one task, as taskfile.Parse makes it of one file. It is immutable: a change of the
// file makes another Definition with another Hash.
type Definition struct {
	ID          ID
	Name        string
	Description string
	// Enabled is the file's own word; a task whose file was removed is disabled by its record.
	Enabled    bool
	Parameters []Parameter
	Source     Source
	// Where is an expression; rows for which it is false are skipped. Empty keeps every row.
	Where string
	// WhereLine is where it stands in the file, for error messages; 0 without one.
	WhereLine   int
	Mapping     []Column
	Destination Destination
	OnRowError  RowErrorPolicy
	// MaxRowErrors is the number of failed rows above which the run fails. Default 1000.
	MaxRowErrors int
	// Concurrency is how many runs of the task may be under way over all runners. Default 1.
	Concurrency int
	// Timeout is how long a run may take from its first start, over all attempts. Default 2 h; 0 is no
	// limit, in a definition that no file made.
	Timeout time.Duration
	// StartWithin is how long a run may wait for a runner before it ends Failed; 0 for ever.
	StartWithin time.Duration
	Retry       Retry
	// RetryAfter is what pollers are asked to wait between polls, whole seconds. Default 30 s.
	RetryAfter time.Duration
	// FailedStatus is the HTTP status of a poll that finds the run failed. Default 200.
	FailedStatus int
	// AllowOrigins lists the origins that browsers may call from. Default ["*"].
	AllowOrigins []string
	// FormerIDs are the ids that the task had before, in file order.
	FormerIDs []FormerID

	// Text is the file's bytes as they were read; Hash is their SHA-256 in hex. Both name the
	// definition for ever: a run executes the Hash that was accepted with it.
	Text []byte
	Hash string
}

// Retry says how a run is attempted again after a fault that may pass.
type Retry struct {
	// Attempts is how often the run is attempted at most. Default 3.
	Attempts int
	// Backoff is the wait before the second attempt, which doubles with each further one. Default 30 s.
	Backoff time.Duration
}

// RowErrorPolicy says what a failed row does to its run.
type RowErrorPolicy string

// The values of on_row_error.
const (
	ContinueOnRowError RowErrorPolicy = "continue"
	StopOnRowError     RowErrorPolicy = "stop"
)

// Parameter is one optional or required prompt of a task.
type Parameter struct {
	// Name is the unqualified column name, the caller's usual key ("FirstName").
	Name string
	// Filter is the qualified column ("CsContact.FirstName"), empty when the file gave a name only.
	Filter string
	// Required: a run without any value is refused before anything starts.
	Required bool
	// Default is the task's own value, used when the request has none. Empty means none.
	Default []string
	// SourceDefault is the source's default, for sources that cannot apply one themselves.
	SourceDefault []string
	// Multiple: the value is a list of strings, and a request may send an array.
	Multiple    bool
	Description string
}

// Column is one entry of mapping, in file order: the destination's column and the expression
// over the source's row that makes its value.
type Column struct {
	Name       string
	Expression string
	// Line is where the entry stands in the file, for error messages.
	Line int
}

// Source says where rows come from. Exactly one of CSV, SQL, HTTP and IMIS is set.
type Source struct {
	CSV  *CSVSource
	SQL  *SQLSource
	HTTP *HTTPSource
	IMIS *IMISSource
	// Rate is a brake on how fast rows are read; its zero value is none.
	Rate Rate
}

// CSVSource reads a delimited text file inside the folder of a files connection: as it is, compressed
// (.gz), or a sheet of a workbook (.xlsx).
type CSVSource struct {
	Connection string
	Path       string
	// Delimiter is one character; 0 means a comma. It means nothing for a workbook.
	Delimiter rune
	// Encoding is a WHATWG encoding label ("utf-8", "windows-1252"); empty means UTF-8, where a
	// byte order mark decides if there is one. It means nothing for a workbook.
	Encoding string
	// Sheet is the name of a workbook's sheet; empty means the first.
	Sheet string
}

// IsWorkbook reports whether the path is that of an .xlsx file.
func (s *CSVSource) IsWorkbook() bool { return strings.EqualFold(path.Ext(s.Path), ".xlsx") }

// SQLSource reads the rows of a query.
type SQLSource struct {
	Connection string
	// Query is one select. Its named parameters, see CutQuery, are parameters of the task.
	Query string
	// OrderBy lists columns of the query to put the rows in order by; empty leaves the query's order.
	OrderBy []string
}

// HTTPSource reads pages of JSON.
type HTTPSource struct {
	Connection string
	// Path is the first page's path and query below the connection's URL, with the task's parameters
	// in it as {params.Name}; see ExpandPath.
	Path string
	// Items is where a page has its list of rows; empty means that the page is the list. This and
	// the other places in a page are names of members, with dots between.
	Items string
	// Next is how the page after a page is found; nil means that there is one page.
	Next *NextPage
	// Total is where a page has the number of rows of all pages; empty where it has none.
	Total string
	// Columns are names that a row may lack, besides those that the first rows have.
	Columns []string
}

// NextPage is how the next page is found. Exactly one of its members but From is set.
type NextPage struct {
	// Link is where a page has the address of the next one.
	Link string
	// Header: the Link header has it, as rel=next.
	Header bool
	// Offset is the query parameter for the number of rows to pass over.
	Offset string
	// Page is the query parameter for the number of the page.
	Page string
	// Cursor is the query parameter for what a page has at From.
	Cursor, From string
}

// IMISSource reads the rows of an IQA. Every parameter of the task is a prompt of it.
type IMISSource struct {
	Connection string
	// Query is the IQA's path: $/Membership/Lapsed.
	Query string
	// PageSize is how many rows are asked for at a time, 1 to 500. Default 500.
	PageSize int
	Endpoint Endpoint
}

// Endpoint is the service of an iMIS site that runs an IQA.
type Endpoint string

// The values of endpoint.
const (
	// QueryEndpoint is /api/query, which takes prompts by name.
	QueryEndpoint Endpoint = "query"
	// IQAEndpoint is the older /api/iqa, which takes them by position.
	IQAEndpoint Endpoint = "iqa"
)

// Destination says where rows go. Exactly one member is set.
type Destination struct {
	SQL  *SQLDestination
	CSV  *CSVDestination
	HTTP *HTTPDestination
	NATS *NATSDestination
	IMIS *IMISDestination
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

// SQLDestination writes one table of a database connection.
type SQLDestination struct {
	Connection string
	Table      string
	// Key lists the columns that identify a row; required but for insert.
	Key    []string
	Action Action
	// Create makes a missing table from the mapping, with Key as primary key.
	Create bool
}

// CSVDestination writes a delimited text file inside the folder of a files connection.
type CSVDestination struct {
	Connection string
	Path       string
	Action     Action
}

// HTTPDestination sends rows as JSON to a web service.
type HTTPDestination struct {
	Connection string
	// Path follows the connection's url and may have a query.
	Path string
	// Method is POST, PUT or PATCH.
	Method string
	// Batch is how many rows go in one request: 1 sends a row's object, more an array of them.
	Batch int
}

// NATSDestination publishes each row as a JSON message.
type NATSDestination struct {
	Subject string
}

// IMISDestination writes the records of one panel or business object of an iMIS site.
type IMISDestination struct {
	Connection string
	// Entity is what the REST API calls the panel or business object.
	Entity string
	Action Action
	// Key lists the columns of the mapping that are a record's identity, Match those that a record must
	// have equal to be a row's. Insert may do without; any other action has exactly one of the two.
	Key, Match []string
	// OnMultiple is for a row that several records match, OnBlankMatch for one that has no value to
	// match by. Both skip by default.
	OnMultiple, OnBlankMatch RowPolicy
	// Append lists multi-select columns whose values are added to those of the record.
	Append []string
}

// RowPolicy says what becomes of a row that is not matched by exactly one record.
type RowPolicy string

// The values of on_multiple and on_blank_match; AllRecords is of the first alone.
const (
	SkipRow    RowPolicy = "skip"
	FailRow    RowPolicy = "fail"
	AllRecords RowPolicy = "all"
)

// Restartable reports whether an interrupted run that cannot continue may start over from the first row:
// true for update, upsert, delete and csv replace, which come to the same, and for http and nats, where a
// batch may arrive more than once anyway; false for insert and append, which would write rows twice.
// An insert into iMIS that has match finds what it wrote before.
func (d Destination) Restartable() bool {
	switch {
	case d.SQL != nil:
		return d.SQL.Action != Insert
	case d.CSV != nil:
		return d.CSV.Action != Append
	case d.IMIS != nil:
		return d.IMIS.Action != Insert || len(d.IMIS.Match) > 0
	}
	return true
}

// AtLeastOnce reports whether an interruption can make rows arrive more than once: where what is written
// and the checkpoint behind it cannot be made one step.
func (d Destination) AtLeastOnce() bool {
	return d.HTTP != nil || d.NATS != nil || (d.CSV != nil || d.IMIS != nil) && !d.Restartable()
}

// FormerID is an id that a task had before it was rotated.
type FormerID struct {
	ID ID
	// Until is the moment up to which a POST to the id still starts a run.
	Until time.Time
}

// FormerUntil is the moment up to which id, a former one, still starts runs of the task; the zero
// time where the task does not list it.
func (d *Definition) FormerUntil(id ID) time.Time {
	for _, former := range d.FormerIDs {
		if former.ID == id {
			return former.Until
		}
	}
	return time.Time{}
}

// Rate is a number of things in a time. The zero Rate is no limit.
type Rate struct {
	Count int
	Per   time.Duration
}
