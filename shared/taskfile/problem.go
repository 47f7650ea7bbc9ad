package taskfile

import (
	"fmt"
	"strings"
)

// Problem is one thing wrong with a task file.
type Problem struct {
	// File is the file as it was named to Parse.
	File string
	// Line counts from 1.
	Line int
	// Message says what is wrong and what to write instead. It may have several lines, where it
	// shows an expression with a mark below the fault.
	Message string
}

// String is "file:line: message", further lines indented.
func (p Problem) String() string {
	return fmt.Sprintf("%s:%d: %s", p.File, p.Line, strings.ReplaceAll(p.Message, "\n", "\n    "))
}

// Invalid is the error of a task file that cannot be used. It holds every problem that was found,
// in the order of the file, not only the first.
type Invalid struct {
	Problems []Problem
}

// Error gives each problem its own line, the first hundred of them.
func (e *Invalid) Error() string {
	const most = 100
	var lines []string
	for i, problem := range e.Problems {
		if i == most {
			lines = append(lines, fmt.Sprintf("%s: and %d more problems", problem.File, len(e.Problems)-most))
			break
		}
		lines = append(lines, problem.String())
	}
	return strings.Join(lines, "\n")
}
