package taskfile

import (
	"bytes"
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"

	"runhook/shared/nearest"
	"runhook/shared/task"
	"runhook/shared/wording"
)

// reader reads one task file and collects what is wrong with it.
type reader struct {
	file string
	// lastLine is the last line with text, where problems are put that YAML sees behind it.
	lastLine int
	problems []Problem
	// increments is the since of the source, until it is checked.
	increments *increment
}

func newReader(data []byte, file string) *reader {
	text := bytes.TrimRight(data, "\r\n")
	breaks := max(bytes.Count(text, []byte("\n")), bytes.Count(text, []byte("\r")))
	return &reader{file: file, lastLine: breaks + 1}
}

func (r *reader) report(line int, format string, args ...any) {
	line = max(1, min(line, r.lastLine))
	r.problems = append(r.problems, Problem{File: r.file, Line: line, Message: fmt.Sprintf(format, args...)})
}

// A content is a field's value as the table's kind has it; only the members of that kind are set.
type content struct {
	line     int
	text     string // text, prose, expression, choice
	number   int    // whole, seconds, span, size
	rate     task.Rate
	bound    task.Bound
	on       bool // flag
	moment   time.Time
	texts    []string
	list     bool // texts were written as a list
	columns  []task.Column
	given    []task.Given // values
	section  *fieldSet    // section, alternatives
	sections []*fieldSet
}

// fieldSet is a mapping of the file that was held against a table: it has known fields only, each
// with content of the right kind, given or by default. A field whose value was refused is not in
// it, so that every check of a content first asks whether there is one.
type fieldSet struct {
	line     int
	contents map[string]content
	// refused holds the given fields that were reported, so that they are not reported as missing too.
	refused map[string]bool
}

// field returns a field's content and whether the field has any.
func (s *fieldSet) field(name string) (content, bool) {
	c, ok := s.contents[name]
	return c, ok
}

func (s *fieldSet) text(name string) string { return s.contents[name].text }

func (s *fieldSet) seconds(name string) time.Duration {
	return time.Duration(s.contents[name].number) * time.Second
}

// readSection holds a mapping against a table. path is how messages name it, "" for the file itself.
func (r *reader) readSection(node *yaml.Node, path string, table []field) *fieldSet {
	set := &fieldSet{line: node.Line, contents: map[string]content{}, refused: map[string]bool{}}
	first := map[string]int{}
	for i := 0; i < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		line, again := first[key.Value]
		at := slices.IndexFunc(table, func(f field) bool { return f.name == key.Value })
		switch {
		case key.Kind != yaml.ScalarNode:
			r.report(key.Line, "%s has a key that is not a name", cmp.Or(path, "the file"))
		case again:
			r.report(key.Line, "%s is given twice; first on line %d", wording.Quote(key.Value), line)
		case at < 0:
			meant := r.reportUnknown(key, path, table)
			set.refused[meant] = true
		case table[at].later:
			r.report(key.Line, "%s is not supported yet", join(path, key.Value))
			set.refused[key.Value] = true
		default:
			if c, ok := r.read(value, join(path, key.Value), table[at]); ok {
				c.line = key.Line
				set.contents[key.Value] = c
			} else {
				set.refused[key.Value] = true
			}
		}
		if !again && key.Kind == yaml.ScalarNode {
			first[key.Value] = key.Line
		}
	}
	for _, f := range table {
		_, given := set.contents[f.name]
		switch {
		case given || set.refused[f.name]:
		case f.required:
			r.report(node.Line, "%s is missing: %s", join(path, f.name), f.meaning)
		case f.byDefault != "":
			// A default is read as if the file had it, so that the table cannot name one that is refused.
			if c, ok := r.read(defaultNode(f), join(path, f.name), f); ok {
				set.contents[f.name] = c
			}
		}
	}
	return set
}

// fieldName is what a misspelled field may look like.
var fieldName = regexp.MustCompile(`^[\pL][\pL\pN_ -]{0,39}$`)

