package taskfile

import (
	"slices"

	"runhook/shared/task"
)

// field is one row of the table of task file fields. The parser knows a field only from here, so
// that what is read, what is refused and what is said about a field cannot drift apart.
type field struct {
	name string
	kind kind
	// required: the file, or the section, is refused without it.
	required bool
	// values are the words of a choice, or those besides a length of time, each of which is none.
	values []string
	// min and max bound a number, in seconds for a duration; max also bounds the letters of a text
	// and the entries of a list, 0 for no bound.
	min, max int
	// pattern is a regular expression of what a text looks like, for the JSON Schema; the parser has a
	// check of its own, which says more.
	pattern string
	// oneOf are fields of each section of a list, of which it has exactly one.
	oneOf []string
	// byDefault is the value without the field, as the file would say it; "" for none.
	byDefault string
	// example is a value as YAML, for a file to start from; starter marks a field that such a file
	// sets although it is not required.
	example string
	starter bool
	// meaning says what the field is for, as a sentence part.
	meaning string
	// nulls: the words that YAML has for no value are texts of the list.
	nulls bool
	// later marks a field that is known and refused, because what it asks for does not exist yet.
	later bool
	// fields are those of a section, of each section of a list, or the alternatives.
	fields []field
}

// kind says what YAML a field takes and what becomes of it.
type kind int

const (
	kindText            kind = iota // a scalar on one line
	kindProse                       // a scalar of any number of lines
	kindExpression                  // a scalar: an expression over the row, see package mapping
	kindChoice                      // one of values
	kindChoiceOrSection             // one of values, or a mapping with fields
	kindFlag                        // true or false
	kindWhole                       // a whole number, min to max
	kindSeconds                     // whole seconds, min to max: 90, 90s or 1m30s
	kindMoment                      // a date, or a date and a time of day
	kindBound                       // a number of rows, or a part of the destination's: 10%
	kindSpan                        // a length of time, min to max seconds: 90d or 12h
	kindSize                        // a number of bytes, min to max: 64MiB
	kindRate                        // a number per second, minute or hour: 200/s
	kindCharacter                   // one character, tab included
	kindTexts                       // a list of texts
	kindTextOrTexts                 // a text or a list of texts
	kindInstant                     // a moment with its offset: 2031-01-31T06:00:00+01:00
	kindValues                      // parameter → value, in order
	kindColumns                     // destination column → expression, in order
	kindExpressions                 // parameter → expression over a run, in order
	kindSection                     // a mapping with fields
	kindSections                    // a list of such mappings
	kindAlternatives                // a mapping with exactly one of its sections
)

// hasEntries reports whether max bounds how many entries a value of the kind has.
func (k kind) hasEntries() bool {
	return k == kindTexts || k == kindTextOrTexts || k == kindColumns || k == kindExpressions || k == kindValues || k == kindSections
}

// The bounds keep one file from costing every service memory and time; none is near what a task needs.
const (
	maxNameLetters       = 200
	maxExpressionLetters = 10_000
	maxParameters        = 100
	maxColumns           = 2000
	maxKeyColumns        = 32
	maxTexts             = 1000
	maxHeaderRow         = 10_000
	maxConcurrency       = 1000
	maxFailures          = 1000
	maxQueued            = 1_000_000_000
	maxRowsPerRequest    = 1000
	maxRowErrors         = 1_000_000_000
	maxRetryAfter        = 3600
	maxFormerIDs         = 100
	maxAuth              = 20
	maxValueBytes        = 512 << 10
	maxRate              = 1_000_000
	maxPageSize          = 500 // iMIS gives no longer page
	maxTimeout           = 30 * 24 * 3600
	maxAttempts          = 100
	maxBackoff           = 3600
	minKeep              = 60
	maxKeep              = 3650 * 24 * 3600
	minRejected          = 1 << 10
	maxRejected          = 1 << 30
)

// guidPattern fits the forms of a GUID that ParseID takes.
const guidPattern = `^\s*(\{[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\}|[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}|[0-9A-Fa-f]{32})\s*$`

// poolPattern fits what task.CheckPool takes.
const poolPattern = `^[A-Za-z0-9_-]{1,50}$`

