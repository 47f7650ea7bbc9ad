//go:build chaos

package chaos

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// chooseDisk finds out how a disk can be made full here, and says it.
func (h *house) chooseDisk() {
	if !canFill {
		fmt.Println("disk full is left out: it needs Linux")
		return
	}
	err := canMount(filepath.Join(h.dir, "mount"))
	if h.mounts = err == nil; !h.mounts {
		fmt.Printf("the disk that fills up is RLIMIT_FSIZE, because a tmpfs cannot be mounted: %v\n", err)
		return
	}
	fmt.Println("the disk that fills up is a tmpfs")
	h.t.Cleanup(func() { _ = unmount(h.data) }) // where a fault has stopped half-way
}

// fullDisk fills the disk of the data directory under load until POSTs are refused because of it, and
// makes room again: the data moves onto a small file system of its own meanwhile, or, where none can
// be mounted, its files may not grow.
func fullDisk(m *mischief) error {
	p := m.one("serve")
	m.done["disk full"]--
	if !m.house.mounts {
		m.done["disk full (RLIMIT_FSIZE)"]++
		return m.fullByLimit(p)
	}
	m.done["disk full (tmpfs)"]++
	data, kept := m.house.data, m.house.data+".kept"
	p.kill()
	disk, err := mountSmall(data, kept)
	if err != nil {
		return err
	}
	if err := p.start(); err != nil {
		return err
	}
	if err := p.awaitReady(); err != nil {
		return err
	}
	ballast := filepath.Join(data, "ballast")
	err = m.fill(func() error { return fill(ballast) }, func() error { return os.Remove(ballast) })
	if m.rand.IntN(2) == 0 {
		p.kill()
	} else if stopped := m.end(p); err == nil {
		err = stopped
	}
	if moved := disk.giveBack(); err == nil {
		err = moved
	}
	if started := m.startLater(p); err == nil {
		err = started
	}
	return err
}

// fullByLimit limits the files of the process. That meets its destinations too, so nobody starts runs
// of tasks that write files meanwhile, and those under way end before.
func (m *mischief) fullByLimit(p *process) error {
	var files []*work
	for _, w := range m.house.works {
		if w.files {
			files = append(files, w)
		}
	}
	m.ledger.hold(files, true)
	defer m.ledger.hold(files, false)
	if err := m.house.awaitReady(); err != nil {
		return err
	}
	for limit, quiet := time.Now().Add(drainLimit), 0; quiet < 2; time.Sleep(time.Second) {
		if open, err := m.witness.open(m.house.t.Context(), files); err != nil || open > 0 {
			quiet = 0
		} else {
			quiet++ // twice: a POST may have been on its way
		}
		if time.Now().After(limit) {
			return fmt.Errorf("runs that write files have not ended after %s", drainLimit)
		}
	}
	pid := p.command.Process.Pid
	return m.fill(func() error { return limitFiles(pid, 0) }, func() error { return limitFiles(pid, ^uint64(0)) })
}

// storeFull counts the POSTs that were refused because the disk is full.
const storeFull = "POST 503: the store is full"

// fill takes the room away until clients are told, keeps it for a while, gives it back, and waits until
// POSTs are taken again.
func (m *mischief) fill(take, give func() error) error {
	limit := time.Now().Add(startLimit)
	for before := m.ledger.counted(storeFull); m.ledger.counted(storeFull) == before; time.Sleep(20 * time.Millisecond) {
		if err := take(); err != nil { // again and again: files that go make room
			return err
		}
		if time.Now().After(limit) {
			return errors.Join(fmt.Errorf("no POST was told that the store is full within %s", startLimit), give())
		}
	}
	time.Sleep(m.between(0, 4*time.Second))
	if err := give(); err != nil {
		return err
	}
	limit = time.Now().Add(startLimit)
	for before := m.ledger.counted("accepted"); m.ledger.counted("accepted") == before; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(limit) {
			return fmt.Errorf("there is room again, and no POST was accepted within %s", startLimit)
		}
	}
	return nil
}

// fill writes on a file until nothing more fits.
func fill(path string) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	for size := 64 << 10; size > 0; {
		if _, err := file.Write(make([]byte, size)); err != nil {
			if !errors.Is(err, syscall.ENOSPC) {
				return err
			}
			size /= 2
		}
	}
	return nil
}

// moved is a data directory that stands on a small disk for a while.
type moved struct{ data, kept string }

// roomLeft is what the small disk has beside the data.
const roomLeft = 16 << 20

