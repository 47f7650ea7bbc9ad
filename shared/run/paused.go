package run

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// PausedConnection says that no run is to use a connection, until somebody resumes it. It is stored as JSON.
type PausedConnection struct {
	// Name is what tasks call the connection.
	Name string
	// By is the name of the admin token of who has paused it, and On since when it is.
	By string
	On time.Time
	// Why is the reason that was given; at most MaxWhy characters, and mostly empty.
	Why string `json:",omitempty"`
}

// Waiting is what a run waits for that uses the connection.
func (p PausedConnection) Waiting() Waiting {
	return Waiting{Kind: ForConnection, Connection: p.Name, By: p.By, Why: p.Why, Since: new(Time(p.On))}
}

// Encode returns the bytes to store.
func (p PausedConnection) Encode() ([]byte, error) { return json.Marshal(p) }

// DecodePausedConnection reads what is stored of a connection that is paused.
func DecodePausedConnection(data []byte, name string) (PausedConnection, error) {
	var p PausedConnection
	if err := json.Unmarshal(data, &p); err != nil {
		return p, fmt.Errorf("decode a paused connection: %w", err)
	}
	switch {
	case p.Name != name:
		return p, fmt.Errorf("it is of the connection %q, not of %q", p.Name, name)
	case p.By == "" || len(p.By) > maxBy || p.On.IsZero():
		return p, errors.New("the paused connection does not say who has paused it, or since when it is")
	}
	return p, CheckWhy(p.Why)
}
