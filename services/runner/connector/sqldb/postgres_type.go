package sqldb

import (
	"database/sql"
	"encoding/json"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"runhook/services/runner/check"
)

// plainTypes are those of which two values that are stored differently are never equal.
var plainTypes = map[string]bool{
	"int2": true, "int4": true, "int8": true, "oid": true, "float4": true, "float8": true, "numeric": true, "bool": true,
	"date": true, "time": true, "timestamp": true, "timestamptz": true, "uuid": true, "bytea": true,
}

// postgresType is what a column of a type makes of the values that it is given. mod is what is said of its length or
// its digits, as the catalog has it, -1 for nothing.
type postgresType struct {
	name string
	mod  int
}

// typeOf is the kind of a type of the server, by its name in the catalog; empty is one that is not the server's own.
func typeOf(name string, mod int) (kind, storage) {
	made := anyKind
	switch name {
	case "int2", "int4", "int8", "oid":
		made = integerKind
	case "float4", "float8":
		made = realKind
	case "numeric":
		made = numericKind
	case "bool":
		made = booleanKind
	case "date":
		made = dateKind
	case "timestamp", "timestamptz":
		made = dateTimeKind
	case "time":
		made = timeKind
	case "text", "varchar", "bpchar", "name", "citext", "char":
		made = textKind
	}
	return made, postgresType{name, mod}
}

// headerSize is what the catalog adds to a length.
const headerSize = 4

// letters is how many a text may have, 0 for any number.
func (p postgresType) letters() int {
	switch {
	case p.name == "name":
		return 63
	case p.name == "char":
		return 1
	case p.mod > headerSize && (p.name == "varchar" || p.name == "bpchar"):
		return p.mod - headerSize
	}
	return 0
}

// fraction is how many digits of a second the type keeps.
func (p postgresType) fraction() int {
	const microseconds = 6
	if p.mod >= 0 {
		return p.mod
	}
	return microseconds
}

// oddMoment is a day, perhaps with a clock, that other databases do not have: before our era, or after the year 9999.
var oddMoment = regexp.MustCompile(`^(\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d(:\d\d)?)?)? BC|\d{5,6}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d(:\d\d)?)?)?)$`)

// knows are infinite days and numbers, the number that is none, days that others do not have, and lists and objects
// where JSON is kept.
func (p postgresType) knows(value any) (held any, ok bool) {
	switch v := value.(type) {
	case time.Time:
		if p.name == "timestamptz" {
			return v.Format("2006-01-02T15:04:05.999999Z07:00"), true
		}
	case []any, map[string]any:
		if p.name == "json" || p.name == "jsonb" {
			text, err := json.Marshal(v)
			return string(text), err == nil
		}
	case string:
		switch p.name {
		case "date", "timestamp", "timestamptz":
			text := strings.TrimSpace(v)
			if text == "infinity" || text == "-infinity" {
				return text, true
			}
			if !oddMoment.MatchString(text) {
				return nil, false
			}
			_, zoned := cutZone(text)
			clocked := strings.Contains(text, ":")
			return text, clocked == (p.name != "date") && zoned == (p.name == "timestamptz")
		case "float4", "float8", "numeric":
			text := strings.TrimSpace(v)
			if text == "NaN" || p.mod < 0 && (text == "Infinity" || text == "-Infinity") {
				return text, true
			}
		}
	}
	return nil, false
}

// cutZone is a text without the zone behind its clock.
func cutZone(text string) (clock string, found bool) {
	text = strings.TrimSuffix(text, " BC")
	colon := strings.IndexByte(text, ':')
	if colon < 0 {
		return text, false
	}
	at := strings.IndexAny(text[colon:], "Zz+- ")
	if at < 0 {
		return text, false
	}
	return text[:colon+at], true
}

