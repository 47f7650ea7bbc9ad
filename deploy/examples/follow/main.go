// Command follow follows a run until it ends: a line for each change. Usage: follow STATUS_URL
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strings"
	"time"
)

// run is what this program needs of a status document.
type run struct {
	Status, StatusDescription, Message string
	PercentComplete                    float64
	Success                            *bool
}

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: follow STATUS_URL")
	}
	seen := ""
	for {
		last, err := follow(os.Args[1], &seen)
		switch {
		case last.Status == "D" && *last.Success:
			return
		case last.Status == "D":
			os.Exit(1)
		case errors.Is(err, errRefused):
			log.Fatal(err)
		}
		time.Sleep(time.Second) // the stream ended early: ask again, for what is newer
	}
}

var errRefused = errors.New("refused")

// follow reads one stream to its end, and keeps the id of the last event.
func follow(url string, seen *string) (last run, err error) {
	request, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return last, fmt.Errorf("%w: %w", errRefused, err)
	}
	request.Header.Set("Accept", "text/event-stream")
	if *seen != "" {
		request.Header.Set("Last-Event-ID", *seen)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return last, err
	}
	defer func() { _ = answer.Body.Close() }() // it was read as far as it is needed
	if answer.StatusCode >= 400 && answer.StatusCode < 500 {
		text, _ := io.ReadAll(answer.Body)
		return last, fmt.Errorf("%w: %s", errRefused, text)
	}
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, 1<<20)
	var data []string
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ": ")
		switch {
		case name == "id":
			*seen = value
		case name == "data":
			data = append(data, value)
		case name == "" && len(data) > 0:
			if err := json.Unmarshal([]byte(strings.Join(data, "\n")), &last); err != nil {
				return last, err
			}
			data = nil
			fmt.Printf("%s, %v %%: %s\n", last.StatusDescription, last.PercentComplete, last.Message)
		}
	}
	return last, lines.Err()
}