// taskFields is the table: what a task file may say.
var taskFields = []field{
	{
		name: "id", kind: kindText, pattern: guidPattern, required: true,
		meaning: "the GUID in the webhook's URL; `runhook task new` makes one",
	},
	{
		name: "name", kind: kindText, max: maxNameLetters, required: true,
		meaning: "what people call the task",
	},
	{
		name: "description", kind: kindProse, example: "Copies members, all or those of one last name",
		meaning: "what the task is for, shown to people",
	},
	{
		name: "enabled", kind: kindFlag, byDefault: "true",
		meaning: "false refuses new runs; accepted runs finish",
	},
	{
		name: "parameters", kind: kindSections, max: maxParameters, fields: parameterFields, oneOf: []string{"name", "filter"}, starter: true,
		meaning: "what a caller may pass in QueryParameters",
	},
	{
		name: "source", kind: kindAlternatives, fields: sourceFields, required: true,
		meaning: "where the rows come from",
	},
	{
		name: "where", kind: kindExpression, example: `params.LastName == "" || LastName == params.LastName`, starter: true,
		meaning: "rows for which the expression is false are skipped",
	},
	{
		name: "mapping", kind: kindColumns, max: maxColumns, example: "id: ID\nfull_name: FirstName + \" \" + LastName", required: true,
		meaning: "a line for each destination column, like id: ID (column: expression over the row); a bare name passes the value unchanged",
	},
	{
		name: "destination", kind: kindAlternatives, fields: destinationFields, required: true,
		meaning: "where the rows go",
	},
	{
		name: "on_row_error", kind: kindChoice, byDefault: string(task.ContinueOnRowError),
		values:  []string{string(task.ContinueOnRowError), string(task.StopOnRowError)},
		meaning: "what a failed row does to its run: continue or stop",
	},
	{
		name: "max_row_errors", kind: kindWhole, max: maxRowErrors, byDefault: "1000",
		meaning: "the run fails above this many failed rows",
	},
	{
		name: "rejected_rows", kind: kindSection, fields: rejectedFields,
		meaning: "what is kept of failed rows, and who may read them",
	},
	{
		name: "expect", kind: kindSection, fields: expectFields,
		meaning: "bounds that end a run Failed before it goes beyond them",
	},
	{
		name: "concurrency", kind: kindWhole, min: 1, max: maxConcurrency, byDefault: "1",
		meaning: "runs at once over all runners",
	},
	{
		name: "overlap", kind: kindChoice, byDefault: string(task.QueueOverlap),
		values: []string{
			string(task.QueueOverlap), string(task.RejectOverlap), string(task.SkipOverlap),
			string(task.LatestOverlap), string(task.CancelRunningOverlap),
		},
		meaning: "what becomes of a POST while a run of the task has not ended: it waits (queue), gets 409 (reject), ends Canceled at once (skip), waits in the place of the one that waits (latest), or cancels the others and waits for their end (cancel_running). All but queue need `concurrency: 1`",
	},
	{
		name: "max_queued", kind: kindWhole, min: 1, max: maxQueued, byDefault: "10000",
		meaning: "how many runs may wait with `overlap: queue`; POSTs beyond that get 429",
	},
	{
		name: "timeout", kind: kindSeconds, min: 1, max: maxTimeout, byDefault: "2h",
		meaning: "how long a run may take from its first start, with all attempts and waits; then it ends Failed",
	},
	{
		name: "start_within", kind: kindSeconds, min: 1, max: maxTimeout, example: "10m",
		meaning: "a run that no runner has started by then ends Failed; without it a run waits as long as it must",
	},
	{
		name: "keep", kind: kindSpan, min: minKeep, max: maxKeep, example: "30d",
		meaning: "how long a run is kept, from its end; then it is erased with all that belongs to it. Without it as long as the server keeps runs",
	},
	{
		name: "retry", kind: kindSection, fields: retryFields,
		meaning: "how often and when a run is attempted again after a temporary fault of its source or destination",
	},
	{
		name: "disable_after_failures", kind: kindWhole, max: maxFailures, byDefault: "0",
		meaning: "the task is held after this many failed runs in a row: POSTs get 409 until `runhook task enable`. 0 is never",
	},
	{
		name: "retry_after", kind: kindSeconds, min: 1, max: maxRetryAfter, byDefault: "auto", values: []string{"auto"},
		meaning: "how long pollers are asked to wait between polls; `auto` is 1 to 60 seconds, as the task's last runs took and as far as the run is, and 30 before the first has ended",
	},
	{
		name: "failed_status", kind: kindWhole, min: 200, max: 499, byDefault: "200",
		meaning: "the HTTP status of a poll that finds the run failed: 200, or a 4xx except 408 and 429",
	},
	{name: "deduplicate", later: true},
	{
		name: "webhook", kind: kindSection, fields: webhookFields,
		meaning: "the GUID in the webhook's URL, if it is not `id` any more; `runhook task rotate` writes it",
	},
	{
		name: "former_ids", kind: kindSections, max: maxFormerIDs, fields: formerIDFields,
		meaning: "ids that the task had before, in files of earlier versions",
	},
	{
		name: "schedule", kind: kindSections, max: maxSchedules, fields: scheduleFields, oneOf: []string{"cron", "at"},
		meaning: "when the task runs by itself",
	},
	{
		name: "then", kind: kindSections, max: maxThen, fields: thenFields,
		meaning: "the tasks of which a run is started when one of this task has ended",
	},
	{name: "notify", later: true},
	{
		name: "auth", kind: kindSections, max: maxAuth, fields: authFields, oneOf: []string{"key", "hmac", "jwt"},
		meaning: "who may call: one of the entries must fit; without it everybody who knows the webhook's URL",
	},
	{
		name: "allow_origins", kind: kindTexts, max: maxTexts, byDefault: "*",
		meaning: "the sites whose pages may call, like https://example.org",
	},
	{
		name: "rate_limit", kind: kindRate, max: maxRate, example: "60/m",
		meaning: "how many POSTs one address may send, also with a wrong key; more get 429",
	},
	{
		name: "pool", kind: kindText, pattern: poolPattern, byDefault: task.DefaultPool, example: "onprem",
		meaning: "which runners take the task's runs: those that were started with --pool and this name",
	},
}