// reportUnknown reports a field that the table does not have and returns the one probably meant.
func (r *reader) reportUnknown(key *yaml.Node, path string, table []field) (near string) {
	var names, supported []string
	for _, f := range table {
		names = append(names, f.name)
		if !f.later {
			supported = append(supported, f.name)
		}
	}
	message := "unknown field"
	if fieldName.MatchString(key.Value) { // what looks like none may be a line of another file
		message += " " + wording.Quote(key.Value)
	}
	if path != "" {
		message += " in " + path
	}
	near = nearest.Name(key.Value, names)
	switch {
	case near == "":
		message += "; the fields are " + strings.Join(supported, ", ")
	case !slices.Contains(supported, near):
		message += fmt.Sprintf("; did you mean %q? It is not supported yet", near)
	default:
		message += fmt.Sprintf("; did you mean %q?", near)
	}
	r.report(key.Line, "%s", message)
	return near
}

// defaultNode is the YAML of a field's default.
func defaultNode(f field) *yaml.Node {
	scalar := &yaml.Node{Kind: yaml.ScalarNode, Value: f.byDefault, Tag: "!!str"}
	switch f.kind {
	case kindFlag:
		scalar.Tag = "!!bool"
	case kindWhole:
		scalar.Tag = "!!int"
	case kindTexts:
		return &yaml.Node{Kind: yaml.SequenceNode, Content: []*yaml.Node{scalar}}
	}
	return scalar
}

// read reads one value as the field's kind asks; what does not fit is reported.
func (r *reader) read(node *yaml.Node, name string, f field) (content, bool) {
	if node.Kind == yaml.ScalarNode && node.ShortTag() == "!!null" {
		r.report(node.Line, "%s has no value; give it one or remove it", name)
		return content{}, false
	}
	if entries := countEntries(node); f.kind.hasEntries() && f.max > 0 && entries > f.max {
		r.report(node.Line, "%s has %d entries; it may have %d", name, entries, f.max)
		return content{}, false
	}
	switch f.kind {
	case kindColumns:
		return r.readColumns(node, name, "column", "destination column")
	case kindExpressions:
		return r.readColumns(node, name, "parameter", "parameter")
	case kindValues:
		return r.readValues(node, name)
	case kindSection, kindAlternatives:
		if node.Kind != yaml.MappingNode {
			r.report(node.Line, "%s must be a mapping of fields", name)
			return content{}, false
		}
		set := r.readSection(node, name, f.fields)
		if f.kind == kindAlternatives {
			r.checkAlternatives(set, name, f.fields)
		}
		return content{section: set}, true
	case kindSections:
		return r.readSections(node, name, f)
	case kindChoiceOrSection:
		if node.Kind == yaml.MappingNode {
			return content{section: r.readSection(node, name, f.fields)}, true
		}
	case kindTexts, kindTextOrTexts:
		return r.readTexts(node, name, f)
	}
	if node.Kind != yaml.ScalarNode {
		r.report(node.Line, "%s must be %s, not %s", name, f.takes(), shape(node)+inBrackets(node))
		return content{}, false
	}
	c, ok := f.scalar(node)
	if !ok {
		message := fmt.Sprintf("%s must be %s, not %s", name, f.takes(), shape(node))
		quoted := node.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0
		if quoted && (f.kind == kindFlag || f.kind == kindWhole) {
			message += " in quotes"
		}
		r.report(node.Line, "%s", message)
	}
	return c, ok
}

