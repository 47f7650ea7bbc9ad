package xlsxfile

import (
	"encoding/xml"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/currency"
)

// form is what a section of a format shows numbers as, as far as that changes what comes of them.
type form uint8

const (
	asNumber form = iota
	// asCode has zeros before the number, letters between its digits or right before them: 00501, 555-1234, K-5.
	asCode
	// asWords shows no digit: "Yes".
	asWords
	asDate
	asDateTime
	asClock
	asElapsed // hours, minutes or seconds that may be more than a day's
)

// format is the sections of a number format that are for numbers; without any, numbers are shown as such.
type format []section

// section shows the numbers that its condition holds for.
type section struct {
	form form
	// operator and limit are the condition, such as >= and 1; without an operator its place decides.
	operator string
	limit    float64
	// shown are the letters of a code or of words. In a code zeroPlace and anyPlace stand for digits.
	shown string
	// decimals is how many digits a code shows behind its point at least.
	decimals int
	// unsigned: a code shows what is below 0 without a sign of its own.
	unsigned bool
}

// The places of digits in section.shown.
const (
	zeroPlace = '\x00' // 0 where the number has no digit
	anyPlace  = '\x01' // nothing there
)

// readStyles reads what each style of cells shows numbers as.
func (w *workbook) readStyles(part string) error {
	formats := map[int]format{}
	var styles []int // their formats
	err := w.each(part, func(parent string, e xml.StartElement) error {
		id, _ := strconv.Atoi(attribute(e, "numFmtId"))
		switch {
		case parent == "numFmts" && e.Name.Local == "numFmt":
			code := attribute(e, "formatCode")
			if len(code) > maxCode {
				return errDamaged
			}
			formats[id] = formatOf(code)
			return most(len(formats), maxStyles, "formats")
		case parent == "cellXfs" && e.Name.Local == "xf":
			styles = append(styles, id)
			return most(len(styles), maxStyles, "styles")
		}
		return nil
	})
	for _, id := range styles {
		f, ok := formats[id]
		if !ok {
			f = formatOf(builtin(id))
			formats[id] = f
		}
		w.styles = append(w.styles, f)
	}
	return err
}

// maxCode bounds the code of a format, for which spreadsheet programs have 255 letters.
const maxCode = 1000

// builtin is what the code of a format that has none written would be, as far as it matters
// (ECMA-376, 18.8.30, with those of East Asia and Thailand).
func builtin(id int) string {
	switch {
	case 14 <= id && id <= 17, 27 <= id && id <= 31, id == 36, 50 <= id && id <= 54, id == 57, id == 58, 71 <= id && id <= 74, id == 81:
		return "d"
	case 18 <= id && id <= 21, 32 <= id && id <= 35, id == 45, id == 47, id == 55, id == 56, id == 75, id == 76, id == 78, id == 80:
		return "h"
	case id == 46, id == 79:
		return "[h]"
	case id == 22, id == 77:
		return "d h"
	}
	return ""
}

// formatOf reads a format's code. What is for texts is left out.
func formatOf(code string) format {
	if strings.EqualFold(strings.TrimSpace(code), "boolean") { // of LibreOffice
		code = `"true";"true";"false"`
	}
	var f format
	for more := true; more && len(f) < 3; {
		var p parser
		code, more = p.read(code)
		if !more && p.forText {
			break
		}
		f = append(f, p.section())
	}
	if !slices.ContainsFunc(f, func(s section) bool { return s.form != asNumber && (s.form != asWords || hasWord(s.shown)) }) {
		return nil
	}
	return f
}

// of is the section that shows a number.
func (f format) of(number float64) section {
	at := 0
	for at < len(f) && !f.holds(at, number) {
		at++
	}
	if at == len(f) {
		return section{}
	}
	s := f[at]
	switch {
	case s.form == asCode && number < 0 && at > 0:
		// Such a section shows no sign. Where it has no letter for it, the number keeps its own.
		if s.unsigned = strings.Contains(s.shown, "-") || hasWord(s.shown); !s.unsigned {
			return section{}
		}
		return s
	case s.form != asWords:
		return s
	}
	// Words alone are what a column of them is about: "Yes";"Yes";"No". Beside sections that show the
	// number they may stand for it: a dash for 0, nothing below 0.
	i := slices.IndexFunc(f, func(s section) bool { return s.form != asWords })
	if i >= 0 && (f[i].form == asNumber || f[i].form == asCode || f[i].form == asElapsed) && (number == 0 || !hasWord(s.shown)) {
		return f[i]
	}
	return s
}