var expectFields = []field{
	{
		name: "min_rows", kind: kindWhole, max: maxRowErrors, example: "100",
		meaning: "the run fails, before it writes any, if fewer rows than this pass where and mapping",
	},
	{
		name: "max_delete", kind: kindBound, max: maxRowErrors, example: "10%",
		meaning: "the run fails before it deletes more rows than this; for a csv file that it replaces: before the file loses more",
	},
	{
		name: "max_change", kind: kindBound, max: maxRowErrors, example: "10%",
		meaning: "the run fails before it updates more rows than this; rows that it leaves unchanged do not count",
	},
}

var rejectedFields = []field{
	{
		name: "columns", kind: kindChoice, values: []string{usedColumns, allColumns}, byDefault: usedColumns,
		meaning: "used keeps the source's columns that `where` and `mapping` name; all keeps every column",
	},
	{
		name: "keep", kind: kindSpan, min: minKeep, max: maxKeep, byDefault: "90d",
		meaning: "how long they are kept, from the start of the run, and no longer than the run; a dry run keeps them a day at most",
	},
	{
		name: "max", kind: kindSize, min: minRejected, max: maxRejected, byDefault: "64MiB",
		meaning: "how much of them a run keeps; failed rows beyond it are counted and not kept",
	},
	{
		name: "link", kind: kindFlag, byDefault: "false",
		meaning: "true puts a signed `RejectedUrl` into the answer to every POST: whoever knows the task's GUID can then make rows fail, and read them",
	},
}

// The values of rejected_rows.columns.
const (
	usedColumns = "used"
	allColumns  = "all"
)

var retryFields = []field{
	{
		name: "attempts", kind: kindWhole, min: 1, max: maxAttempts, byDefault: "3",
		meaning: "attempts in all; with 1 there is no other attempt. Attempts that an interruption ended do not count",
	},
	{
		name: "backoff", kind: kindSeconds, min: 1, max: maxBackoff, byDefault: "30s",
		meaning: "the wait before the second attempt; it doubles each time, up to an hour, and is longer if the other side asks for that",
	},
}

