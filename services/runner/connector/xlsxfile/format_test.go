package xlsxfile

import (
	"encoding/xml"
	"fmt"
	"strings"
	"testing"
)

// A formatted is a cell that has a number under a format of this code, and what must come of it; early,
// late and none stand for faults.
type formatted struct{ code, value, want string }

const (
	early = "fault: Name has a date before 1 March 1900"
	below = "fault: Name has a time below 0"
	late  = "fault: Name has a date or a time beyond those that spreadsheet programs show"
	none  = "fault: Name has no number"
)

// expectFormatted reads a workbook with these cells, one a row.
func expectFormatted(t *testing.T, from1904 bool, all []formatted) {
	t.Helper()
	var formats, styles, rows strings.Builder
	rows.WriteString(cells("ID", "Name"))
	for i, f := range all {
		formats.WriteString(`<numFmt numFmtId="` + fmt.Sprint(200+i) + `" formatCode="`)
		_ = xml.EscapeText(&formats, []byte(f.code))
		formats.WriteString(`"/>`)
		fmt.Fprintf(&styles, `<xf numFmtId="%d"/>`, 200+i)
		fmt.Fprintf(&rows, `<row><c><v>%d</v></c><c s="%d"><v>%s</v></c></row>`, i, i, f.value)
	}
	b := newBook(rows.String())
	b["xl/styles.xml"] = "<styleSheet><numFmts>" + formats.String() + "</numFmts><cellXfs>" + styles.String() + "</cellXfs></styleSheet>"
	if from1904 {
		b["xl/workbook.xml"] = strings.Replace(b["xl/workbook.xml"], "<workbookPr/>", `<workbookPr date1904="1"/>`, 1)
	}
	got, err := read(t, b.bytes(t), "")
	if err != nil || len(got) != len(all)+1 {
		t.Fatalf("%d rows of %d, %v", len(got)-1, len(all), err)
	}
	for i, f := range all {
		if want := fmt.Sprint(i, "|", f.want); got[i+1] != want && (!strings.HasPrefix(f.want, "fault: ") || !strings.HasPrefix(got[i+1], f.want)) {
			t.Errorf("%s as %s is %q, want %q", f.value, f.code, got[i+1], f.want)
		}
	}
}

// The section that shows a number is found by the number.
func TestSections(t *testing.T) {
	expectFormatted(t, false, []formatted{
		{`[=0]"";dd.mm.yyyy`, "46053", "2026-01-31"},
		{`[=0]"";dd.mm.yyyy`, "0", ""},
		{`BOOLEAN`, "1", "true"},
		{`boolean`, "0", "false"},
		{`BOOLEAN`, "5", "true"},
		{`Standard`, "46053", "46053"},
		{`STANDARD" kg"`, "7.5", "7.5"},
		{`Standard;-Standard`, "-3", "-3"},
		{`Geral`, "46053", "46053"},
		{`Estándar`, "46053", "46053"},
		{`Standaard;@`, "46053", "46053"},
		{`[=0]"none";dd.mm.yyyy`, "0", "none"},
		{`dd.mm.yyyy;;`, "0", ""},
		{`yyyy-mm-dd;@`, "46053", "2026-01-31"},
		{`[$-F800]dddd, mmmm dd, yyyy;"";"-"`, "0", "-"},
		{`"Stand; "dd.mm.yyyy`, "46053", "2026-01-31"},
		{`\;yyyy`, "46053", "2026-01-31"},
		{`[<1]h:mm;0.0" d"`, "2.25", "2.25"},
		{`[<1]h:mm;0.0" d"`, "0.25", "06:00:00"},
		{`[>=1]0" d";h:mm`, "0.25", "06:00:00"},
		{`[>=1]0" d";h:mm`, "1.25", "1.25"},
		{`[>40000]yyyy-mm-dd;[>1]0.00;h:mm`, "46053", "2026-01-31"},
		{`[>40000]yyyy-mm-dd;[>1]0.00;h:mm`, "12.5", "12.5"},
		{`[>40000]yyyy-mm-dd;[>1]0.00;h:mm`, "0.5", "12:00:00"},
		{`[<=100]0;yyyy-mm-dd`, "100", "100"},
		{`[<>0]yyyy-mm-dd;0`, "46053", "2026-01-31"},
		{`[<>0]yyyy-mm-dd;0`, "0", "0"},
		{`yyyy-mm-dd;[<-100]0;h:mm`, "-200", "-200"},
		{`[Red][>1]0.0;[Blue]h:mm`, "0.5", "12:00:00"},
		{`0;[h]:mm;yyyy-mm-dd`, "-0.5", "-12:00:00"},
		{`[h]:mm;0.0`, "0", "00:00:00"},
		{`[h]:mm`, "110000", "2640000:00:00"},
		{`[h]:mm:ss`, "300000.5", "7200012:00:00"},
		{`[h]:mm`, "-2958465", "-71003160:00:00"},
		{`[h]:mm;@`, "-0.5", "-12:00:00"},
		{`0;-0;h:mm;"text"`, "0", "00:00:00"},
		{`[>100]"a";"b";[h]:mm`, "5", "120:00:00"},
		{`[>100]h:mm;"b";[h]:mm`, "-5", "b"},
		{`[=1]"Mr";[=2]"Mrs"`, "5", "5"},
		{`0;yyyy-mm-dd;h:mm`, "0", "00:00:00"},
		{`0.00;0.00;h:mm;yyyy-mm-dd`, "46053", "46053"},
		{`@;yyyy-mm-dd`, "46053", "46053"},
	})
}

