package task

import (
	"slices"
	"strings"

	"runhook/shared/wording"
)

// IMISSource reads the rows of an IQA. Every parameter of the task is a prompt of it.
type IMISSource struct {
	Connection string
	// Query is the IQA's path: $/Membership/Lapsed.
	Query string
	// PageSize is how many rows are asked for at a time, 1 to 500. Default 500.
	PageSize int
	Endpoint Endpoint
	// Since: the rows of a run are those that came after the ones before; nil for all rows.
	Since *Since
}

// Increment is Since.
func (s *IMISSource) Increment() *Since { return s.Since }

// Endpoint is the service of an iMIS site that runs an IQA.
type Endpoint string

// The values of endpoint.
const (
	// QueryEndpoint is /api/query, which takes prompts by name.
	QueryEndpoint Endpoint = "query"
	// IQAEndpoint is the older /api/iqa, which takes them by position.
	IQAEndpoint Endpoint = "iqa"
)

// Uses is the name of the connection.
func (s *IMISSource) Uses() (connection string) { return s.Connection }

// Name is IMIS.
func (*IMISSource) Name() Kind { return IMIS }

// From names the source in lists.
func (s *IMISSource) From() string { return "the IQA " + s.Query }

// Ordered: an IQA gives its pages in order.
func (*IMISSource) Ordered() bool { return true }

// Unchanged says what an interrupted run needs to continue.
func (*IMISSource) Unchanged() string { return "the source gives the same rows in the same order" }

// OwnDefault: an IQA is saved with values for its prompts.
func (*IMISSource) OwnDefault() string { return "the IQA’s own" }

// Separator is a comma.
func (*IMISSource) Separator() rune { return ',' }

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

// Uses is the name of the connection.
func (d *IMISDestination) Uses() (connection string) { return d.Connection }

// Name is IMIS.
func (*IMISDestination) Name() Kind { return IMIS }

// Place names the destination in messages.
func (d *IMISDestination) Place() string {
	return "the entity " + d.Entity + " of connection " + d.Connection
}

// FoundBy are the columns of key, or of match.
func (d *IMISDestination) FoundBy() []string { return append(slices.Clone(d.Key), d.Match...) }

// Traits of a site: whether a record was inserted is not always known, but an insert that has match finds
// what it wrote before. Each row has requests of its own.
func (d *IMISDestination) Traits() Traits {
	restartable := d.Action != Insert || len(d.Match) > 0
	return Traits{
		Restartable: restartable, Continues: true, AtLeastOnce: !restartable, Repeats: "insert", BatchRows: 1,
		MaxDelete: true, MaxChange: true, Key: slices.Concat(d.Key, d.Match), Folds: true,
	}
}

// imisQueryWords are the names that /api/query has for itself, in lower case.
var imisQueryWords = []string{"queryname", "limit", "offset"}

// IsPromptName reports whether a prompt of an IQA can be passed by its name, as a parameter of a task.
func IsPromptName(name string) bool {
	return strings.TrimSpace(name) == name && name != "" && !strings.Contains(name, ".") && !strings.ContainsFunc(name, wording.IsControl) &&
		!IsReservedPrompt(name)
}

// IsReservedPrompt reports whether /api/query has the name for itself, in any letter case.
func IsReservedPrompt(name string) bool {
	return slices.Contains(imisQueryWords, strings.ToLower(name))
}
