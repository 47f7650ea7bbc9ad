package zone

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// tree makes a system's folder of zones: files by name.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// The newest rules are taken, and rules of an unknown age are not.
func TestNewest(t *testing.T) {
	t.Parallel()
	inside := builtIn().Version
	if inside < "2026f" {
		t.Fatalf("the rules in the program are of %q", inside)
	}
	newer, later := tree(t, map[string]string{"tzdata.zi": "# version 2999a\n# ddeps\n"}), tree(t, map[string]string{"+VERSION": "2999b\n"})
	for name, test := range map[string]struct {
		folders []string
		version string
	}{
		"none":           {nil, inside},
		"not there":      {[]string{filepath.Join(newer, "nothing")}, inside},
		"older":          {[]string{tree(t, map[string]string{"tzdata.zi": "# version 2019c\n"})}, inside},
		"unknown":        {[]string{tree(t, map[string]string{"UTC": "x"})}, inside},
		"no release":     {[]string{tree(t, map[string]string{"tzdata.zi": "# version main-dirty\n"})}, inside},
		"newer":          {[]string{newer}, "2999a"},
		"newest of both": {[]string{newer, later, newer}, "2999b"},
	} {
		if got := newest(test.folders); got.Version != test.version {
			t.Errorf("%s: %s from %s", name, got.Version, got.From)
		}
	}
}

// A zone of newer rules is read from them, one that only they have too.
func TestNewerRulesAreRead(t *testing.T) {
	t.Parallel()
	data, err := fs.ReadFile(builtIn().files, "Asia/Tokyo")
	if err != nil {
		t.Fatal(err)
	}
	rules := newest([]string{tree(t, map[string]string{"+VERSION": "2999a", "Europe/Berlin": string(data), "Moon/Base": string(data)})})
	for _, name := range []string{"Europe/Berlin", "Moon/Base"} {
		zone, err := rules.Load(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, offset := time.Unix(0, 0).In(zone).Zone(); offset != 9*3600 {
			t.Errorf("%s: %d s", name, offset)
		}
	}
	if _, err := rules.Load("moon/base"); err == nil {
		t.Error("another letter case is taken")
	}
}

// Clocks that changed in 2026 show what the newest rules say.
func TestRulesOf2026(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	for name, hours := range map[string]int{
		"America/Vancouver": -7, "America/Edmonton": -6, "America/Winnipeg": -5, "Africa/Casablanca": 0, "America/Havana": -4,
		"Europe/Berlin": 1, "UTC": 0,
	} {
		zone, err := builtIn().Load(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, offset := at.In(zone).Zone(); offset != hours*3600 {
			t.Errorf("%s: %d s", name, offset)
		}
	}
}

// Every name that the program knows loads; others are refused with what to write.
func TestLoad(t *testing.T) {
	t.Parallel()
	rules := builtIn()
	for _, name := range Names() {
		if zone, err := rules.Load(name); err != nil || zone.String() != name {
			t.Errorf("%s: %v, %v", name, zone, err)
		}
	}
	if len(Names()) < 500 {
		t.Errorf("%d names", len(Names()))
	}
	for name, says := range map[string]string{
		"": "is empty", "Local": "another machine", "local": "another machine", "+01:00": "; write a name, as in Europe/Berlin, or UTC", "europe/berlin": "did you mean Europe/Berlin?", "Europe/Berln": "did you mean Europe/Berlin?",
		"../zone.go": "no time zone", "/etc/passwd": "no time zone", "+VERSION": "no time zone", "Europe": "no time zone", "tzdata.zi": "no time zone",
	} {
		if zone, err := rules.Load(name); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, %v", name, zone, err)
		}
	}
}
