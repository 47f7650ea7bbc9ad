package xlsxfile

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// format is what a number is shown as, as far as that changes what it is.
type format int

const (
	asNumber format = iota
	asDate
	asDateTime
	asClock
	asElapsed // hours that may be more than a day's
)

// readStyles reads what each style of cells shows numbers as.
func (w *workbook) readStyles(part string) error {
	var sheet struct {
		Formats []struct {
			ID   int    `xml:"numFmtId,attr"`
			Code string `xml:"formatCode,attr"`
		} `xml:"numFmts>numFmt"`
		Styles []struct {
			FormatID int `xml:"numFmtId,attr"`
		} `xml:"cellXfs>xf"`
	}
	if err := w.decode(part, &sheet); err != nil {
		return err
	}
	own := map[int]format{}
	for _, f := range sheet.Formats {
		own[f.ID] = formatOf(f.Code)
	}
	for _, s := range sheet.Styles {
		f, ok := own[s.FormatID]
		if !ok {
			f = builtin(s.FormatID)
		}
		w.styles = append(w.styles, f)
	}
	return nil
}

// builtin is the format of a number that needs no code (ECMA-376, 18.8.30, with those of East Asia).
func builtin(id int) format {
	switch {
	case 14 <= id && id <= 17, 27 <= id && id <= 31, id == 36, 50 <= id && id <= 54, id == 57, id == 58:
		return asDate
	case 18 <= id && id <= 21, 32 <= id && id <= 35, id == 45, id == 47, id == 55, id == 56:
		return asClock
	case id == 46:
		return asElapsed
	case id == 22:
		return asDateTime
	}
	return asNumber
}

// formatOf reads a format's code: the letters of dates and times in it that are not quoted.
func formatOf(code string) format {
	var letters strings.Builder
	elapsed := false
	code, _, _ = strings.Cut(strings.ToLower(code), ";")
	for code != "" {
		letter := code[0]
		code = code[1:]
		switch letter {
		case '"':
			_, code, _ = strings.Cut(code, `"`)
		case '\\', '_', '*':
			code = code[min(1, len(code)):]
		case '[':
			var inside string
			inside, code, _ = strings.Cut(code, "]")
			elapsed = elapsed || inside != "" && (strings.Trim(inside, "h") == "" || strings.Trim(inside, "m") == "" || strings.Trim(inside, "s") == "")
		default:
			letters.WriteByte(letter)
		}
	}
	shown := strings.NewReplacer("am/pm", "", "a/p", "", "general", "").Replace(letters.String())
	date, clock := strings.ContainsAny(shown, "yd"), strings.ContainsAny(shown, "hs")
	switch {
	case elapsed:
		return asElapsed
	case date && clock:
		return asDateTime
	case date, !clock && strings.Contains(shown, "m"):
		return asDate
	case clock:
		return asClock
	}
	return asNumber
}

// number is a cell's number as text. Its digits stay as they are, but for those that are no digits of
// the number: a workbook keeps a double, and some programs write 1.1 as 1.1000000000000001.
func number(text string) string {
	if !strings.ContainsAny(text, ".eE") || !strings.ContainsAny(text, "eE") && countDigits(text) <= 15 {
		return text
	}
	double, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsInf(double, 0) || math.IsNaN(double) {
		return text
	}
	return strconv.FormatFloat(double, 'f', -1, 64)
}

// countDigits counts the digits from the first that is not 0.
func countDigits(text string) int {
	n := 0
	for _, letter := range strings.TrimLeft(text, "-+0.") {
		if '0' <= letter && letter <= '9' {
			n++
		}
	}
	return n
}

// lastDay is 9999-12-31, the last day that a workbook can show.
const lastDay = 2958465

// moment is a number of days as a date, a time or both, as ISO 8601 has them. What a workbook cannot
// show as such stays a number.
func (f format) moment(text string, from1904 bool) string {
	days, err := strconv.ParseFloat(text, 64)
	if err != nil || !(0 <= days && days < lastDay+1) {
		return number(text)
	}
	// A double holds a moment of our time to the microsecond; people mean milliseconds at the most.
	const day = 24 * time.Hour
	whole := math.Floor(days)
	clock := time.Duration(math.Round((days-whole)*float64(day/time.Millisecond))) * time.Millisecond
	if f == asElapsed {
		return elapsed(time.Duration(whole)*day + clock)
	}
	begin := time.Date(1899, 12, 30, 0, 0, 0, 0, time.UTC)
	switch {
	case from1904:
		begin = time.Date(1904, 1, 1, 0, 0, 0, 0, time.UTC)
	case whole < 60:
		// The workbook's calendar has a day that never was, the 60th: 29 February 1900.
		begin = begin.AddDate(0, 0, 1)
	}
	at := begin.AddDate(0, 0, int(whole)).Add(clock)
	switch {
	case f == asClock && whole == 0:
		return at.Format("15:04:05.999")
	case f == asDate && clock == 0:
		return at.Format(time.DateOnly)
	}
	return at.Format("2006-01-02T15:04:05.999")
}

func elapsed(d time.Duration) string {
	text := strconv.Itoa(int(d/time.Hour)) + time.Time{}.Add(d).Format(":04:05.999")
	if d < 10*time.Hour {
		text = "0" + text
	}
	return text
}
