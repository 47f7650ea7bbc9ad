package main

import (
	"context"
	"errors"
	"os"
	"slices"
	"testing"

	"github.com/rs/zerolog"
)

// Where a step fails, everything before it is undone, the last first, and nothing after it is done.
func TestOpenUndoesWhatItDid(t *testing.T) {
	t.Parallel()
	var did []string
	does := func(name string, err error) step {
		return func(_ context.Context, p *process) error {
			did = append(did, name)
			if err == nil {
				p.undo(func() { did = append(did, "undo "+name) })
			}
			return err
		}
	}
	fault := errors.New("out of order")
	_, err := open(t.Context(), &program{log: zerolog.Nop(), hangups: func() <-chan os.Signal { return nil }}, does("a", nil), does("b", nil), does("c", fault), does("d", nil))
	if want := []string{"a", "b", "c", "undo b", "undo a"}; !errors.Is(err, fault) || !slices.Equal(did, want) {
		t.Errorf("%v, %v", did, err)
	}

	did = nil
	p, err := open(t.Context(), &program{log: zerolog.Nop(), hangups: func() <-chan os.Signal { return nil }}, does("a", nil), does("b", nil))
	if err != nil {
		t.Fatal(err)
	}
	p.beside(t.Context(), func(ctx context.Context) { // it has a and b to its end
		<-ctx.Done()
		did = append(did, "end")
	})
	p.close()
	if want := []string{"a", "b", "end", "undo b", "undo a"}; !slices.Equal(did, want) {
		t.Errorf("%v", did)
	}
}
