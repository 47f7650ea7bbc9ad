package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"golang.org/x/sys/unix"

	"runhook/shared/bustest"
	"runhook/shared/run"
)

// disk is a place that can be filled up.
type disk struct {
	dir string
	// mounted: it is a file system of its own. Otherwise files may not grow, by a limit of the process.
	mounted bool
}

// smallDisk mounts a file system of a few MiB, where that is allowed.
func smallDisk(t *testing.T, mib int) disk {
	t.Helper()
	dir, err := os.MkdirTemp("", "runhook-disk-*")
	if err != nil {
		t.Fatal(err)
	}
	err = syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dm", mib))
	if err != nil {
		t.Logf("the disk that fills up is RLIMIT_FSIZE, because a tmpfs cannot be mounted: %v", err)
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		return disk{dir: dir}
	}
	t.Logf("the disk that fills up is a tmpfs of %d MiB", mib)
	t.Cleanup(func() {
		if err := errors.Join(syscall.Unmount(dir, syscall.MNT_DETACH), os.Remove(dir)); err != nil {
			t.Error(err)
		}
	})
	return disk{dir, true}
}

// fill leaves no room for the program.
func (d disk) fill(t *testing.T, pid int) {
	t.Helper()
	if d.mounted {
		bustest.FillDisk(t, d.dir+"/filler")
		return
	}
	limitFiles(t, pid, 0)
}

// free makes room again.
func (d disk) free(t *testing.T, pid int) {
	t.Helper()
	if !d.mounted {
		limitFiles(t, pid, unix.RLIM_INFINITY)
	} else if err := os.Remove(d.dir + "/filler"); err != nil {
		t.Fatal(err)
	}
}

// limitFiles sets how long a process may make its files.
func limitFiles(t *testing.T, pid int, length uint64) {
	t.Helper()
	if err := unix.Prlimit(pid, unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: length, Max: unix.RLIM_INFINITY}, nil); err != nil {
		t.Fatal(err)
	}
}

// answer is what a POST or a GET got.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (i *instance) request(method, url string) (answer, error) {
	request, err := http.NewRequestWithContext(i.t.Context(), method, url, nil)
	if err != nil {
		return answer{}, err
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: limit}
	response, err := client.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header, body}, err
}

// A disk that fills gives 503 and takes nothing away; when there is room again the same process goes
// on with everything it accepted.
func TestFullDiskRecovers(t *testing.T) {
	t.Parallel()
	for _, durability := range []string{"always", "interval"} {
		t.Run(durability, func(t *testing.T) {
			t.Parallel()
			fullDisk(t, durability)
		})
	}
}

// A start on a full disk says what is wrong in one line.
func TestStartOnAFullDisk(t *testing.T) {
	disk := smallDisk(t, 16)
	s := newSite(t)
	i := spawn(t, s.args("--data", disk.dir+"/data")...).listening()
	started := i.start(s.copy, nil)
	i.awaitEnd(started)
	i.end()
	self := os.Getpid()
	disk.fill(t, self)
	code, out, messages := call(t, s.args("--data", disk.dir+"/data")...)
	disk.free(t, self)
	if code != exitNoStart || out != "" || !oneLine(messages, "the disk of the data directory is full") {
		t.Errorf("exit code %d: %s%s", code, out, messages)
	}
	i = spawn(t, s.args("--data", disk.dir+"/data")...).listening()
	i.awaitEnd(started)
}

func fullDisk(t *testing.T, durability string) {
	disk := smallDisk(t, 24)
	s := newSite(t)
	i := spawnOf(t, durability, s.args("--data", disk.dir+"/data", "--durability", durability)...).listening()
	listener, err := nats.Connect(i.nats, nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	post := fmt.Sprintf("%s/task/execute/%s", i.url, s.copy)
	accepted := map[string]string{} // run number → status URL
	submit := func() answer {
		got, err := i.request(http.MethodPost, post)
		if err != nil {
			t.Fatal(err)
		}
		if got.status/100 == 2 {
			var doc run.Document
			if err := json.Unmarshal(got.body, &doc); err != nil {
				t.Fatal(err)
			}
			if _, twice := accepted[doc.ImportID.String()]; twice {
				t.Fatalf("the run number %s was given out twice", doc.ImportID)
			}
			accepted[doc.ImportID.String()] = doc.PollingURL
		}
		return got
	}

	submit()
	var ended string
	for _, url := range accepted {
		ended = url
	}
	var before answer
	eventually(t, i, "the first run has ended", func() bool {
		before, err = i.request(http.MethodGet, ended)
		return err == nil && before.status == http.StatusOK
	})
	release := s.hold()
	for range 20 {
		submit() // the first is under way, the others wait
	}
	disk.fill(t, i.process.Pid())

	var refused answer
	eventually(t, i, "a POST is told that the disk is full", func() bool {
		refused = submit()
		return refused.status == http.StatusServiceUnavailable && bytes.Contains(refused.body, []byte("disk"))
	})
	seconds, err := strconv.Atoi(refused.header.Get("Retry-After"))
	if err != nil || seconds < 1 || !bytes.Contains(refused.body, []byte(`"title":"The store is full"`)) {
		t.Errorf("Retry-After %q, %s", refused.header.Get("Retry-After"), refused.body)
	}
	i.log.Await(t, `takes no more writes`, i.ended)
	if got, err := i.request(http.MethodGet, i.url+"/readyz"); err != nil || got.status != http.StatusServiceUnavailable || !bytes.Contains(got.body, []byte("disk of the store is full")) {
		t.Errorf("on a full disk /readyz is %d %s %v", got.status, got.body, err)
	}
	release() // what is under way comes to its end and cannot say so
	eventually(t, i, "what ended before can still be read", func() bool {
		now, err := i.request(http.MethodGet, ended)
		return err == nil && now.status == http.StatusOK && bytes.Equal(now.body, before.body)
	})
	// Somebody else writes all the same, and fails the restarted server's store once more.
	eventually(t, i, "the restarted server's store fails", func() bool {
		if err := listener.Publish("run.skipped", make([]byte, 100<<10)); err != nil {
			t.Log(err)
		}
		return strings.Count(i.log.String(), "Critical write error") > 1
	})
	for range 5 {
		if got := submit(); got.status != http.StatusServiceUnavailable || !bytes.Contains(got.body, []byte("disk")) {
			t.Errorf("a POST on a full disk: %d %s", got.status, got.body) // it is known to be full, not found out once more
		}
	}
	for number, url := range accepted {
		if got, err := i.request(http.MethodGet, url); err != nil || (got.status != http.StatusAccepted && got.status != http.StatusOK) {
			t.Errorf("run %s while the disk is full: %d %v %s", number, got.status, err, got.body)
		}
	}

	disk.free(t, i.process.Pid())
	i.log.Await(t, `room in the data directory again`, i.ended)
	eventually(t, i, "POSTs are taken again", func() bool { return submit().status == http.StatusOK })
	for number, url := range accepted {
		eventually(t, i, "run "+number+" has ended", func() bool {
			got, err := i.request(http.MethodGet, url)
			if err == nil && got.status != http.StatusOK && got.status != http.StatusAccepted {
				t.Fatalf("run %s: %d %s", number, got.status, got.body)
			}
			return err == nil && got.status == http.StatusOK
		})
	}
	if !listener.IsConnected() {
		t.Errorf("a client of --nats-listen has not come back: %s", listener.Status())
	}
	wantOneEventEach(t, i, accepted)
	i.end()
}
