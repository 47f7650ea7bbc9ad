package csvfile_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"runhook/services/runner/pipeline"
	"runhook/services/runner/pipeline/pipelinetest"
	"runhook/shared/run"
)

func manyMembers(n int) string {
	var text strings.Builder
	text.WriteString("ID,Name\n")
	for i := range n {
		fmt.Fprintf(&text, "%d,%x\n", i, i*i)
	}
	return text.String()
}

func TestCompressedFile(t *testing.T) {
	const text = "ID,Name\n1,Zoë\n2,\"a\nb\"\n"
	for name, content := range map[string]string{
		"plain":           pipelinetest.Gzipped(t, text),
		"with mark":       pipelinetest.Gzipped(t, "\xEF\xBB\xBF"+text),
		"utf-16":          pipelinetest.Gzipped(t, "\xFF\xFE"+encode(t, text, "utf-16le")),
		"in several":      pipelinetest.Gzipped(t, text[:10]) + pipelinetest.Gzipped(t, text[10:]),
		"in many":         pipelinetest.Gzipped(t, "") + pipelinetest.Gzipped(t, text) + pipelinetest.Gzipped(t, ""),
		"without the end": pipelinetest.Gzipped(t, strings.TrimSuffix(text, "\n")),
	} {
		t.Run(name, func(t *testing.T) {
			b := pipelinetest.New(t)
			b.FromZipped(content)
			b.Succeed(run.Counts{Retrieved: 2, Inserted: 2})
			if got := b.Query("select * from members"); got != "1 Zoë; 2 a\nb" {
				t.Errorf("got %s", got)
			}
		})
	}
}

func TestCompressedFileThatIsNone(t *testing.T) {
	text := manyMembers(5_000)
	good := pipelinetest.Gzipped(t, text)
	// A bomb of many compressed parts is soon made.
	bomb := func(begin, part string, parts int) string {
		return pipelinetest.Gzipped(t, begin) + strings.Repeat(pipelinetest.Gzipped(t, part), parts)
	}
	many := func(text string, length int) string { return strings.Repeat(text, length/len(text)) }
	for name, c := range map[string]struct{ content, want string }{
		"a text":                 {text, "is not compressed, or not by gzip"},
		"nothing":                {"", "is damaged or not complete"},
		"an empty text":          {pipelinetest.Gzipped(t, ""), "is empty; its first row must name the columns"},
		"a part":                 {good[:len(good)/2], "is damaged or not complete: it cannot be unpacked any further at row "},
		"without its checksum":   {good[:len(good)-8], "is damaged or not complete"},
		"a wrong checksum":       {good[:len(good)-8] + "12345678", "is damaged or not complete"},
		"damaged":                {good[:len(good)/2] + strings.Repeat("\xff", 100) + good[len(good)/2+100:], "is damaged or not complete"},
		"something behind it":    {good + "something", "is damaged or not complete"},
		"a bomb of zeros":        {bomb("", many("\x00", 1<<20), 20), "longer than 16 MiB"},
		"a bomb of rows":         {bomb("ID,Name\n", many("1,"+strings.Repeat("a", 4000)+"\n", 4<<20), 17), "becomes more than 500 times as long when it is unpacked"},
		"a bomb in one field":    {bomb("ID,Name\n1,", many("a", 1<<20), 20), "longer than 16 MiB"},
		"a bomb of header names": {bomb("", many("aaaaaaa,", 1<<20), 24), "longer than 16 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			b := pipelinetest.New(t)
			b.FromZipped(c.content)
			b.Fail(c.want)
		})
	}
}

// The percentage is that of the compressed file.
func TestCompressedFileShowsProgress(t *testing.T) {
	b := pipelinetest.New(t)
	b.FromZipped(pipelinetest.Gzipped(t, manyMembers(20_000)))
	var m pipeline.Meter
	last := 0.0
	b.Job.BeforeWrite = func(context.Context, int64) error {
		now := m.Snapshot().PercentComplete
		if now < last || now > 99.99 {
			t.Errorf("from %v to %v", last, now)
		}
		last = now
		return nil
	}
	if err := pipeline.Run(t.Context(), b.Job, &m); err != nil {
		t.Fatal(err)
	}
	if last < 60 {
		t.Errorf("the last percentage before the end is %v", last)
	}
}