// scalar reads a scalar as the field's kind, and says whether it fits.
func (f field) scalar(node *yaml.Node) (c content, ok bool) {
	switch c.text = node.Value; f.kind {
	case kindText:
		oneLine := !strings.ContainsFunc(c.text, wording.IsControl)
		return c, strings.TrimSpace(c.text) != "" && oneLine && (f.max == 0 || len([]rune(c.text)) <= f.max)
	case kindCharacter:
		letter, size := utf8.DecodeRuneInString(c.text)
		usable := letter == '\t' || letter != '"' && letter != utf8.RuneError && !wording.IsControl(letter)
		return c, size == len(c.text) && usable
	case kindChoice, kindChoiceOrSection:
		return c, slices.Contains(f.values, c.text)
	case kindFlag:
		c.on = c.text == "true"
		return c, node.ShortTag() == "!!bool" && (c.on || c.text == "false")
	case kindWhole:
		number, err := strconv.Atoi(c.text)
		c.number = number
		// 010 and 1_000 mean different numbers to different readers of YAML.
		plain := node.ShortTag() == "!!int" && strconv.Itoa(number) == c.text
		return c, err == nil && plain && f.min <= number && number <= f.max
	case kindRate:
		c.rate, ok = parseRate(c.text, f.max)
		return c, ok
	case kindBound:
		c.bound, ok = parseBound(c.text, f.max)
		return c, ok
	case kindSeconds:
		if slices.Contains(f.values, c.text) {
			return c, true
		}
		duration, err := time.ParseDuration(c.text)
		if number, notNumber := strconv.Atoi(c.text); notNumber == nil && number <= f.max {
			duration, err = time.Duration(number)*time.Second, nil
		}
		c.number = int(duration / time.Second)
		return c, err == nil && duration%time.Second == 0 && f.min <= c.number && c.number <= f.max
	case kindSpan:
		c.number, ok = parseSpan(c.text)
		return c, ok && f.min <= c.number && c.number <= f.max
	case kindSize:
		c.number, ok = parseSize(c.text)
		return c, ok && f.min <= c.number && c.number <= f.max
	case kindMoment:
		var err error
		c.moment, err = ParseMoment(c.text)
		return c, err == nil
	case kindInstant:
		var err error
		c.moment, err = time.Parse(time.RFC3339, c.text)
		return c, err == nil && c.moment.Nanosecond() == 0
	}
	return c, true // prose and expressions may be anything
}

// takes says what a field takes, as a sentence part.
func (f field) takes() string {
	switch f.kind {
	case kindText:
		if f.max > 0 {
			return fmt.Sprintf("text on one line, of 1 to %d letters", f.max)
		}
		return "text on one line, and not empty"
	case kindProse:
		return "text"
	case kindExpression:
		return "an expression"
	case kindCharacter:
		return `one character, like ";" or "\t"`
	case kindChoice:
		return wording.Either(f.values)
	case kindChoiceOrSection:
		return wording.Either(append(slices.Clone(f.values), "a mapping of fields"))
	case kindFlag:
		return "true or false"
	case kindWhole:
		return fmt.Sprintf("a whole number from %d to %d", f.min, f.max)
	case kindSeconds:
		words := ""
		if len(f.values) > 0 {
			words = strings.Join(f.values, ", ") + ", or "
		}
		return words + fmt.Sprintf("whole seconds from %d to %d, like 30 or 30s", f.min, f.max)
	case kindSpan:
		return fmt.Sprintf("a length of time from %ds to %dd, like 90d or 12h", f.min, f.max/secondsADay)
	case kindSize:
		return fmt.Sprintf("a size from %dKiB to %dMiB, like 64MiB", f.min>>10, f.max>>20)
	case kindRate:
		return fmt.Sprintf("a number of 1 to %d with /s, /m or /h, like 200/s", f.max)
	case kindBound:
		return fmt.Sprintf("a whole number from 0 to %d, or a part of the destination's rows, like 10%%", f.max)
	case kindMoment:
		return "a date like 2031-01-31, or a moment like 2031-01-31T12:00:00Z"
	case kindInstant:
		return "a moment with its offset, like 2031-01-31T06:00:00Z or 2031-01-31T06:00:00+01:00"
	case kindTexts:
		return "a list of texts, like [one, two]"
	}
	return "text or a list of texts"
}