// A section with places of digits shows a number, whatever letters it has.
func TestNumbersWithLetters(t *testing.T) {
	expectFormatted(t, false, []formatted{
		{`0.00 USD`, "5", "5"},
		{`"EUR"0`, "5", "5"},
		{`"R"0`, "5", "5"},
		{`"CHF "0`, "5", "5"},
		{`[$K]0`, "5", "5"},
		{`"Kč"0`, "5", "5"},
		{`"ca. "0`, "5", "5"},
		{`"day "0`, "5", "5"},
		{`"-"0`, "5", "5"},
		{`0"-"`, "5", "5"},
		{`0"m2"`, "5", "5"},
		{`0" CO2"`, "5", "5"},
		{`0"-mal"`, "5", "5"},
		{`0"/h"`, "5", "5"},
		{`"€"0`, "5", "5"},
		{`0 Stk.`, "5", "5"},
		{`0.0 hrs`, "5.5", "5.5"},
		{`0 km/h`, "5", "5"},
		{`#,##0 SEK`, "5", "5"},
		{`#,##0.00 [$SEK-41D]`, "5000", "5000"},
		{`?0 days`, "5", "5"},
		{`#,##0.00`, "1234.5", "1234.5"},
		{`#,##0-`, "5", "5"},
		{`#,##0,"k"`, "5000", "5000"},
		{`0.00E+00`, "12345", "12345"},
		{`# ?/?`, "0.5", "0.5"},
		{`General" days"`, "5", "5"},
		{`GENERAL`, "46053", "46053"},
		{`"day "@`, "46053", "46053"},
		{`0%`, "0.07", "0.07"},
		{`0.0,,"M"`, "1500000", "1500000"},
		{`# ##0`, "1234567", "1234567"},
		{`#'##0.00`, "1234567", "1234567"},
		{`#` + "\u202f" + `##0`, "1234567", "1234567"},
		{`_-* #,##0.00_-;-* #,##0.00_-;_-* "-"??_-;_-@_-`, "0", "0"},
		{`0;-0;;@`, "0", "0"},
		{`0;;`, "-5", "-5"},
		{`;;;`, "5", "5"},
		{`0.00;-0.00;"free"`, "0", "0"},
		{`0.0;"-";"zero"`, "-5", "-5"},
	})
}

// A format that has words alone shows words.
func TestWords(t *testing.T) {
	expectFormatted(t, false, []formatted{
		{`"Yes";"Yes";"No"`, "1", "Yes"},
		{`"Yes";"Yes";"No"`, "0", "No"},
		{`"Ja";;"Nein"`, "-1", ""},
		{`"TRUE";"TRUE";"FALSE"`, "1", "true"},
		{`"TRUE";"TRUE";"FALSE"`, "0", "false"},
		{`[=1]"Mr";[=2]"Mrs";General`, "2", "Mrs"},
		{`[=1]"Mr";[=2]"Mrs";General`, "3", "3"},
		{`[=1]"männlich";"weiblich"`, "2", "weiblich"},
		{`\Y\e\s;\N\o`, "-1", "No"},
		{`"✓";"✓";"✗"`, "1", "1"},
	})
}

