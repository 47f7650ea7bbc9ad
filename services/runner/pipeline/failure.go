package pipeline

import (
	"context"
	"errors"
	"fmt"
	"path"
	"runtime"
	"runtime/debug"
	"strings"
	"unicode"

	"runhook/shared/run"
)

// Panic is how Run ends when a connector or the pipeline panicked. It is a [*run.Failure], by Unwrap.
type Panic struct {
	Failure *run.Failure
	// Stack is for the log. What was panicked with is left out, for it may hold a cell's value.
	Stack []byte
}

func (p *Panic) Error() string { return p.Failure.Message }

// Unwrap returns the failure.
func (p *Panic) Unwrap() error { return p.Failure }

// catchPanic, deferred, makes an error of a panic.
func catchPanic(err *error) {
	cause := recover()
	if cause == nil {
		return
	}
	message := "the task panicked" + panicPlace()
	// The runtime's own panics speak of types and indexes only.
	if known, ok := cause.(runtime.Error); ok {
		message += ": " + known.Error()
	}
	*err = &Panic{Failure: &run.Failure{Message: message + "; this is a fault of Runhook, and the run can be tried again"}, Stack: debug.Stack()}
}

// panicPlace names the line of this program that panicked.
func panicPlace() string {
	callers := make([]uintptr, 64)
	frames := runtime.CallersFrames(callers[:runtime.Callers(1, callers)])
	panicked := false
	for {
		frame, more := frames.Next()
		switch {
		case frame.Function == "runtime.gopanic":
			panicked = true
		case panicked && strings.HasPrefix(frame.Function, "runhook/"):
			return fmt.Sprintf(" at %s:%d", path.Base(frame.File), frame.Line)
		}
		if !more {
			return ""
		}
	}
}

// told is an error as Run and Preview return it: ctx's once that has ended, and a failure as a sentence.
func told(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return sentence(err)
}

// sentence gives a failure's message the capital letter that a status document wants. A message
// that begins with a field's name keeps it.
func sentence(err error) error {
	failure, ok := errors.AsType[*run.Failure](err)
	if !ok {
		return err
	}
	word, _, _ := strings.Cut(failure.Message, " ")
	if word != "" && !strings.ContainsFunc(word, func(letter rune) bool { return !unicode.IsLower(letter) }) {
		failure.Message = strings.ToUpper(word[:1]) + word[1:] + failure.Message[len(word):]
	}
	return err
}
