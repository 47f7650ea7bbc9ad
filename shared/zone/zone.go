// Package zone finds time zones by their names, in the newest rules that are at hand: governments change them weeks
// ahead, and both the system's copy and the one in the program grow old.
package zone

import (
	"archive/zip"
	"bytes"
	"cmp"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"runhook/shared/nearest"
	"runhook/shared/wording"
)

// own are the compiled rules of a release of tzdata; `make zones` makes them.
//
//go:embed zones.zip
var own []byte

// versionFile has the release of the rules beside it, in own and on macOS.
const versionFile = "+VERSION"

// Rules are compiled rules of zones, from one place. They are safe for concurrent use.
type Rules struct {
	// Version is their release of tzdata, as in 2026f; empty where it is not known.
	Version string
	// From is where they are: "built in", or a folder.
	From string

	files  fs.FS
	loaded sync.Map // name to *time.Location
}

// folders is where systems keep zones.
var folders = []string{"/usr/share/zoneinfo", "/usr/share/lib/zoneinfo", "/usr/lib/locale/TZ", "/etc/zoneinfo"}

// Newest is the newest of the system's rules and the program's own. Rules of an unknown release are not newer.
var Newest = sync.OnceValue(func() *Rules { return newest(folders) })

func newest(folders []string) *Rules {
	best := builtIn()
	for _, folder := range folders {
		files := os.DirFS(folder)
		if version := versionOf(files); version > best.Version { // a year and a letter
			best = &Rules{Version: version, From: folder, files: files}
		}
	}
	return best
}

// builtIn are the program's own rules.
func builtIn() *Rules {
	archive, err := zip.NewReader(bytes.NewReader(own), int64(len(own)))
	if err != nil {
		panic(fmt.Sprintf("the zones in the program: %v", err)) // a test opens them
	}
	return &Rules{Version: versionOf(archive), From: "built in", files: archive}
}

// versionOf is the release of rules: Debian and others keep their source beside them, whose first line has it.
func versionOf(files fs.FS) string {
	if text, err := fs.ReadFile(files, versionFile); err == nil {
		return release(string(text))
	}
	source, err := files.Open("tzdata.zi")
	if err != nil {
		return ""
	}
	defer func() { _ = source.Close() }()
	head := make([]byte, 40)
	n, _ := io.ReadFull(source, head)
	line, _, _ := strings.Cut(string(head[:n]), "\n")
	version, _ := strings.CutPrefix(line, "# version ")
	return release(version)
}

// release is text if it is the name of a release: a year and a letter, or more of them behind z.
func release(text string) string {
	text = strings.TrimSpace(text)
	year, letters := text, ""
	if len(text) > 4 {
		year, letters = text[:4], text[4:]
	}
	if len(year) != 4 || strings.Trim(year, "0123456789") != "" || letters == "" || strings.Trim(letters, "abcdefghijklmnopqrstuvwxyz") != "" {
		return ""
	}
	return text
}

// Load is Newest().Load.
func Load(name string) (*time.Location, error) { return Newest().Load(name) }

// Load returns the zone of a name of the tz database, as in Europe/Berlin. Local and the empty name are refused: they
// mean another zone on another machine. The error says what to write.
func (r *Rules) Load(name string) (*time.Location, error) {
	switch name {
	case "UTC":
		return time.UTC, nil
	case "":
		return nil, errors.New("the name of a time zone is empty: write one as in Europe/Berlin, or UTC")
	case "Local", "local":
		return nil, errors.New("the time zone Local is another one on another machine: write a name, as in Europe/Berlin")
	}
	if zone, ok := r.loaded.Load(name); ok {
		return zone.(*time.Location), nil
	}
	unknown := func() error {
		hint := cmp.Or(nearest.Hint(name, Names()), "; write a name, as in Europe/Berlin, or UTC")
		return fmt.Errorf("there is no time zone %s (tzdata %s)%s", wording.Name(name), r.Version, hint)
	}
	// The file systems of some systems take any letter case, and hold more than zones.
	if _, known := slices.BinarySearch(Names(), name); !known && !r.lists(name) {
		return nil, unknown()
	}
	data, err := fs.ReadFile(r.files, name)
	if err != nil {
		return nil, unknown()
	}
	zone, err := time.LoadLocationFromTZData(name, data)
	if err != nil {
		return nil, fmt.Errorf("the time zone %s in %s cannot be read: %w", wording.Name(name), r.From, err)
	}
	r.loaded.Store(name, zone)
	return zone, nil
}

// lists reports whether the rules have a zone under exactly that name, which a newer release may have added.
func (r *Rules) lists(name string) bool {
	if !fs.ValidPath(name) || name[0] < 'A' || name[0] > 'Z' {
		return false
	}
	entries, err := fs.ReadDir(r.files, path.Dir(name))
	return err == nil && slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() == path.Base(name) && !e.IsDir() })
}

// Names are the names of all zones that the program itself knows, sorted.
var Names = sync.OnceValue(func() []string {
	var names []string
	_ = fs.WalkDir(builtIn().files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && name != versionFile {
			names = append(names, name)
		}
		return err
	})
	slices.Sort(names)
	return names
})
