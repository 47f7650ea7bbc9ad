package console

import (
	"fmt"
	"html/template"
	"math"
	"strconv"
	"strings"
	"time"

	"runhook/shared/run"
)

// moments are how a time is written without a script, by what data-t has the script write: how long ago, day and time,
// the day, the time of day, or both to the second.
var moments = map[string]string{
	"ago": "2 Jan 2006, 15:04 UTC", "at": "2 Jan 2006, 15:04 UTC", "day": "2 Jan 2006", "clock": "15:04:05", "both": "2 Jan 2006, 15:04:05 UTC",
}

// when is a time element.
func when(kind string, at any) template.HTML {
	var moment time.Time
	switch at := at.(type) {
	case time.Time:
		moment = at.UTC()
	case run.Time:
		moment = time.Time(at).UTC()
	case *run.Time:
		moment = time.Time(*at).UTC()
	}
	return template.HTML(fmt.Sprintf(`<time datetime="%s" data-t="%s">%s</time>`, moment.Format("2006-01-02T15:04:05.000Z"), kind, moment.Format(moments[kind])))
}

// zoned is the name of a time zone, which may be broken behind a slash.
func zoned(name string) template.HTML {
	return template.HTML(strings.ReplaceAll(template.HTMLEscapeString(name), "/", "/<wbr>"))
}

// count is a number with separators of thousands.
func count(n int64) string {
	text := strconv.FormatInt(n, 10)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// took is how long something took: 4 ms, 0.24 s, 31 s, 2 min.
func took(ms int64) string {
	switch {
	case ms < 10:
		return fmt.Sprintf("%d ms", ms)
	case ms < 1000:
		return fmt.Sprintf("%.2f s", float64(ms)/1000)
	case ms < 10_000:
		return fmt.Sprintf("%.1f s", float64(ms)/1000)
	case ms < 120_000:
		return fmt.Sprintf("%d s", (ms+500)/1000)
	case ms < 2*3600_000:
		return fmt.Sprintf("%d min", (ms+30_000)/60_000)
	}
	return fmt.Sprintf("%.1f h", float64(ms)/3600_000)
}

// percent is a whole percentage, never more than is done.
func percent(of float64) string { return strconv.Itoa(int(math.Floor(of))) + " %" }

// sign is how a run stands, as the page shows it: a class that draws the sign, and the words.
type sign struct {
	Class, Words string
	// Short is Words without the number of failed rows, which may stand beside it.
	Short string
}

// signOf is the sign of a document, or of a run in a list.
func signOf(of any) sign {
	switch of := of.(type) {
	case run.Document:
		return signFor(of.Status, of.StatusDescription, of.PercentComplete, of.RowsFailed)
	case *run.Listed:
		return signOf(*of)
	case run.Listed:
		return signFor(of.Status, of.StatusDescription, of.PercentComplete, of.RowsFailed)
	}
	return sign{}
}

func signFor(phase run.Phase, description string, done float64, failed int64) sign {
	switch {
	case phase == run.Queued:
		return sign{"wait", description, description}
	case phase == run.InProgress:
		words := description + ", " + percent(done)
		return sign{"go", words, words}
	}
	switch run.Outcome(description) {
	case run.Failed:
		return sign{"bad", description, description}
	case run.Canceled:
		return sign{"stop", description, description}
	}
	if failed > 0 {
		return sign{"part", description + ", " + count(failed) + " failed", description}
	}
	return sign{"ok", description, description}
}

// startedBy says who or what started a run.
func startedBy(trigger run.Trigger, operator string) string {
	switch {
	case operator != "" && trigger == run.DryRun:
		return operator + ", dry run"
	case operator != "":
		return operator
	}
	return string(trigger)
}

// plain is the name of a place without its article.
func plain(place string) string { return strings.TrimPrefix(place, "the ") }