// Zeros before a number and other letters between its digits are what people know a code by.
func TestCodes(t *testing.T) {
	expectFormatted(t, false, []formatted{
		{`00000`, "501", "00501"},
		{`000000`, "42", "000042"},
		{`000-00-0000`, "12345678", "012-34-5678"},
		{`00`, "7", "07"},
		{`00`, "0", "00"},
		{`00000`, "1234567", "1234567"},
		{`00000`, "501.0", "00501"},
		{`00000`, "501.4", "00501.4"},
		{`00000`, "-42", "-00042"},
		{`00000;(00000)`, "-42", "-42"},
		{`0000;[Red]-0000`, "-7", "-0007"},
		{`0000;[Red]-0000`, "7", "0007"},
		{`"A"000;"B"000`, "-5", "B005"},
		{`"A"000;"B"000`, "5", "A005"},
		{`000-00;\-000-00;"none"`, "-1234.5", "-012-34.5"},
		{`0000;0000`, "-7", "-7"},
		{`0000;-0`, "-7", "-7"},
		{`00000;@`, "42", "00042"},
		{`[<=99999]00000;00000\-0000`, "501", "00501"},
		{`[<=99999]00000;00000\-0000`, "5011234", "00501-1234"},
		{`[<=9999999]###\-####;\(###\)\ ###\-####`, "5551234", "555-1234"},
		{`[<=9999999]###\-####;\(###\)\ ###\-####`, "2125551234", "(212) 555-1234"},
		{`"M-"00000`, "501", "M-00501"},
		{`00 000`, "1234", "01 234"},
		{`0000000000000`, "4006381333931", "4006381333931"},
		{`0000000000000`, "4.2E+3", "0000000004200"},
		{`#00`, "5", "05"},
		{`000"."000"."000-00`, "1234567890", "012.345.678-90"},
		{`00.00`, "5.5", "05.50"},
		{`0000.00`, "501.456", "0501.456"},
		{`0000.00`, "-7", "-0007.00"},
		{`000.0#`, "7.25", "007.25"},
		{`#00.0`, "0", "00.0"},
		{`00,000`, "501", "00501"},
		{`#,##000`, "5", "005"},
		{`#,##000`, "1234567", "1234567"},
		{`0,000.00`, "12.5", "0012.5"},
		{`0###`, "5", "0005"},
		{`#0##`, "5", "005"},
		{`0???`, "12345", "12345"},
		{`00.00%`, "0.05", "0.05"},
		{`00.00E+00`, "5", "5"},
		{`"K-"0`, "5", "K-5"},
		{`"K-"0`, "0", "K-0"},
		{`"00"0`, "5", "005"},
		{`\A\-0`, "12", "A-12"},
		{`"Q"0`, "3", "Q3"},
		{`"2026/"#`, "17", "2026/17"},
		{`0"/2026"`, "17", "17/2026"},
		{`0"-A"`, "17", "17-A"},
		{`0"000"`, "5", "5000"},
		{`"M "00`, "7", "M 07"},
		{`00%`, "0.05", "0.05"},
	})
}

// A clock is shown without the days, a day without its clock, and both if the format has both.
func TestMoments(t *testing.T) {
	expectFormatted(t, false, []formatted{
		{`hh:mm`, "1.1666666666666667", "04:00:00"},
		{`h:mm AM/PM`, "46053.75", "18:00:00"},
		{`mm:ss.0`, "46053.0000011574", "00:00:00.1"},
		{`hh:mm:ss,000`, "0.5", "12:00:00"},
		{`yyyy-mm-dd`, "46053.77", "2026-01-31"},
		{`d\.m\.yy`, "46053.999", "2026-01-31"},
		{`mmm`, "46053.5", "2026-01-31"},
		{`yyyy-mm-ddThh:mm`, "46053", "2026-01-31T00:00:00"},
		{`[$-411]ggge"年"m"月"d"日"`, "46053", "2026-01-31"},
		{`[$-411]aaa`, "46053", "2026-01-31"},
		{`AAAA`, "46053", "2026-01-31"},
		{`[mm]:ss`, "45", "1080:00:00"},
		{`[ss].00`, "0.00001", "00:00:00.864"},
		{`[h]:mm`, "0.99999999999", "24:00:00"},
		// The last moment of a day is that day.
		{`yyyy-mm-dd h:mm:ss`, "46053.99999999999", "2026-01-31T23:59:59.999"},
		{`yyyy-mm-dd h:mm:ss`, "46053.99998842592", "2026-01-31T23:59:59"},
		{`yyyy-mm-dd`, "46053.99999999999", "2026-01-31"},
		{`h:mm:ss`, "0.999999999988426", "23:59:59.999"},
		{`yyyy-mm-dd hh:mm`, "46053.770833333336", "2026-01-31T18:30:00"},
		{`yyyy-mm-dd hh:mm`, "46053.77083333", "2026-01-31T18:30:00"},
	})
}

