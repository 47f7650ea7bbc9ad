package sqldb

import (
	"database/sql"
	"encoding/json"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"runhook/services/runner/check"
	"runhook/services/runner/connector"
)

// mysqlMark begins the types that this dialect declares, for another to know that they are none of its own.
const mysqlMark = "mysql:"

// mysqlType is what a column of a type makes of the values that it is given.
type mysqlType struct {
	// name is the type without what is said of its length and its digits: bigint.
	name     string
	unsigned bool
	// length is the first number in brackets, and part the second one; -1 for none.
	length, part int
	// values are those of an enum or a set, with zero bytes between.
	values string
	// wide: the column's texts are of UTF-8.
	wide bool
}

// mysqlTypeOf reads a column's type as the catalog has it: decimal(10,2) unsigned.
func mysqlTypeOf(declared, collation string) mysqlType {
	lower := strings.ToLower(declared)
	m := mysqlType{length: -1, part: -1, unsigned: strings.Contains(lower, " unsigned"), wide: strings.HasPrefix(collation, "utf8")}
	m.name, _, _ = strings.Cut(lower, "(")
	m.name, _, _ = strings.Cut(m.name, " ")
	_, inside, found := strings.Cut(declared, "(")
	end := strings.LastIndexByte(inside, ')')
	if !found || end < 0 {
		return m
	}
	inside = inside[:end]
	if m.name == "enum" || m.name == "set" {
		m.values = strings.Join(mysqlList(inside), "\x00")
		return m
	}
	first, second, two := strings.Cut(inside, ",")
	if n, err := strconv.Atoi(first); err == nil {
		m.length = n
	}
	if n, err := strconv.Atoi(second); two && err == nil {
		m.part = n
	}
	return m
}

// mysqlList reads 'a','it”s'.
func mysqlList(text string) (values []string) {
	for {
		_, rest, found := strings.Cut(text, "'")
		if !found {
			return values
		}
		value := ""
		for {
			part, behind, _ := strings.Cut(rest, "'")
			value += part
			if !strings.HasPrefix(behind, "'") {
				text = behind
				break
			}
			value += "'"
			rest = behind[1:]
		}
		values = append(values, value)
	}
}

func (m mysqlType) isBoolean() bool { return m.name == "tinyint" && m.length == 1 }

func (m mysqlType) kind() kind {
	switch m.name {
	case "tinyint", "smallint", "mediumint", "int", "bigint", "year", "bit":
		return integerKind
	case "float", "double":
		return realKind
	case "decimal":
		return numericKind
	case "date":
		return dateKind
	case "datetime", "timestamp":
		return dateTimeKind
	case "time":
		return timeKind
	case "char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum", "set":
		return textKind
	}
	return anyKind
}

// isText reports whether two values of the type may be equal that are not the same.
func (m mysqlType) isText() bool { return m.kind() == textKind || m.name == "json" }

// fraction is how many digits of a second the type keeps.
func (m mysqlType) fraction() int { return max(0, m.length) }

// mysqlMoment is a moment of a timestamp column, in UTC, as it is bound.
type mysqlMoment string

// longClock is a time that is none of day.
var longClock = regexp.MustCompile(`^-?(\d{2,3}):[0-5]\d:[0-5]\d(\.\d{1,6})?$`)

// knows are whole numbers that are too large for others, true and false, times that are none of day, and lists and
// objects where JSON is kept.
func (m mysqlType) knows(value any) (held any, ok bool) {
	text, isText := value.(string)
	if number, digits := value.(json.Number); digits {
		text, isText = number.String(), true
	}
	text = strings.TrimSpace(text)
	if moment, bound := value.(mysqlMoment); bound {
		return moment, true
	}
	switch {
	case m.name == "bigint" && m.unsigned || m.name == "bit":
		n, err := strconv.ParseUint(text, 10, 64)
		if isText && err == nil && n > math.MaxInt64 && text[0] != '0' && (m.name == "bigint" || m.length == 64) {
			return n, true
		}
		if n, ok := value.(uint64); ok && n > math.MaxInt64 {
			return n, true
		}
	case m.isBoolean() && isText:
		if truth, problem := booleanKind.parse(text); problem == "" && strings.Trim(text, "01") != "" {
			if truth == true {
				return int64(1), true
			}
			return int64(0), true
		}
	case m.name == "time" && isText:
		if match := longClock.FindStringSubmatch(text); match != nil && (text[0] == '-' || match[1] > "23" || len(match[1]) > 2) {
			_, part, _ := strings.Cut(text, ".")
			hours, _ := strconv.Atoi(match[1])
			return text, hours <= 838 && len(strings.TrimRight(part, "0")) <= m.fraction()
		}
	case m.name == "json":
		switch value.(type) {
		case []any, map[string]any:
			text, err := json.Marshal(value)
			return string(text), err == nil
		}
	}
	return nil, false
}