func (p postgresType) hold(value any) (held any, problem string) {
	if value == nil {
		return nil, ""
	}
	text, isText := value.(string)
	if isText && strings.IndexByte(text, 0) >= 0 {
		return nil, "has a zero byte in it, which no text of the database takes"
	}
	if isText && !utf8.ValidString(text) {
		return nil, "is text that is not valid UTF-8"
	}
	switch p.name {
	case "text", "varchar", "bpchar", "name", "citext", "char":
		longest := p.letters()
		if p.name == "bpchar" {
			text = strings.TrimRight(text, " ") // the column fills it up again
		}
		if longest > 0 && (len(text) > longest && utf8.RuneCountInString(text) > longest || p.name == "name" && len(text) > longest) {
			return nil, "has more than " + strconv.Itoa(longest) + " letters"
		}
		return value, ""
	case "int2", "int4", "oid":
		return p.holdWhole(value)
	case "int8", "bool", "date":
		return value, ""
	case "float4":
		return p.holdSingle(value)
	case "float8":
		if whole, ok := value.(int64); ok {
			return float64(whole), ""
		}
		return value, ""
	case "numeric":
		return p.holdNumeric(value)
	case "timestamp", "timestamptz", "time":
		return p.holdClock(text)
	case "bytea":
		if _, ok := value.([]byte); !ok {
			return nil, "is not binary data; bytes(…) in the mapping reads base64"
		}
		return value, ""
	}
	if _, ok := value.([]byte); ok {
		return nil, "is binary data, which the column does not take; string(…) in the mapping makes text of it"
	}
	if !isText {
		text = boundText(value)
	}
	if text = strings.TrimSpace(text); text == "" {
		return nil, ""
	}
	switch p.name {
	case "json", "jsonb":
		if !json.Valid([]byte(text)) {
			return nil, "is not JSON"
		}
		return text, ""
	case "uuid":
		if len(strings.Trim(strings.ReplaceAll(text, "-", ""), "{}")) != 32 {
			return nil, "is not a UUID"
		}
	}
	return text, ""
}

func (p postgresType) holdWhole(value any) (any, string) {
	whole, ok := value.(int64)
	if !ok {
		return nil, integerKind.problem()
	}
	least, most := int64(math.MinInt32), int64(math.MaxInt32)
	switch p.name {
	case "int2":
		least, most = math.MinInt16, math.MaxInt16
	case "oid":
		least, most = 0, math.MaxUint32
	}
	if whole < least || whole > most {
		return nil, tooLarge
	}
	return value, ""
}

// holdSingle refuses what a number of half the length does not give back.
func (p postgresType) holdSingle(value any) (any, string) {
	if whole, ok := value.(int64); ok {
		value = float64(whole)
	}
	number, ok := value.(float64)
	if !ok {
		return nil, realKind.problem()
	}
	return single(number)
}

// holdNumeric keeps the digits, and refuses what a column with so many of them would round.
func (p postgresType) holdNumeric(value any) (any, string) {
	const mostWhole, mostPart = 131_072, 16_383 // of a column that says nothing of them
	whole, part := mostWhole, mostPart
	if p.mod > headerSize {
		precision, scale := (p.mod-headerSize)>>16&0xffff, (p.mod-headerSize)&0x7ff
		if scale > 1000 { // it is negative
			scale -= 2048
		}
		whole, part = precision-scale, scale
	}
	return exactly(value, whole, part)
}

// holdClock refuses digits of a second and a zone that the column does not keep, and a moment that has no zone where
// it has to have one.
func (p postgresType) holdClock(text string) (any, string) {
	clock, zoned := cutZone(text)
	switch {
	case p.name == "timestamp" && zoned:
		return nil, "has a time zone, which a column of type timestamp does not keep; make it timestamptz, or take the zone off in the mapping"
	case p.name == "timestamptz" && !zoned:
		return nil, "has no time zone, so that it may be one moment or another; put Z or one like +02:00 behind it in the mapping"
	}
	if _, part, found := strings.Cut(clock, "."); found && len(strings.TrimRight(part, "0")) > p.fraction() {
		return nil, "has more digits of a second than the column keeps (" + strconv.Itoa(p.fraction()) + ")"
	}
	return text, ""
}

