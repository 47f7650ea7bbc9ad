package mapping_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"runhook/shared/mapping"
)

// The page on expressions tells the truth.
func TestExamplesOfThePage(t *testing.T) {
	page, err := os.ReadFile("../../deploy/docs/expressions.md")
	if err != nil {
		t.Fatal(err)
	}
	examples := 0
	for _, example := range regexp.MustCompile("(?m)^\\| `(.+?)` \\| (.+?) \\|").FindAllStringSubmatch(string(page), -1) {
		expression, want := strings.ReplaceAll(example[1], `\|`, "|"), strings.Trim(example[2], "`")
		got, err := evaluate(pageScope(), expression)
		if err != nil || written(got) != want {
			t.Errorf("%s gives %s, %v; the page says %s", expression, written(got), err, want)
		}
		examples++
	}
	if examples < 40 {
		t.Errorf("only %d examples found", examples)
	}

	_, err = pageScope().Compile("upper(FristName)")
	if shown := "mapping.name: " + fmt.Sprint(err); !strings.Contains(string(page), shown) {
		t.Errorf("the page lacks\n%s", shown)
	}
	scope := pageScope()
	scope.Row[5] = "forty"
	_, err = evaluate(scope, "int(Age)")
	if shown := "row 812, age: " + fmt.Sprint(err); !strings.Contains(string(page), shown) {
		t.Errorf("the page lacks\n%s", shown)
	}
}

func pageScope() *mapping.Scope {
	scope := mapping.NewScope(mapping.Columns{
		Names: strings.Split("ID,FirstName,LastName,Member Type,Status,Age,Joined,Dues,Note", ","), Text: true,
	}, mapping.Params{"State": "CA", "City": ""})
	copy(scope.Row, []any{"00042", "Ann", "Lee", "REG", "A", "41", "31.01.2026", "1,234.50", ""})
	return scope
}

func evaluate(scope *mapping.Scope, expression string) (any, error) {
	program, err := scope.Compile(expression)
	if err != nil {
		return nil, err
	}
	return program.Eval(context.Background())
}

// written is a value as the page shows it.
func written(value any) string {
	switch v := value.(type) {
	case nil:
		return "null"
	case string:
		return strconv.Quote(v)
	case json.Number:
		return v.String()
	case float64:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return fmt.Sprint(value)
}