func (m mysqlType) hold(value any) (held any, problem string) {
	if value == nil {
		return nil, ""
	}
	text, isText := value.(string)
	if isText && !utf8.ValidString(text) {
		return nil, "is text that is not valid UTF-8"
	}
	switch m.name {
	case "tinyint", "smallint", "mediumint", "int", "bigint", "year", "bit":
		return m.holdWhole(value)
	case "float", "double":
		return m.holdReal(value)
	case "decimal":
		return m.holdDecimal(value)
	case "char", "varchar", "tinytext", "text", "mediumtext", "longtext":
		return m.holdText(text)
	case "enum", "set":
		return m.holdListed(text)
	case "date":
		return value, ""
	case "datetime", "timestamp", "time":
		return m.holdClock(text)
	case "binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob":
		bytes, ok := value.([]byte)
		switch {
		case !ok:
			return nil, "is not binary data; bytes(…) in the mapping reads base64"
		case m.name == "binary" && len(bytes) != max(1, m.length):
			return nil, "has not the " + strconv.Itoa(max(1, m.length)) + " bytes that the column always has; it would be filled up"
		case m.name == "varbinary" && len(bytes) > m.length:
			return nil, "has more than " + strconv.Itoa(m.length) + " bytes"
		}
		return value, ""
	case "geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon", "geometrycollection", "vector":
		return nil, "is for a column of type " + m.name + ", which is not written; leave it out of the mapping"
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
	if m.name == "json" && !json.Valid([]byte(text)) {
		return nil, "is not JSON"
	}
	return text, ""
}

// mysqlWhole are the largest numbers of the types with a sign.
var mysqlWhole = map[string]int64{"tinyint": math.MaxInt8, "smallint": math.MaxInt16, "mediumint": 1<<23 - 1, "int": math.MaxInt32, "bigint": math.MaxInt64}

func (m mysqlType) holdWhole(value any) (any, string) {
	whole, ok := value.(int64)
	if truth, is := value.(bool); is {
		if ok = true; truth {
			whole = 1
		}
	}
	if !ok {
		return nil, integerKind.problem()
	}
	switch most := mysqlWhole[m.name]; {
	case m.name == "year":
		if whole != 0 && (whole < 1901 || whole > 2155) {
			return nil, "is not a year from 1901 to 2155"
		}
	case m.name == "bit":
		if length := max(1, m.length); whole < 0 || length < 63 && whole >= 1<<length {
			return nil, "has more bits than the column keeps (" + strconv.Itoa(length) + ")"
		}
	case m.unsigned && (whole < 0 || m.name != "bigint" && whole > 2*most+1), !m.unsigned && (whole > most || whole < -most-1):
		return nil, tooLarge
	}
	return whole, ""
}

// holdReal refuses what a column with so many digits would round.
func (m mysqlType) holdReal(value any) (any, string) {
	if whole, ok := value.(int64); ok {
		value = float64(whole)
	}
	number, ok := value.(float64)
	switch {
	case !ok:
		return nil, realKind.problem()
	case m.unsigned && number < 0:
		return nil, tooLarge
	}
	if m.part >= 0 { // double(10,2)
		given, _ := parseDecimal(strconv.FormatFloat(number, 'e', -1, 64))
		switch {
		case given.point > m.length-m.part:
			return nil, tooLarge
		case len(given.digits)-given.point > m.part:
			return nil, tooExact
		}
	}
	if m.name == "float" {
		return single(number)
	}
	return number, ""
}

func (m mysqlType) holdDecimal(value any) (any, string) {
	digits := m.length
	if digits < 0 {
		digits = 10
	}
	held, problem := exactly(value, digits-max(0, m.part), max(0, m.part))
	if number, ok := held.(json.Number); ok && m.unsigned && strings.HasPrefix(number.String(), "-") {
		return nil, tooLarge
	}
	return held, problem
}

// mysqlBytes are how many bytes a text may have.
var mysqlBytes = map[string]int{"tinytext": math.MaxUint8, "text": math.MaxUint16, "mediumtext": 1<<24 - 1}

func (m mysqlType) holdText(text string) (any, string) {
	if m.name == "char" {
		text = strings.TrimRight(text, " ") // the column does not give them back
	}
	if m.name == "char" || m.name == "varchar" {
		if longest := max(1, m.length); len(text) > longest && utf8.RuneCountInString(text) > longest {
			return nil, "has more than " + strconv.Itoa(longest) + " letters"
		}
		return text, ""
	}
	size := len(text)
	if !m.wide {
		size = utf8.RuneCountInString(text)
	}
	if longest := mysqlBytes[m.name]; longest > 0 && size > longest {
		return nil, "has more than " + strconv.Itoa(longest) + " bytes"
	}
	return text, ""
}

// holdListed takes what the column declares alone: the server would take a number for the place in that.
func (m mysqlType) holdListed(text string) (any, string) {
	values := strings.Split(m.values, "\x00")
	if m.name == "enum" {
		for _, same := range []func(a, b string) bool{func(a, b string) bool { return a == b }, strings.EqualFold} {
			if at := slices.IndexFunc(values, func(value string) bool { return same(value, text) }); at >= 0 {
				return values[at], ""
			}
		}
		if text == "" {
			return nil, ""
		}
		return nil, "is none of the values of the enum"
	}
	if text == "" {
		return "", ""
	}
	for part := range strings.SplitSeq(text, ",") {
		if !slices.ContainsFunc(values, func(value string) bool { return strings.EqualFold(value, part) }) {
			return nil, "has a part that is none of the values of the set"
		}
	}
	return text, ""
}

// holdClock refuses digits of a second and a zone that the column does not keep, and a moment that has no zone where
// it has to have one.
func (m mysqlType) holdClock(text string) (any, string) {
	clock, zoned := cutZone(text)
	switch {
	case m.name == "datetime" && zoned:
		return nil, "has a time zone, which a column of type datetime does not keep; take the zone off in the mapping, or make the column a timestamp"
	case m.name == "timestamp" && !zoned:
		return nil, "has no time zone, so that it may be one moment or another; put Z or one like +02:00 behind it in the mapping"
	}
	if _, part, found := strings.Cut(clock, "."); found && len(strings.TrimRight(part, "0")) > m.fraction() {
		return nil, "has more digits of a second than the column keeps (" + strconv.Itoa(m.fraction()) + ")"
	}
	if m.name != "timestamp" {
		return strings.Replace(text, "T", " ", 1), ""
	}
	known, ok := parseMoment(text)
	if !ok {
		return nil, dateTimeKind.problem()
	}
	if strings.Count(known.clock, ":") == 1 {
		known.clock += ":00"
	}
	moment, err := time.Parse("2006-01-02T15:04:05Z07:00", known.day+"T"+known.clock+strings.TrimSpace(known.zone))
	if err != nil {
		return nil, dateTimeKind.problem()
	}
	moment = moment.UTC()
	if moment.Unix() < 1 {
		return nil, "is before 1970, where a column of type timestamp begins"
	}
	return mysqlMoment(moment.Format("2006-01-02 15:04:05.999999")), ""
}

var _ knowing = mysqlType{}

// mysqlBase is a type of a query's column: unsigned bigint is bigint.
func mysqlBase(c *sql.ColumnType) (base string, unsigned bool) {
	return strings.CutPrefix(strings.ToLower(c.DatabaseTypeName()), "unsigned ")
}

// column is what is known of a query's column.
func (mysqlDialect) column(c *sql.ColumnType) check.Column {
	column := check.Column{Name: c.Name(), Stored: true}
	base, unsigned := mysqlBase(c)
	switch base {
	case "tinyint", "smallint", "mediumint", "int", "bigint", "year", "bit":
		column.Kind = check.Whole
	case "float", "double", "decimal":
		column.Kind = check.Number
	case "binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob", "geometry":
		column.Kind = check.Binary
	}
	if base == "null" || base == "" {
		column.Stored = false
		return column
	}
	if precision, scale, ok := c.DecimalSize(); ok && base == "decimal" {
		base += "(" + strconv.FormatInt(precision, 10) + "," + strconv.FormatInt(scale, 10) + ")"
	}
	if unsigned {
		base += " unsigned"
	}
	column.Declared = mysqlMark + base
	return column
}

// cell gives each type one form: numbers keep their digits, days and clocks are ISO texts, moments of a timestamp are
// those of UTC, bits are a number, and everything else is text.
func (mysqlDialect) cell(c *sql.ColumnType) func(value any) any {
	base, _ := mysqlBase(c)
	text := func(value any) any {
		if bytes, ok := value.([]byte); ok {
			return string(bytes)
		}
		return value
	}
	switch base {
	case "tinyint", "smallint", "mediumint", "int", "bigint", "year":
		return func(value any) any {
			switch n := text(value).(type) {
			case uint64:
				return mysqlUnsigned(n)
			case string: // too large for another
				return json.Number(n)
			}
			return value
		}
	case "bit":
		return func(value any) any {
			bytes, ok := value.([]byte)
			if !ok {
				return value
			}
			n := uint64(0)
			for _, b := range bytes {
				n = n<<8 | uint64(b)
			}
			return mysqlUnsigned(n)
		}
	case "float":
		return func(value any) any {
			if number, ok := value.(float32); ok {
				shortest, _ := strconv.ParseFloat(strconv.FormatFloat(float64(number), 'g', -1, 32), 64)
				return shortest
			}
			return value
		}
	case "double":
		return nil
	case "decimal":
		return func(value any) any {
			if digits, ok := text(value).(string); ok {
				return json.Number(digits)
			}
			return value
		}
	case "date", "time":
		return func(value any) any { return mysqlClock(text(value), "") }
	case "datetime":
		return func(value any) any { return mysqlClock(text(value), "") }
	case "timestamp":
		return func(value any) any { return mysqlClock(text(value), "Z") }
	case "binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob", "geometry", "vector":
		return nil
	}
	return text
}

func mysqlUnsigned(n uint64) any {
	if n <= math.MaxInt64 {
		return int64(n)
	}
	return json.Number(strconv.FormatUint(n, 10))
}

// mysqlClock is a day, a clock or both as ISO text, without zeros at the end of a second. The day that is none stays as
// it is.
func mysqlClock(value any, zone string) any {
	text, ok := value.(string)
	if !ok || strings.HasPrefix(text, "0000-00-00") {
		return value
	}
	if whole, part, found := strings.Cut(text, "."); found {
		if part = strings.TrimRight(part, "0"); part != "" {
			whole += "." + part
		}
		text = whole
	}
	return strings.Replace(text, " ", "T", 1) + zone
}

// mysqlKeyLetters is how many letters a text may have in a key of a table that is made.
const mysqlKeyLetters = 190

func (d mysqlDialect) columnType(c connector.Column, inKey bool) string {
	text, bytes := "longtext", "longblob"
	if inKey {
		text, bytes = "varchar("+strconv.Itoa(mysqlKeyLetters)+")", "varbinary("+strconv.Itoa(mysqlKeyLetters)+")"
	}
	declared, own := strings.CutPrefix(c.Declared, mysqlMark)
	base, _, _ := strings.Cut(declared, "(")
	base, _, _ = strings.Cut(base, " ")
	other, theirs := strings.CutPrefix(c.Declared, postgresMark)
	switch {
	case c.Stored && own:
		switch base {
		case "tinyint", "smallint", "mediumint", "int", "bigint", "year", "float", "double", "date", "decimal":
			return declared
		case "datetime", "timestamp", "time":
			return base + "(6) NULL"
		case "bit":
			return "bit(64)"
		case "json":
			return "json"
		case "binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob", "geometry":
			return bytes
		}
		return text
	case c.Stored && theirs:
		switch other {
		case "int2", "int4", "int8":
			return "bigint"
		case "float4", "float8", "bool", "date": // NaN and infinity have no place
			return map[string]string{"float4": "double", "float8": "double", "bool": "boolean", "date": text}[other]
		case "bytea":
			return bytes
		}
		if digits, ok := strings.CutPrefix(other, "numeric("); ok {
			known := mysqlTypeOf("decimal("+digits, "")
			if known.part >= 0 && known.part <= 30 && known.length <= 65 {
				return "decimal(" + digits
			}
		}
		return text
	case c.Stored:
		switch kindOf(c.Declared) {
		case integerKind:
			return "bigint"
		case realKind:
			return "double"
		case booleanKind:
			return "boolean"
		}
		if strings.Contains(strings.ToUpper(c.Declared), "BLOB") {
			return bytes
		}
		return text
	}
	switch c.Kind {
	case reflect.Bool:
		return "boolean"
	case reflect.Int, reflect.Int64:
		return "bigint"
	case reflect.Float64:
		return "double"
	case reflect.Slice: // bytes; no column takes another list
		return bytes
	case reflect.Struct: // the only one is a moment
		return "timestamp(6) NULL"
	}
	return text
}

// copies is never: what a column takes is looked at in the same way wherever it comes from.
func (mysqlDialect) copies(tableColumn, string) bool { return false }
