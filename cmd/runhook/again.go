package main

import (
	"context"
	"os"
	"sync"

	"github.com/rs/zerolog"
)

// readAgain are files that a process reads again when it is asked to, such as those of tokens.
type readAgain struct {
	mu    sync.Mutex
	files []readable
}

// readable is what reads a file again. If that fails, what was read before stays in force.
type readable struct {
	what string
	read func() error
}

// add has what be read again from now on.
func (r *readAgain) add(what string, read func() error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.files = append(r.files, readable{what, read})
}

// at reads the files again at each of the hangups, until ctx ends.
func (r *readAgain) at(ctx context.Context, hangups <-chan os.Signal, log zerolog.Logger) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangups:
			r.now(log)
		}
	}
}

func (r *readAgain) now(log zerolog.Logger) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, file := range r.files {
		if err := file.read(); err != nil {
			log.Error().Err(err).Msg(file.what + " were not read again; those from before stay in force")
			continue
		}
		log.Info().Msg(file.what + " were read again")
	}
}
