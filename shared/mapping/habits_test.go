package mapping_test

import (
	"strings"
	"testing"

	"runhook/shared/mapping"
)

// Who writes an expression as in a spreadsheet or a database is told how it is written here.
func TestHabits(t *testing.T) {
	columns := mapping.Columns{Names: []string{"Name", "Status"}, Text: true}
	for expression, want := range map[string]string{
		`Name = "x"`: "Here equality is written ==.", `Name & "x"`: "Here texts are joined with +, as in", `Name || Status`: "Here texts are joined with +, as in",
		`CONCAT(Name, Status)`: "unknown function CONCAT; here texts are joined with +", `concat(Name, Status)`: "Here texts are joined with +, as in", `LEFT(Name, 3)`: "unknown function LEFT; here a part of a text",
		`if(Status == "A", 1, 2)`: "Here one of two is chosen with ? and :", `IIF(true, 1, 2)`: "unknown function IIF; here one of two is chosen", `today()`: "unknown function today; here the moment of the run is now()",
		`Status == "A" and Name`: "Here each side is true or false", `Name == "x" || Name`: "Here each side is true or false", `Name.upper()`: "Here a function stands before its text", `Member Type`: `Here a column whose name is not one word is written row["Member Type"].`,
		`Address 1`: `is written row["Line 2"], and a text stands in quotes.`, "Name == “x”": `Here quotes are straight: " or '.`,
		`Name == NULL`: "unknown column NULL; null is written nil", `null`: "unknown column null; null is written nil", `nvl(Name, "")`: "unknown function nvl; here null is replaced with ??",
	} {
		if _, err := mapping.NewScope(columns, nil).Compile(expression); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", expression, err, want)
		}
	}
	for _, expression := range []string{`Name == "x"`, `concat([1], [2])`, `Name matches "if *("`, `Status == "=" ? "&" : "||"`} {
		if _, err := mapping.NewScope(columns, nil).Compile(expression); err != nil && strings.Contains(err.Error(), "ere ") {
			t.Errorf("%s: %v", expression, err)
		}
	}
}
