package task

// field is one row of the table of task file fields. The parser knows a field only from here, so
// that what is read, what is refused and what is said about a field cannot drift apart.
type field struct {
	name string
	kind kind
	// required: the file, or the section, is refused without it.
	required bool
	// values are the words of a choice.
	values []string
	// min and max bound a number, in seconds for a duration; max also bounds the letters of a text
	// and the entries of a list, 0 for no bound.
	min, max int
	// byDefault is the value without the field, as the file would say it; "" for none.
	byDefault string
	// meaning says what the field is for, as a sentence part.
	meaning string
	// later marks a field that is known and refused, because what it asks for does not exist yet;
	// laterValues are such values of a field that does exist.
	later       bool
	laterValues []string
	// fields are those of a section, of each section of a list, or the alternatives.
	fields []field
}

// kind says what YAML a field takes and what becomes of it.
type kind int

const (
	kindText         kind = iota // a scalar on one line
	kindProse                    // a scalar of any number of lines
	kindExpression               // a scalar: an expression over the row, see package mapping
	kindChoice                   // one of values
	kindFlag                     // true or false
	kindWhole                    // a whole number, min to max
	kindSeconds                  // whole seconds, min to max: 90, 90s or 1m30s
	kindCharacter                // one character, tab included
	kindTexts                    // a list of texts
	kindTextOrTexts              // a text or a list of texts
	kindColumns                  // destination column → expression, in order
	kindSection                  // a mapping with fields
	kindSections                 // a list of such mappings
	kindAlternatives             // a mapping with exactly one of its sections
)

// hasEntries reports whether max bounds how many entries a value of the kind has.
func (k kind) hasEntries() bool {
	return k == kindTexts || k == kindTextOrTexts || k == kindColumns || k == kindSections
}

// The bounds keep one file from costing every service memory and time; none is near what a task needs.
const (
	maxNameLetters = 200
	maxParameters  = 100
	maxColumns     = 2000
	maxKeyColumns  = 32
	maxTexts       = 1000
	maxConcurrency = 1000
	maxRowErrors   = 1_000_000_000
	maxRetryAfter  = 3600
)

// taskFields is the table: what a task file may say.
var taskFields = []field{
	{name: "id", kind: kindText, required: true, meaning: "the GUID in the webhook's URL; `runhook task new` makes one"},
	{name: "name", kind: kindText, required: true, max: maxNameLetters, meaning: "what people call the task"},
	{name: "description", kind: kindProse, meaning: "what the task is for, shown to people"},
	{name: "enabled", kind: kindFlag, byDefault: "true", meaning: "false refuses new runs; those already accepted finish"},
	{name: "parameters", kind: kindSections, max: maxParameters, fields: parameterFields, meaning: "what a caller may pass in QueryParameters"},
	{name: "source", kind: kindAlternatives, required: true, fields: sourceFields, meaning: "where the rows come from"},
	{name: "where", kind: kindExpression, meaning: "rows for which the expression is false are skipped"},
	{name: "mapping", kind: kindColumns, required: true, max: maxColumns, meaning: "destination column: expression over the row; a bare name passes the value untouched"},
	{name: "destination", kind: kindAlternatives, required: true, fields: destinationFields, meaning: "where the rows go"},
	{
		name: "on_row_error", kind: kindChoice, values: []string{string(ContinueOnRowError), string(StopOnRowError)}, byDefault: string(ContinueOnRowError),
		meaning: "what a row that fails does to its run",
	},
	{name: "max_row_errors", kind: kindWhole, max: maxRowErrors, byDefault: "1000", meaning: "the run fails above this many failed rows"},
	{name: "concurrency", kind: kindWhole, min: 1, max: maxConcurrency, byDefault: "1", meaning: "runs at once over all runners"},
	{name: "overlap", later: true},
	{name: "max_queued", later: true},
	{name: "timeout", later: true},
	{name: "start_within", later: true},
	{name: "retry", later: true},
	{name: "disable_after_failures", later: true},
	{
		name: "retry_after", kind: kindSeconds, min: 1, max: maxRetryAfter, byDefault: "30s", laterValues: []string{"auto"},
		meaning: "how long pollers are asked to wait between polls",
	},
	{name: "failed_status", kind: kindWhole, min: 200, max: 499, byDefault: "200", meaning: "the HTTP status of a poll that finds the run failed: 200, or a 4xx that clients do not retry"},
	{name: "deduplicate", later: true},
	{name: "former_ids", later: true},
	{name: "schedule", later: true},
	{name: "then", later: true},
	{name: "notify", later: true},
	{name: "auth", later: true},
	{name: "allow_origins", kind: kindTexts, max: maxTexts, byDefault: "*", meaning: "the sites whose pages may call, like https://example.org"},
	{name: "rate_limit", later: true},
	{name: "pool", later: true},
}