// Programs differ in the days before 1 March 1900, and an empty date is no day at all.
func TestEarlyDays(t *testing.T) {
	expectFormatted(t, false, []formatted{
		{`dd/mm/yyyy`, "0", early},
		{`dd/mm/yyyy`, "1", early},
		{`dd/mm/yyyy`, "59", early},
		{`dd/mm/yyyy`, "60", early},
		{`dd/mm/yyyy`, "61", "1900-03-01"},
		{`dd/mm/yyyy hh:mm`, "0.5", early},
		{`yyyy-mm-dd`, "-18138", early},
		{`yyyy-mm-dd`, "2958465.9", "9999-12-31"},
		{`yyyy-mm-dd`, "2958466", late},
		{`yyyy-mm-dd`, "1e300", late},
		{`[h]:mm`, "1e300", late},
		{`h:mm`, "-1e300", late},
		{`[h]:mm`, "-0.0625", "-01:30:00"},
		{`[HH]:MM`, "-1.0625", "-25:30:00"},
		{`[h]:mm;-[h]:mm`, "-0.0625", "-01:30:00"},
		{`[h]:mm;-[h]:mm;"-"`, "0", "00:00:00"},
		{`[h]:mm`, "-0.000000000001", "00:00:00"},
		{`hh:mm`, "-0.0625", below},
		{`h:mm;-h:mm`, "-1.5", below},
		{`mm:ss`, "-0.001", below},
		{`[h]:mm`, "1.5", "36:00:00"},
		{`h:mm`, "0", "00:00:00"},
	})
	expectFormatted(t, true, []formatted{
		{`yyyy-mm-dd`, "-1446", "1900-01-15"},
		{`yyyy-mm-dd`, "0", "1904-01-01"},
		{`yyyy-mm-dd`, "44591", "2026-01-31"},
		{`yyyy-mm-dd hh:mm`, "-0.25", "1903-12-31T18:00:00"},
		{`yyyy-mm-dd`, "-19600", "1850-05-03"},
		{`yyyy-mm-dd`, "-117320", "1582-10-15"},
		{`yyyy-mm-dd`, "-117321", late},
		{`yyyy-mm-dd`, "2957003", "9999-12-31"},
		{`yyyy-mm-dd`, "2957004", late},
		{`[h]:mm`, "-0.0625", "-01:30:00"},
		{`hh:mm`, "-0.0625", "-01:30:00"},
		{`h:mm:ss`, "-0.999999999988426", "-23:59:59.999"},
		{`hh:mm`, "-1.0625", "-01:30:00"},
	})
}

// A number is what a spreadsheet program shows of it: its shortest form of 15 digits.
func TestNumbers(t *testing.T) {
	all := []formatted{}
	for value, want := range map[string]string{
		"42": "42", "42.00": "42", "0.300000000000000": "0.3", "3.3000000000000003": "3.3", "0.1": "0.1", "-12.50": "-12.5",
		"1.1000000000000001E+1": "11", "1e+05": "100000", "1000000000000000.0": "1000000000000000", "1.5E-7": "0.00000015",
		"0.30000000000000004": "0.3", "-0": "0", "-0.0": "0", "007": "7", "+5": "5", ".5": "0.5", "5.": "5", "100": "100",
		"1234567890.12345678": "1234567890.12346", "12345678901234567890": "12345678901234567890", "9007199254740993": "9007199254740993",
		"1.7976931348623157E+308": "17976931348623157" + strings.Repeat("0", 292), "4.9406564584124654E-324": "0." + strings.Repeat("0", 323) + "5",
		"NaN": none, "Infinity": none, "+Inf": none, "-INF": none, "1e999": none, "0x1p4": none, "1_000": none, "n/a": none, "1,5": none, "-": none, "1e": none,
	} {
		all = append(all, formatted{"General", value, want}, formatted{"0.00", value, want})
	}
	expectFormatted(t, false, all)
	expectFormatted(t, false, []formatted{{"yyyy-mm-dd", "NaN", none}, {"00000", "Infinity", none}, {`[h]:mm`, "NaN", none}})
}
