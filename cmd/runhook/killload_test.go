package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"runhook/shared/proctest"
	"runhook/shared/run"
)

// The program is killed at moments drawn from a seed, behind so many answers and so much time, under a load of POSTs:
// every run that was answered 2xx has one final document and one event in the end, and none is ever unknown.
func TestKilledAtAnyMoment(t *testing.T) {
	t.Parallel()
	for _, durability := range []string{"always", "interval"} {
		t.Run(durability, func(t *testing.T) {
			t.Parallel()
			seed := uint64(time.Now().UnixNano())
			t.Logf("seed %d", seed)
			killAtAnyMoment(t, durability, rand.New(rand.NewPCG(seed, 0)))
		})
	}
}

func killAtAnyMoment(t *testing.T, durability string, random *rand.Rand) {
	const rounds, clients = 4, 8
	s := newSite(t)
	if durability == "interval" { // a kill moves the numbers on by more
		s.smallSlices(1000)
	}
	port := proctest.FreeAddress(t)
	flags := s.args("--listen", port, "--durability", durability)
	post := fmt.Sprintf("http://%s/task/executepolling/%s", port, s.copy)
	var mu sync.Mutex
	accepted := map[string]string{} // run number → status URL
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients}, Timeout: limit}
	defer client.CloseIdleConnections()
	call := func(method, url string) (status int, body []byte, err error) {
		request, err := http.NewRequestWithContext(t.Context(), method, url, nil)
		if err != nil {
			return 0, nil, err
		}
		response, err := client.Do(request)
		if err != nil {
			return 0, nil, err
		}
		defer func() { _ = response.Body.Close() }()
		body, err = io.ReadAll(response.Body)
		return response.StatusCode, body, err
	}
	answers := make(chan struct{})
	// load POSTs and polls until the program is gone.
	load := func(ctx context.Context) {
		for ctx.Err() == nil {
			status, body, err := call(http.MethodPost, post)
			if err != nil || status/100 != 2 {
				continue
			}
			var doc run.Document
			if err := json.Unmarshal(body, &doc); err != nil {
				t.Errorf("%s: %s", err, body)
				continue
			}
			mu.Lock()
			_, twice := accepted[doc.ImportID.String()]
			accepted[doc.ImportID.String()] = doc.PollingURL
			mu.Unlock()
			if twice {
				t.Errorf("the run number %s was given out twice", doc.ImportID)
			}
			if status, body, err := call(http.MethodGet, doc.PollingURL); err == nil && status != http.StatusOK && status != http.StatusAccepted {
				t.Errorf("run %s: %d %s", doc.ImportID, status, body)
			}
			select {
			case answers <- struct{}{}:
			case <-ctx.Done():
			}
		}
	}
	for range rounds {
		i := spawnOf(t, durability, flags...).listening()
		ctx, stop := context.WithCancel(t.Context())
		var loading sync.WaitGroup
		for range clients {
			loading.Go(func() { load(ctx) })
		}
		for range random.IntN(2 * clients) {
			select {
			case <-answers:
			case <-i.ended:
				t.Fatalf("it ended by itself:\n%s", i.log)
			}
		}
		time.Sleep(time.Duration(random.Int64N(int64(50 * time.Millisecond)))) // the moment is what is drawn
		i.kill()
		i.await()
		stop()
		loading.Wait()
	}
	i := spawnOf(t, durability, flags...).listening()
	started := time.Now()
	for number, url := range accepted {
		eventually(t, i, "run "+number+" has ended", func() bool {
			status, body, err := call(http.MethodGet, url)
			if err == nil && status != http.StatusOK && status != http.StatusAccepted {
				t.Fatalf("run %s: %d %s", number, status, body)
			}
			return err == nil && status == http.StatusOK
		})
	}
	t.Logf("%d runs were accepted in %d rounds; all had ended %s after the last start", len(accepted), rounds, time.Since(started).Round(time.Millisecond))
	wantOneEventEach(t, i, accepted)
	if s.people() != "Ann,Ben,Cy" {
		t.Errorf("rows: %s", s.people())
	}
	i.end()
}
