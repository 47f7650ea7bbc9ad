package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"unicode"

	"github.com/alecthomas/kong"
)

type manCommand struct {
	Dir string `placeholder:"DIR" help:"Write a page for each command into this folder, which is made. Default: print that of runhook itself."`
}

// Help shows examples.
func (*manCommand) Help() string {
	return `Examples:

    runhook man | man -l -
    runhook man --dir /usr/local/share/man/man1`
}

// Run writes the pages, which are made from the grammar.
func (c *manCommand) Run(p *program, k *kong.Context) error {
	root := k.Model.Node
	if c.Dir == "" {
		_, err := p.stdout.Write(manPage(root, root))
		return err
	}
	if err := os.MkdirAll(c.Dir, 0o755); err != nil {
		return fmt.Errorf("--dir: %w", err)
	}
	pages := 0
	var write func(node *kong.Node) error
	write = func(node *kong.Node) error {
		if node.Hidden {
			return nil
		}
		name := pageName(node)
		if err := os.WriteFile(filepath.Join(c.Dir, name+".1"), manPage(root, node), 0o644); err != nil {
			return fmt.Errorf("--dir: %w", err)
		}
		pages++
		for _, child := range node.Children {
			if err := write(child); err != nil {
				return err
			}
		}
		return nil
	}
	if err := write(root); err != nil {
		return err
	}
	p.notef("%s are in %s.\n", plural(pages, "page"), c.Dir)
	return nil
}

// pageName is the name of a command's page, such as runhook-runs-list.
func pageName(node *kong.Node) string { return strings.ReplaceAll(node.FullPath(), " ", "-") }

// manPage is the page of a command in the language of man.
func manPage(root, node *kong.Node) []byte {
	var page bytes.Buffer
	section := func(title string) { fmt.Fprintf(&page, ".SH %s\n", title) }
	fmt.Fprintf(&page, ".TH %s 1 \"\" \"Runhook\" \"Runhook\"\n", roff(strings.ToUpper(pageName(node))))
	section("NAME")
	help := node.Help
	if node == root {
		help, _, _ = strings.Cut(help, "\n")
	}
	fmt.Fprintf(&page, "%s \\- %s\n", roff(pageName(node)), roff(strings.TrimSuffix(help, ".")))
	section("SYNOPSIS")
	fmt.Fprintf(&page, ".B %s\n%s\n", roff(root.Name), roff(strings.TrimSpace(strings.TrimPrefix(node.Summary(), root.Name))))
	detail := node.Detail
	if node == root {
		_, detail, _ = strings.Cut(node.Help, "\n")
	}
	if detail = strings.TrimSpace(detail); detail != "" {
		section("DESCRIPTION")
		page.WriteString(paragraphs(detail))
	}
	if len(node.Positional) > 0 {
		section("ARGUMENTS")
		for _, argument := range node.Positional {
			fmt.Fprintf(&page, ".TP\n.I %s\n%s\n", roff(argument.Name), roff(argument.Help))
		}
	}
	if len(node.Children) > 0 {
		section("COMMANDS")
		for _, child := range node.Children {
			if !child.Hidden {
				fmt.Fprintf(&page, ".TP\n.B %s\n%s\n", roff(child.Name), roff(child.Help))
			}
		}
	}
	section("OPTIONS")
	for _, flag := range flagsOf(node) {
		name := roff("--" + flag.Name)
		if flag.Short != 0 {
			name = roff("-"+string(flag.Short)) + ", " + name
		}
		if !flag.IsBool() {
			name += "=" + `\fI` + roff(flag.FormatPlaceHolder()) + `\fR`
		}
		fmt.Fprintf(&page, ".TP\n\\fB%s\\fR\n%s\n", name, roff(flag.Help))
		if len(flag.Envs) > 0 {
			fmt.Fprintf(&page, "Environment: %s.\n", roff(strings.Join(flag.Envs, ", ")))
		}
	}
	section("SEE ALSO")
	var others []string
	if node != root {
		others = append(others, pageName(node.Parent))
	}
	for _, child := range node.Children {
		if !child.Hidden {
			others = append(others, pageName(child))
		}
	}
	for i, other := range others {
		end := ","
		if i == len(others)-1 {
			end = ""
		}
		fmt.Fprintf(&page, ".BR %s (1)%s\n", roff(other), end)
	}
	return page.Bytes()
}

// paragraphs are those of a text, where indented lines stay as they are.
func paragraphs(text string) string {
	var page strings.Builder
	page.WriteString(".PP\n")
	verbatim := false
	for line := range strings.Lines(text + "\n") {
		line = strings.TrimRight(line, "\n")
		indented := strings.HasPrefix(line, "    ")
		switch {
		case indented && !verbatim:
			page.WriteString(".nf\n")
		case !indented && verbatim && line != "":
			page.WriteString(".fi\n")
		}
		if line != "" {
			verbatim = indented
		}
		if line == "" {
			page.WriteString(".PP\n")
			continue
		}
		page.WriteString(roff(line) + "\n")
	}
	if verbatim {
		page.WriteString(".fi\n")
	}
	return page.String()
}

// roff is a text that stands for itself.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`, "`", "", "'", `\(aq`, "\n", " ").Replace(text)
	var plain strings.Builder
	if strings.HasPrefix(text, ".") {
		plain.WriteString(`\&`)
	}
	for _, letter := range text {
		if letter < unicode.MaxASCII {
			plain.WriteRune(letter)
		} else {
			fmt.Fprintf(&plain, `\[u%04X]`, letter)
		}
	}
	return plain.String()
}
