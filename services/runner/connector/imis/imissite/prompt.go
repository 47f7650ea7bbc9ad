package imissite

import (
	"fmt"
	"slices"
	"strings"
)

// operators are those that iMIS documents, but between, whose form is not clear.
var operators = map[string]func(cell, value string) bool{
	"eq":         strings.EqualFold,
	"==":         strings.EqualFold,
	"ne":         func(cell, value string) bool { return !strings.EqualFold(cell, value) },
	"!=":         func(cell, value string) bool { return !strings.EqualFold(cell, value) },
	"contains":   func(cell, value string) bool { return containsFold(cell, value) },
	"notcontain": func(cell, value string) bool { return !containsFold(cell, value) },
	"!contain":   func(cell, value string) bool { return !containsFold(cell, value) },
	"startswith": func(cell, value string) bool {
		return len(cell) >= len(value) && strings.EqualFold(cell[:len(value)], value)
	},
	"endswith": func(cell, value string) bool {
		return len(cell) >= len(value) && strings.EqualFold(cell[len(cell)-len(value):], value)
	},
	"gt": func(cell, value string) bool { return cell > value },
	"ge": func(cell, value string) bool { return cell >= value },
	"lt": func(cell, value string) bool { return cell < value },
	"le": func(cell, value string) bool { return cell <= value },
	"in": func(cell, value string) bool {
		return slices.ContainsFunc(strings.Split(value, "|"), func(one string) bool { return strings.EqualFold(cell, one) })
	},
	"isempty":  func(cell, _ string) bool { return cell == "" },
	"empty":    func(cell, _ string) bool { return cell == "" },
	"notempty": func(cell, _ string) bool { return cell != "" },
	"!empty":   func(cell, _ string) bool { return cell != "" },
}

// lonely are operators that need no colon and no value; that they work so is inferred.
var lonely = []string{"isempty", "empty", "notempty", "!empty"}

func containsFold(cell, value string) bool {
	return strings.Contains(strings.ToLower(cell), strings.ToLower(value))
}

// matching lists the rows that pass the values of the prompts, or says what is wrong with them.
func (q *Query) matching(values []string, allOperators bool) (rows []int, problem string) {
	type filter struct {
		column int
		value  string
		pass   func(cell, value string) bool
	}
	var filters []filter
	for i, prompt := range q.Prompts {
		value := values[i]
		if value == "" {
			value = prompt.Default
		}
		if value == "" && prompt.Required {
			return nil, fmt.Sprintf("The prompt %s is required.", prompt.Property)
		}
		if value == "" {
			continue
		}
		f := filter{value: value, pass: strings.EqualFold}
		if prompt.Contains {
			f.pass = containsFold
		}
		f.column = slices.IndexFunc(q.Columns, func(c Column) bool { return c.Name == prompt.Column })
		word, rest, colon := strings.Cut(value, ":")
		word = strings.ToLower(strings.TrimSpace(word))
		if operator := operators[word]; operator != nil && (colon || slices.Contains(lonely, word)) {
			if !allOperators && word != "eq" {
				return nil, "In IQA query, parameters must be Parameter Equal" // seen, word for word
			}
			f.pass, f.value = operator, rest
		}
		filters = append(filters, f)
	}
	for i := range q.Count {
		passes := true
		for _, f := range filters {
			passes = passes && f.pass(text(q.Row(i)[f.column]), f.value)
		}
		if passes {
			rows = append(rows, i)
		}
	}
	return rows, ""
}

// text is how a cell is compared.
func text(cell any) string {
	switch v := cell.(type) {
	case nil, Absent:
		return ""
	case Wrapped:
		return fmt.Sprint(v.Value)
	}
	return fmt.Sprint(cell)
}
