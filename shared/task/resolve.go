package task

// Origin says which of the three places a parameter's value came from.
type Origin string

// The origins, as they appear in status documents.
const (
	FromRequest Origin = "request"
	FromTask    Origin = "task"
	FromSource  Origin = "source"
)

// Value is a resolved parameter: what a run uses, decided once when the run is accepted.
type Value struct {
	// Values holds the strings: none when the source's own default applies, one for a
	// plain parameter, any number for a multiple one.
	Values   []string `json:",omitempty"`
	Multiple bool     `json:",omitempty"`
	From     Origin
}

// Values are a run's resolved parameters by key: the column name, or the qualified name where
// two parameters share a column.
type Values map[string]Value