var parameterFields = []field{
	{name: "name", kind: kindText, max: maxNameLetters, meaning: "the caller's key"},
	{name: "filter", kind: kindText, max: maxNameLetters, meaning: "the source's filter column, like CsContact.FirstName, whose key is FirstName"},
	{name: "prompt", kind: kindChoice, values: []string{"optional", "required"}, byDefault: "optional", meaning: "required refuses a run without any value"},
	{name: "default", kind: kindTextOrTexts, max: maxTexts, meaning: "the task's value where the request has none"},
	{name: "source_default", kind: kindTextOrTexts, max: maxTexts, meaning: "the value where neither the request nor the task has one"},
	{name: "multiple", kind: kindFlag, byDefault: "false", meaning: "the value is a list, and a request may pass an array"},
	{name: "description", kind: kindProse, meaning: "what the parameter does, shown to people"},
}

var sourceFields = []field{
	{name: "imis", kind: kindSection, later: true},
	{name: "sql", kind: kindSection, later: true},
	{name: "csv", kind: kindSection, meaning: "a delimited text file", fields: []field{
		{name: "connection", kind: kindText, required: true, meaning: "the files connection it is in"},
		{name: "path", kind: kindText, required: true, meaning: "the file, relative to the connection's folder"},
		{name: "delimiter", kind: kindCharacter, byDefault: ",", meaning: `the character between fields; "\t" for a tab`},
		{name: "encoding", kind: kindText, meaning: "the text's encoding, like windows-1252; without it UTF-8, or what a byte order mark says"},
		{name: "sheet", later: true},
	}},
	{name: "http", kind: kindSection, later: true},
	{name: "rate", later: true},
}

var destinationFields = []field{
	{name: "sql", kind: kindSection, meaning: "a table of a database", fields: []field{
		{name: "connection", kind: kindText, required: true, meaning: "the database connection it is in"},
		{name: "table", kind: kindText, required: true, meaning: "the table's name"},
		{name: "key", kind: kindTexts, max: maxKeyColumns, meaning: "the columns that identify a row"},
		{
			name: "action", kind: kindChoice, required: true, values: []string{string(Insert), string(Update), string(Upsert), string(Delete)},
			meaning: "what is done with each row",
		},
		{name: "create", kind: kindFlag, byDefault: "false", meaning: "true makes a missing table from the mapping, with key as primary key"},
	}},
	{name: "imis", kind: kindSection, later: true},
	{name: "csv", kind: kindSection, meaning: "a delimited text file", fields: []field{
		{name: "connection", kind: kindText, required: true, meaning: "the files connection it is in"},
		{name: "path", kind: kindText, required: true, meaning: "the file, relative to the connection's folder"},
		{
			name: "action", kind: kindChoice, required: true, values: []string{string(Replace), string(Append)},
			meaning: "what is done with the file that is there",
		},
	}},
	{name: "http", kind: kindSection, later: true},
	{name: "nats", kind: kindSection, later: true},
}