func (r *reader) readTexts(node *yaml.Node, name string, f field) (content, bool) {
	items := node.Content
	if f.kind == kindTextOrTexts && node.Kind == yaml.ScalarNode {
		items = []*yaml.Node{node}
	} else if node.Kind != yaml.SequenceNode {
		r.report(node.Line, "%s must be %s", name, f.takes())
		return content{}, false
	}
	c := content{texts: []string{}, list: node.Kind == yaml.SequenceNode}
	for _, item := range items {
		if item.Kind != yaml.ScalarNode || item.ShortTag() == "!!null" && (!f.nulls || item.Value == "") {
			r.report(item.Line, "%s must be %s, not with %s in it", name, f.takes(), shape(item))
			return content{}, false
		}
		c.texts = append(c.texts, item.Value)
	}
	return c, true
}

// readColumns reads expressions by columns, or parameters, whose names are the author's own. what is one of them.
func (r *reader) readColumns(node *yaml.Node, name, what, line string) (content, bool) {
	if node.Kind != yaml.MappingNode || len(node.Content) == 0 {
		r.report(node.Line, "%s must have at least one line, %s: expression", name, line)
		return content{}, false
	}
	had := len(r.problems)
	first := map[string]int{}
	var c content
	for i := 0; i < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		before, again := first[key.Value]
		switch {
		case key.Kind != yaml.ScalarNode || strings.TrimSpace(key.Value) == "" || strings.ContainsFunc(key.Value, wording.IsControl):
			r.report(key.Line, "%s: a %s's name must be text on one line, and not empty", name, what)
		case again:
			r.report(key.Line, "%s: the %s %s is given twice; first on line %d", name, what, wording.Quote(key.Value), before)
		case value.Kind != yaml.ScalarNode:
			r.report(value.Line, "%s: the %s %s must have an expression, not %s", name, what, wording.Quote(key.Value), shape(value)+inBrackets(value))
		case strings.TrimSpace(value.Value) == "":
			r.report(value.Line, "%s: the %s %s has no expression", name, what, wording.Quote(key.Value))
		case value.LineComment != "" && strings.Count(value.Value, `"`)%2 == 1:
			r.report(value.Line, "%s: the %s %s is cut off, because a # behind a space begins a comment; put the expression in single quotes as a whole, as in full_name: 'Name + \" #\"'", name, what, wording.Quote(key.Value))
		default:
			first[key.Value] = key.Line
			c.columns = append(c.columns, task.Column{Name: key.Value, Expression: value.Value, Line: key.Line})
		}
	}
	return c, len(r.problems) == had
}

func (r *reader) readSections(node *yaml.Node, name string, f field) (content, bool) {
	if node.Kind != yaml.SequenceNode {
		r.report(node.Line, "%s must be a list: each entry begins with a hyphen, as in - %s", name, f.entry())
		return content{}, false
	}
	var c content
	ok := true
	for _, item := range node.Content {
		if item.Kind != yaml.MappingNode {
			r.report(item.Line, "%s: each entry must be a mapping, as in - %s, not %s", name, f.entry(), shape(item))
			ok = false
			continue
		}
		c.sections = append(c.sections, r.readSection(item, name, f.fields))
	}
	return c, ok
}

// entry is how an entry of a list begins.
func (f field) entry() string {
	if first := f.fields[0]; first.name == "cron" || first.name == "task" {
		return first.name + ": " + first.example
	}
	return "name: FirstName"
}

// checkAlternatives reports anything but exactly one of a table's sections.
func (r *reader) checkAlternatives(set *fieldSet, name string, table []field) {
	var given, possible []string
	for _, f := range table {
		if f.kind != kindSection {
			continue
		}
		if _, ok := set.contents[f.name]; ok || set.refused[f.name] {
			given = append(given, f.name)
		}
		if !f.later {
			possible = append(possible, f.name)
		}
	}
	switch {
	case len(given) > 1:
		r.report(set.line, "%s must be exactly one of its kinds; it has %s", name, strings.Join(given, ", "))
	case len(given) == 0:
		r.report(set.line, "%s is missing its kind: %s", name, wording.Either(possible))
	}
}

func countEntries(node *yaml.Node) int {
	if node.Kind == yaml.MappingNode {
		return len(node.Content) / 2
	}
	return len(node.Content)
}