// holds reports whether a number has the section of that index, if it has none before.
func (f format) holds(i int, number float64) bool {
	limit := f[i].limit
	switch f[i].operator {
	case "<":
		return number < limit
	case "<=":
		return number <= limit
	case ">":
		return number > limit
	case ">=":
		return number >= limit
	case "=":
		return number == limit
	case "<>":
		return number != limit
	}
	switch {
	case i == len(f)-1:
		return true
	case i == 1:
		return number < 0
	case len(f) == 2:
		return number >= 0
	}
	return number > 0
}

func hasWord(text string) bool { return strings.ContainsFunc(text, unicode.IsLetter) }

// parser reads one section of a format's code.
type parser struct {
	operator string
	limit    float64
	shown    strings.Builder
	// zeros and places count the places of digits before the point, those of zeros and all. pointed: there is a
	// point, with decimals zeros behind it.
	zeros, places int
	pointed       bool
	decimals      int
	// prefix are the letters right before the first place, and suffix those behind the last, if they are no
	// currency of the format.
	prefix, suffix string
	// mask: letters other than spaces stand between places. pending are those since the last place.
	mask    bool
	pending bool
	// quantity: the section shows a number that has two decimal marks, a percentage or the like; grouped: it has
	// groups, which do not come.
	quantity, grouped bool
	// forText: the section shows texts.
	forText bool
	// date, clock, month and elapsed: it has their letters.
	date, clock, month, elapsed bool
	// seconds: the last letter was that of seconds, and places behind a point are theirs.
	seconds bool
}

// read takes a section, and returns the code behind it; more is false at the end.
func (p *parser) read(code string) (rest string, more bool) {
	for code != "" {
		letter, size := utf8.DecodeRuneInString(code)
		at := code
		code = code[size:]
		seconds := p.seconds
		p.seconds = false
		switch letter {
		case ';':
			return code, true
		case '"':
			var quoted string
			quoted, code, _ = strings.Cut(code, `"`)
			p.literal(quoted)
		case '\\', '!':
			_, size := utf8.DecodeRuneInString(code)
			p.literal(code[:size])
			code = code[size:]
		case '_', '*':
			_, size := utf8.DecodeRuneInString(code)
			code = code[size:]
			if letter == '_' {
				p.literal(" ")
			}
		case '[':
			var inside string
			inside, code, _ = strings.Cut(code, "]")
			p.bracket(inside)
		case '.', ',':
			if fraction := strings.TrimLeft(code, "0"); seconds && fraction != code {
				code = fraction
				continue
			}
			switch {
			case letter == ',' && p.places > 0 && !p.pointed && code != "" && strings.IndexByte("0#?", code[0]) >= 0:
				p.grouped = true
				continue
			case letter == ',' || p.pointed || p.places == 0:
				p.quantity = true
			}
			p.pointed = true
		case '%':
			p.quantity = true
		case '/':
			if p.places > 0 {
				p.quantity = true
			}
			p.literal("/")
		case '0', '#', '?':
			p.place(letter)
		case '@':
			p.forText = true
		default:
			code = p.letter(at, letter, code)
		}
	}
	return "", false
}

// letter reads a letter that is neither quoted nor a sign; at is the code from it on, rest that behind it.
func (p *parser) letter(at string, letter rune, rest string) string {
	for _, word := range []string{"general", "standard", "standaard", "estándar", "allmänt", "geral", "am/pm", "a/p", "aaaa", "aaa"} {
		if len(at) < len(word) || !strings.EqualFold(at[:len(word)], word) {
			continue
		}
		switch word {
		case "am/pm", "a/p":
			p.clock = true
		case "aaaa", "aaa":
			p.date = true
		default: // general, in some language
			p.quantity = true
			p.places++
		}
		return at[len(word):]
	}
	switch unicode.ToLower(letter) {
	case 'y', 'd', 'g':
		p.date = true
	case 'e':
		if p.places > 0 && rest != "" && (rest[0] == '+' || rest[0] == '-') {
			p.quantity = true
		}
		p.date = true
	case 'h':
		p.clock = true
	case 's':
		p.clock, p.seconds = true, true
	case 'm':
		p.month = true
	}
	p.literal(string(letter))
	return rest
}

