package imissite

import (
	"fmt"
	"slices"
	"strings"
)

// ordering are the operators of operators that go by the order of two values alone.
var ordering = map[string]func(order int) bool{
	"eq": func(order int) bool { return order == 0 },
	"==": func(order int) bool { return order == 0 },
	"ne": func(order int) bool { return order != 0 },
	"!=": func(order int) bool { return order != 0 },
	"gt": func(order int) bool { return order > 0 },
	"ge": func(order int) bool { return order >= 0 },
	"lt": func(order int) bool { return order < 0 },
	"le": func(order int) bool { return order <= 0 },
}

// operators are those that iMIS documents, but between, whose form is not clear.
var operators = map[string]func(cell, value string) bool{
	"eq":         strings.EqualFold,
	"==":         strings.EqualFold,
	"ne":         func(cell, value string) bool { return !strings.EqualFold(cell, value) },
	"!=":         func(cell, value string) bool { return !strings.EqualFold(cell, value) },
	"contains":   containsFold,
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
		if prompt.AtLeast {
			f.pass = operators["ge"]
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
			passes = passes && f.pass(cellText(q.Row(i)[f.column]), f.value)
		}
		if passes {
			rows = append(rows, i)
		}
	}
	return rows, ""
}