// column is what is known of a query's column. What a type of the server has that no other has comes as text.
func (postgresDialect) column(c *sql.ColumnType) check.Column {
	column := check.Column{Name: c.Name(), Stored: true}
	name := strings.ToLower(c.DatabaseTypeName())
	switch name {
	case "int2", "int4", "int8", "oid":
		column.Kind = check.Whole
	case "float4", "float8", "numeric":
		column.Kind = check.Number
	case "bool":
		column.Kind = check.Boolean
	case "bytea":
		column.Kind = check.Binary
	case "varchar", "bpchar":
		if length, ok := c.Length(); ok && length > 0 && length < math.MaxInt32 {
			column.Length = int(length)
		}
	}
	list := ""
	if rest, is := strings.CutPrefix(name, "_"); is {
		name, list = rest, "[]"
	}
	switch {
	case name == "" || '0' <= name[0] && name[0] <= '9': // of a type that the driver does not know
		column.Stored = false
		return column
	case name == "bpchar" && column.Length > 0, name == "varchar" && column.Length > 0:
		name += "(" + strconv.Itoa(column.Length) + ")"
	case name == "numeric" && list == "":
		if precision, scale, ok := c.DecimalSize(); ok {
			name += "(" + strconv.FormatInt(precision, 10) + "," + strconv.FormatInt(scale, 10) + ")"
		}
	}
	column.Declared = postgresMark + name + list
	return column
}

// cell gives each type one form: numbers keep their digits, days and clocks are ISO texts, moments with a zone are
// those of UTC, and everything else is text as the server writes it.
func (postgresDialect) cell(c *sql.ColumnType) func(value any) any {
	switch strings.ToLower(c.DatabaseTypeName()) {
	case "numeric":
		return func(value any) any {
			text, ok := value.(string)
			if _, number := parseDecimal(text); !ok || !number {
				return value // NaN and Infinity
			}
			return json.Number(text)
		}
	case "float4", "float8":
		bits := 64
		if strings.EqualFold(c.DatabaseTypeName(), "float4") {
			bits = 32
		}
		return func(value any) any {
			number, ok := value.(float64)
			switch {
			case !ok:
				return value
			case math.IsNaN(number):
				return "NaN"
			case math.IsInf(number, 1):
				return "Infinity"
			case math.IsInf(number, -1):
				return "-Infinity"
			case bits == 32:
				number, _ = strconv.ParseFloat(strconv.FormatFloat(number, 'g', -1, 32), 64)
			}
			return number
		}
	case "date":
		return func(value any) any { return momentText(value, "", "") }
	case "timestamp":
		return func(value any) any { return momentText(value, "T15:04:05.999999", "") }
	case "timestamptz":
		return func(value any) any { return momentText(value, "T15:04:05.999999", "Z") }
	case "bpchar":
		return func(value any) any {
			if text, ok := value.(string); ok {
				return strings.TrimRight(text, " ")
			}
			return value
		}
	case "bytea":
		return nil
	}
	return func(value any) any {
		if text, ok := value.([]byte); ok {
			return string(text)
		}
		return value
	}
}

// momentText is a moment as text; a day that is infinite is one already.
func momentText(value any, clock, zone string) any {
	moment, ok := value.(time.Time)
	if !ok {
		return value
	}
	moment = moment.UTC()
	year, era := moment.Year(), ""
	if year <= 0 {
		year, era = 1-year, " BC"
	}
	digits := strconv.Itoa(year)
	if len(digits) < 4 {
		digits = strings.Repeat("0", 4-len(digits)) + digits
	}
	text := digits + moment.Format("-01-02")
	if clock != "" {
		text += moment.Format(clock)
	}
	return text + zone + era
}

var _ knowing = postgresType{}