// join is the name of a field in messages: the fields above it and its own, with dots.
func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// shape says what a node is, as the last part of "must be …, not …".
func shape(node *yaml.Node) string {
	switch {
	case node.Kind == yaml.MappingNode:
		return "a mapping"
	case node.Kind == yaml.SequenceNode:
		return "a list"
	case node.ShortTag() == "!!null":
		return "an empty value"
	case node.ShortTag() == "!!str":
		return wording.Quote(node.Value)
	}
	return node.Value
}

// inBrackets says what to do about text that YAML takes for a list or a mapping, because it begins as one.
func inBrackets(node *yaml.Node) string {
	switch {
	case node.Style&yaml.FlowStyle == 0:
		return ""
	case node.Kind == yaml.MappingNode:
		return "; put text that begins with { in quotes as a whole"
	}
	return "; put text that begins with [ in quotes as a whole"
}

const secondsADay = 24 * 3600

// parseSpan reads a length of time in whole seconds: days, like 90d, or as Go writes it, like 1h30m.
func parseSpan(text string) (seconds int, ok bool) {
	if days, isDays := strings.CutSuffix(text, "d"); isDays {
		number, err := strconv.Atoi(days)
		return number * secondsADay, err == nil && strconv.Itoa(number) == days && number <= maxKeep/secondsADay
	}
	duration, err := time.ParseDuration(text)
	return int(duration / time.Second), err == nil && duration%time.Second == 0
}

// parseSize reads a number of bytes with its unit, like 64MiB.
func parseSize(text string) (bytes int, ok bool) {
	for shift, unit := range map[int]string{10: "KiB", 20: "MiB", 30: "GiB"} {
		if count, isUnit := strings.CutSuffix(text, unit); isUnit {
			number, err := strconv.Atoi(count)
			return number << shift, err == nil && strconv.Itoa(number) == count && 0 < number && number <= maxRejected>>10
		}
	}
	return 0, false
}

// parseRate reads a rate like 200/s, of 1 to most.
func parseRate(text string, most int) (task.Rate, bool) {
	count, unit, _ := strings.Cut(text, "/")
	per, ok := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour}[unit]
	number, err := strconv.Atoi(count)
	if !ok || err != nil || strconv.Itoa(number) != count || number < 1 || number > most {
		return task.Rate{}, false
	}
	return task.Rate{Count: number, Per: per}, true
}

// parseBound reads a number of rows of 0 to most, or a percentage above 0 and up to 100.
func parseBound(text string, most int) (task.Bound, bool) {
	if number, isPart := strings.CutSuffix(text, "%"); isPart {
		part, err := strconv.ParseFloat(number, 64)
		return task.Bound{Percent: part}, err == nil && strings.Trim(number, "0123456789.") == "" && part > 0 && part <= 100
	}
	number, err := strconv.Atoi(text)
	return task.Bound{Rows: int64(number)}, err == nil && strconv.Itoa(number) == text && number >= 0 && number <= most
}

// Line is the line of a task's file at which a field stands, named by the fields above it and its
// own: destination, sql, key. Of a parameter the last part is its name or filter. Where the file lacks
// the field, it is the line of the deepest one above that is there; 1 where none is.
func Line(def *task.Definition, field ...string) int {
	r := newReader(def.Text, "")
	node, line := r.readDocument(def.Text), 1
	for _, name := range field {
		key, value := below(node, name)
		if key == nil {
			break
		}
		line, node = key.Line, value
	}
	return line
}

// below finds a field of a mapping, or the entry of a list that has the name.
func below(node *yaml.Node, name string) (key, value *yaml.Node) {
	if node == nil {
		return nil, nil
	}
	switch node.Kind {
	case yaml.MappingNode:
		for i := 0; i < len(node.Content); i += 2 {
			if node.Content[i].Value == name {
				return node.Content[i], node.Content[i+1]
			}
		}
	case yaml.SequenceNode:
		for _, entry := range node.Content {
			for _, member := range []string{"name", "filter"} {
				if key, value := below(entry, member); key != nil && value.Value == name {
					return key, value
				}
			}
		}
	}
	return nil, nil
}