// mountSmall puts a small disk in the place of a data directory, with a copy of what is there.
func mountSmall(data, kept string) (moved, error) {
	if err := os.Rename(data, kept); err != nil {
		return moved{}, err
	}
	size, err := sizeOf(kept)
	if err == nil {
		err = os.Mkdir(data, 0o755)
	}
	if err == nil {
		err = mount(data, size+roomLeft)
	}
	if err == nil {
		err = copyTree(data, kept)
	}
	return moved{data, kept}, err
}

// giveBack moves the data to where it was.
func (d moved) giveBack() error {
	next := d.data + ".next"
	if err := copyTree(next, d.data); err != nil {
		return err
	}
	if err := unmount(d.data); err != nil {
		return err
	}
	return errors.Join(os.Remove(d.data), os.Rename(next, d.data), os.RemoveAll(d.kept))
}

func sizeOf(dir string) (size int64, err error) {
	err = filepath.Walk(dir, func(_ string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() {
			size += (info.Size() + 4095) &^ 4095
		}
		return err
	})
	return size, err
}

// torn are the streams whose end a fault damages, and what the log says of each.
var torn = map[string]string{
	"RUNS":   "the last accepted requests are lost",
	"slice":  "the last claims, final documents or events are lost",
	"EVENTS": "the last claims, final documents or events are lost",
}

// tearWrites kills the process and leaves behind the newest messages of some streams what a power cut
// leaves of a write that was never acknowledged. Nothing is lost by it, and it is said.
func tearWrites(m *mischief) error {
	p := m.one("serve")
	slice := m.witness.newestSlice(context.Background())
	p.kill()
	names := []string{"EVENTS", "slice", "RUNS"}
	m.rand.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	names = names[:1+m.rand.IntN(len(names))]
	for _, name := range names {
		stream := name
		if name == "slice" {
			stream = slice
		}
		if err := m.tear(stream); err != nil {
			return err
		}
	}
	from := int64(len(tail(p.log, 1<<30)))
	if err := p.start(); err != nil {
		return err
	}
	if m.rand.IntN(3) == 0 { // whoever is killed while he mends begins again
		time.Sleep(m.between(0, time.Second))
		return m.kill(p)
	}
	if err := p.awaitReady(); err != nil {
		return err
	}
	said := tail(p.log, 1<<30)[from:]
	for _, name := range names {
		if !strings.Contains(said, torn[name]) {
			return fmt.Errorf("the end of %s was damaged, and the log does not say %q:\n%s", name, torn[name], said)
		}
	}
	return nil
}

// tear adds a piece of a record to the newest block of a stream.
func (m *mischief) tear(stream string) error {
	path, err := m.house.newestBlock(stream)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	piece := make([]byte, 1+m.rand.IntN(2000))
	kind := m.rand.IntN(3)
	switch {
	case kind == 0 && len(data) > 0: // the beginning of a record as they are in there
		piece = bytes.Clone(data[:min(len(piece), recordLength(data)-1)])
	case kind == 1: // zeros: the file had grown, and its content was not there yet
	default:
		for i := range piece {
			piece[i] = byte(m.rand.UintN(256))
		}
	}
	m.story[len(m.story)-1] += fmt.Sprintf(", %d bytes behind %s", len(piece), stream)
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = file.Write(piece)
	return errors.Join(err, file.Close())
}

// recordLength is the length of the record that a block begins with.
func recordLength(block []byte) int {
	const hasHeaders = 1 << 31
	return int(binary.LittleEndian.Uint32(block) &^ hasHeaders)
}

// newestBlock is the file that a stream's next message goes to.
func (h *house) newestBlock(stream string) (string, error) {
	pattern := filepath.Join(h.data, "nats", "jetstream", "$G", "streams", stream, "msgs", "*.blk")
	blocks, err := filepath.Glob(pattern)
	if err != nil || len(blocks) == 0 {
		return "", fmt.Errorf("stream %s has no block: %s (%v)", stream, pattern, err)
	}
	return slices.MaxFunc(blocks, func(a, b string) int { return numberOf(a) - numberOf(b) }), nil
}

func numberOf(block string) int {
	n, _ := strconv.Atoi(strings.TrimSuffix(filepath.Base(block), ".blk"))
	return n
}

// copyTree copies a directory with the rights of its files: secrets stay their owner's.
func copyTree(to, from string) error {
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		return err
	}
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		rest, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		return os.Chmod(filepath.Join(to, rest), info.Mode().Perm())
	})
}
