package main

import (
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v4"

	"runhook/shared/nearest"
	"runhook/shared/plainfile"
)

// mostConfig bounds a file of settings, in bytes.
const mostConfig = 64 << 10

// configFile is a file of settings: the names of flags with their values, one a line, as YAML. It gives a flag its value
// where neither the command line nor the environment does. One file may have the settings of several commands.
type configFile struct {
	path     string
	settings map[string]setting
}

// setting is a value in a file of settings, as it would stand on the command line.
type setting struct {
	text string
	line int
}

// configPath is the file of settings that the command line names, or the environment; "" for none. It is looked for
// before the rest is read, because the rest may come from it.
func configPath(args []string) string {
	for i, arg := range args {
		if arg == "--" {
			break
		}
		if path, ok := strings.CutPrefix(arg, "--config="); ok {
			return path
		}
		if arg == "--config" && i+1 < len(args) {
			return args[i+1]
		}
	}
	return os.Getenv("RUNHOOK_CONFIG")
}

// readConfig reads a file of settings. Errors name the file and the line.
func readConfig(path string) (*configFile, error) {
	data, _, err := plainfile.Read(path, mostConfig)
	if err != nil {
		return nil, fmt.Errorf("cannot read the settings: %w; --config names a file with lines such as slots: 32", err)
	}
	c := &configFile{path: path, settings: map[string]setting{}}
	var document yaml.Node
	if err := yaml.Unmarshal(data, &document); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(document.Content) == 0 { // comments alone
		return c, nil
	}
	root := document.Content[0]
	if root.Kind != yaml.MappingNode {
		return nil, c.fault(root.Line, "the file must have lines such as slots: 32")
	}
	for i := 0; i < len(root.Content); i += 2 {
		name, value := root.Content[i].Value, root.Content[i+1]
		if before, twice := c.settings[name]; twice {
			return nil, c.fault(root.Content[i].Line, "%s stands in line %d too", name, before.line)
		}
		text, ok := textOf(value)
		if !ok {
			return nil, c.fault(value.Line, "%s must be one value, or a list of values: what would stand behind --%s=", name, name)
		}
		c.settings[name] = setting{text, root.Content[i].Line}
	}
	return c, nil
}

// textOf is a value, or a list of values, as the command line has it.
func textOf(value *yaml.Node) (text string, ok bool) {
	switch {
	case value.Kind == yaml.ScalarNode && value.ShortTag() != "!!null":
		return value.Value, true
	case value.Kind != yaml.SequenceNode:
		return "", false
	}
	var texts []string
	for _, one := range value.Content {
		if one.Kind != yaml.ScalarNode || one.ShortTag() == "!!null" {
			return "", false
		}
		texts = append(texts, one.Value)
	}
	return strings.Join(texts, ","), true
}

func (c *configFile) fault(line int, format string, args ...any) error {
	return fmt.Errorf("%s:%d: %s", c.path, line, fmt.Sprintf(format, args...))
}

// Validate refuses a setting that no command has.
func (c *configFile) Validate(grammar *kong.Application) error {
	var known []string
	for _, flag := range allFlags(grammar.Node) {
		if len(flag.Envs) > 0 && flag.Name != "config" {
			known = append(known, flag.Name)
		}
	}
	slices.Sort(known)
	first, unknown := 0, ""
	for name, setting := range c.settings {
		if !slices.Contains(known, name) && (first == 0 || setting.line < first) {
			first, unknown = setting.line, name
		}
	}
	if unknown != "" {
		return c.fault(first, "%s is no setting of any command%s", unknown, nearest.Hint(unknown, known))
	}
	return nil
}

// Resolve is the value of a flag that the command line does not have.
func (c *configFile) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	setting, has := c.settings[flag.Name]
	if !has || slices.ContainsFunc(flag.Envs, func(name string) bool { _, set := os.LookupEnv(name); return set }) {
		return nil, nil
	}
	if flag.Enum != "" && !flag.EnumMap()[setting.text] {
		return nil, c.fault(setting.line, "it must be one of %s, not %q", strings.Join(flag.EnumSlice(), ", "), setting.text)
	}
	tried := reflect.New(flag.Target.Type()).Elem()
	if err := flag.Parse(kong.Scan().PushTyped(setting.text, kong.FlagValueToken), tried); err != nil {
		return nil, c.fault(setting.line, "%s", strings.TrimPrefix(err.Error(), "--"+flag.Name+": ")) // kong names it once more
	}
	return setting.text, nil
}

// allFlags are the flags of a command and of those below it.
func allFlags(node *kong.Node) (flags []*kong.Flag) {
	flags = append(flags, node.Flags...)
	for _, child := range node.Children {
		flags = append(flags, allFlags(child)...)
	}
	return flags
}
