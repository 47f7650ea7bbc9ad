package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"strings"
)

// errNoTerminal is the error of a question that nobody is there to answer.
var errNoTerminal = errors.New("there is no terminal to ask on")

// asks reports whether somebody can be asked: a person sees what is written and types the answer.
func (p *program) asks() bool {
	return p.stdin != nil && isTerminal(p.stdin) && isTerminal(p.stderr)
}

// ask puts a question to the person at the terminal and returns the answer without spaces around it.
// When ctx ends first, the read is left behind; it ends with the process, which is about to.
func (p *program) ask(ctx context.Context, question string) (string, error) {
	if !p.asks() {
		return "", errNoTerminal
	}
	p.notef("%s", question)
	type line struct {
		text string
		err  error
	}
	typed := make(chan line, 1)
	go func() {
		text, err := bufio.NewReader(p.stdin).ReadString('\n')
		typed <- line{text, err}
	}()
	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case got := <-typed:
		if errors.Is(got.err, io.EOF) {
			return "", context.Canceled // Ctrl-D
		}
		return strings.TrimSpace(got.text), got.err
	}
}
