package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/alecthomas/kong"
	"github.com/prometheus/client_golang/prometheus"
)

type versionCommand struct {
	JSON bool `name:"json" help:"Show it as JSON."`
}

// Run shows the version and what it was built from.
func (c versionCommand) Run(p *program) error {
	if !c.JSON {
		p.printf("%s\n", p.built)
		return nil
	}
	text, err := json.Marshal(p.built)
	if err != nil {
		return err
	}
	p.printf("%s\n", text)
	return nil
}

// versionFlag shows the version in place of a command.
type versionFlag bool

// BeforeReset is called by kong when the flag is given.
func (versionFlag) BeforeReset(app *kong.Kong, built origin) error {
	_, err := fmt.Fprintln(app.Stdout, built)
	app.Exit(exitSuccess)
	return err
}

// origin is what a program was built from.
type origin struct {
	// Version is that of a release, of the commit that it was built from (v0.0.0-DATE-COMMIT), or "unknown".
	Version string
	// Commit is the commit, whole, with "+dirty" behind it where files were changed; empty where nobody knows it.
	Commit string
	// Date is when that commit was made, as in 2026-11-29T03:10:09Z; empty where nobody knows it.
	Date string
	Go   string
	// Platform is the operating system and the processor, as in linux/amd64.
	Platform string
}

// builtFrom is what this program was built from, as the Go toolchain noted it.
func builtFrom() origin {
	b := origin{Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		b.Version = "unknown"
		return b
	}
	settings := map[string]string{}
	for _, setting := range info.Settings {
		settings[setting.Key] = setting.Value
	}
	b.Version, b.Commit, b.Date = cmp.Or(info.Main.Version, "unknown"), settings["vcs.revision"], settings["vcs.time"]
	if settings["vcs.modified"] == "true" {
		b.Commit += "+dirty"
	}
	return b
}

// String is the line that people read.
func (b origin) String() string {
	commit := ""
	if b.Commit != "" {
		commit = " " + b.Commit
	}
	return fmt.Sprintf("runhook %s%s %s %s", b.Version, commit, b.Go, b.Platform)
}

// metric is the build as a metric whose value is 1, for joining it with others.
func (b origin) metric() prometheus.Collector {
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "runhook_build_info", Help: "What the program was built from. The value is 1.",
		ConstLabels: prometheus.Labels{"version": b.Version, "commit": b.Commit, "go": b.Go},
	})
	info.Set(1)
	return info
}