// bracket reads what stands in brackets: a condition, a currency, hours beyond a day; or a color or a
// language, which mean nothing here.
func (p *parser) bracket(inside string) {
	if lower := strings.ToLower(inside); inside != "" && (strings.Trim(lower, "h") == "" || strings.Trim(lower, "m") == "" || strings.Trim(lower, "s") == "") {
		p.elapsed, p.seconds = true, lower[0] == 's'
		return
	}
	if currency, ok := strings.CutPrefix(inside, "$"); ok {
		currency, _, _ = strings.Cut(currency, "-")
		p.literal(currency)
		p.prefix, p.suffix = "", ""
		return
	}
	limit := strings.TrimLeft(inside, "<>=")
	if value, err := strconv.ParseFloat(strings.TrimSpace(limit), 64); err == nil {
		p.operator, p.limit = inside[:len(inside)-len(limit)], value
	}
}

// literal takes letters that are shown as they are.
func (p *parser) literal(text string) {
	p.shown.WriteString(text)
	if p.places == 0 {
		p.prefix += text
	} else {
		p.suffix += text
	}
	// Spaces and apostrophes between places are those of thousands.
	p.pending = p.pending || p.places > 0 && strings.Trim(text, " \u00A0\u2009\u202F'’") != ""
}

// place takes the place of a digit.
func (p *parser) place(letter rune) {
	if p.pointed {
		if letter == '0' {
			p.decimals++
		}
		return
	}
	p.mask = p.mask || p.pending
	p.suffix = ""
	p.places++
	if letter == '0' || p.zeros > 0 { // behind a place that is always there, all are
		p.zeros++
		p.shown.WriteByte(zeroPlace)
		return
	}
	p.shown.WriteByte(anyPlace)
}

// section is what was read.
func (p *parser) section() section {
	s := section{operator: p.operator, limit: p.limit}
	switch {
	case p.places > 0 && !p.quantity && (p.zeros > 1 || !p.grouped && (p.mask || isPartOfCode(p.prefix, p.suffix))):
		s.form, s.shown, s.decimals = asCode, strings.TrimSpace(p.shown.String()), p.decimals
		if p.grouped {
			s.decimals = 0
		}
	case p.places > 0, p.quantity && !p.date && !p.clock && !p.month && !p.elapsed, p.forText:
		s.form = asNumber
	case p.elapsed:
		s.form = asElapsed
	case p.date && p.clock:
		s.form = asDateTime
	case p.date, p.month && !p.clock:
		s.form = asDate
	case p.clock:
		s.form = asClock
	default:
		s.form, s.shown = asWords, strings.TrimSpace(p.shown.String())
	}
	return s
}

// attached are letters that belong to the digits behind or before them: K-5, Q1, 20265, 5/26.
var (
	attachedBefore = regexp.MustCompile(`([0-9]|[\pL\pN][-/_]|^\p{Lu}+)$`)
	attachedBehind = regexp.MustCompile(`^([0-9]|[-/_][\p{Lu}0-9])`)
)

// isPartOfCode reports whether what stands right before or behind the digits makes a code of them. A currency
// and a unit do not.
func isPartOfCode(prefix, suffix string) bool {
	if code := prefix; attachedBefore.MatchString(code) {
		_, err := currency.ParseISO(code)
		return err != nil && !currencies[code]
	}
	return attachedBehind.MatchString(suffix)
}

// currencies are abbreviations of currencies that are no codes.
var currencies = map[string]bool{"R": true, "RM": true, "RP": true, "TL": true, "DM": true}

// code puts a number's digits into their places, from the last on. Digits that have no place stand
// before the first.
func (s section) code(number string) string {
	number, negative := strings.CutPrefix(number, "-")
	negative = negative && !s.unsigned
	digits, fraction, _ := strings.Cut(number, ".")
	fraction += strings.Repeat("0", max(0, s.decimals-len(fraction)))
	if digits == "0" {
		digits = ""
	}
	places := strings.Count(s.shown, string(zeroPlace)) + strings.Count(s.shown, string(anyPlace))
	var out strings.Builder
	if negative {
		out.WriteByte('-')
	}
	for _, letter := range s.shown {
		if letter != zeroPlace && letter != anyPlace {
			out.WriteRune(letter)
			continue
		}
		if beyond := len(digits) - places; beyond >= 0 {
			out.WriteString(digits[:beyond+1])
			digits = digits[beyond+1:]
		} else if letter == zeroPlace {
			out.WriteByte('0')
		}
		if places--; places == 0 && fraction != "" {
			out.WriteString("." + fraction)
		}
	}
	return out.String()
}