var webhookFields = []field{
	{
		name: "id", kind: kindText, pattern: guidPattern, example: "0b9f3c62-8d1e-4f57-a3c4-2e6d7b8a9c01", required: true,
		meaning: "the GUID that starts runs. `id` of the file stays the task's name for events and history",
	},
	{
		name: "former", kind: kindSections, max: maxFormerIDs, fields: formerIDFields,
		meaning: "the GUIDs that were here before",
	},
}

var formerIDFields = []field{
	{
		name: "id", kind: kindText, pattern: guidPattern, example: "0b9f3c62-8d1e-4f57-a3c4-2e6d7b8a9c01", required: true,
		meaning: "the former GUID; POSTs to it still start runs until the date",
	},
	{
		name: "until", kind: kindMoment, example: "2031-01-31", required: true,
		meaning: "the last day, or the moment, that it does so; later POSTs get 410",
	},
}

var parameterFields = []field{
	{
		name: "name", kind: kindText, max: maxNameLetters, pattern: `^[^.]*$`, example: "LastName", starter: true,
		meaning: "the caller's key",
	},
	{
		name: "filter", kind: kindText, max: maxNameLetters, pattern: `.\..*[^.]$`, example: "CsContact.LastName",
		meaning: "instead of name: the source's filter column, whose key is LastName",
	},
	{
		name: "prompt", kind: kindChoice, values: []string{"optional", "required"}, byDefault: "optional",
		meaning: "required refuses a run without any value",
	},
	{
		name: "default", kind: kindTextOrTexts, max: maxTexts, example: "Smith",
		meaning: "the value if the request has none",
	},
	{
		name: "source_default", kind: kindTextOrTexts, max: maxTexts, example: "Smith",
		meaning: "the value if neither the request nor the task has one",
	},
	{
		name: "multiple", kind: kindFlag, byDefault: "false",
		meaning: "true makes the value a list, and a request may pass an array",
	},
	{
		name: "max_bytes", kind: kindWhole, min: 1, max: maxValueBytes, byDefault: "4096",
		meaning: "how many bytes a request's value may have, in UTF-8; if multiple, all its values together",
	},
	{
		name: "path", kind: kindFlag, byDefault: "false",
		meaning: "true lets a value be several segments of an http source's path, with slashes; otherwise such a request gets 400",
	},
	{
		name: "description", kind: kindProse, example: "Only this last name",
		meaning: "what the parameter does, shown to people",
	},
}

// connectionField names the connection that a section uses: which says what it is for.
func connectionField(example, which string) field {
	return field{
		name: "connection", kind: kindText, example: example, required: true,
		meaning: "the " + which + ", from the runner's connections.yaml",
	}
}

// form is how one kind of source or destination is written.
type form[T any] struct {
	kind    task.Kind
	meaning string
	fields  []field
	// read makes of the kind's section what it says, and reports what does not fit the section, or the
	// task: its parameters, its mapping and, of a destination, its source are known.
	read func(r *reader, given content, def *task.Definition) T
	// draft writes it for a [Draft], in lines; nil for a kind of which there are none.
	draft func(T) []string
	// aboutParameters are comments of a draft above the task's parameters; nil for none.
	aboutParameters func(T) []string
}

var (
	sourceForms      = []form[task.Source]{csvSource, sqlSource, httpSource, imisSource}
	destinationForms = []form[task.Destination]{sqlDestination, imisDestination, csvDestination, httpDestination, natsDestination}
)

// formOf is the form of a kind.
func formOf[T any](forms []form[T], kind task.Kind) form[T] {
	return forms[slices.IndexFunc(forms, func(f form[T]) bool { return f.kind == kind })]
}

// sections are the fields of which a source or destination has one.
func sections[T any](forms []form[T]) (fields []field) {
	for _, f := range forms {
		fields = append(fields, field{name: string(f.kind), kind: kindSection, fields: f.fields, meaning: f.meaning})
	}
	return fields
}

var sourceFields = append(sections(sourceForms), field{
	name: "rate", kind: kindRate, max: maxRate, example: "200/s",
	meaning: "a brake: at most so many rows per second (/s), minute (/m) or hour (/h)",
})

var destinationFields = sections(destinationForms)
