package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"runhook/shared/client"
	"runhook/shared/task"
	"runhook/shared/taskfile"
	"runhook/shared/wording"
)

// inPath is a parameter in the path of a csv source.
var inPath = regexp.MustCompile(`\{params\.([^{}]+)\}`)

// fileParameter is the parameter by which a run of the task reads the file, and its value: the part of the
// file's path in the folder of the task's connection for which the parameter stands.
func (c *runCommand) fileParameter(ctx context.Context, server *client.Client, id task.ID) (name, value string, err error) {
	found, err := taskOf(ctx, server, id)
	if err != nil {
		return "", "", err
	}
	def, err := taskfile.Parse([]byte(found.Text), "the task "+found.Name)
	if err != nil {
		return "", "", fmt.Errorf("--file: %w", err)
	}
	from, ok := def.Source.(task.FileSource)
	if !ok {
		return "", "", fmt.Errorf("--file is for tasks that read a file; %s reads none", found.Name)
	}
	folder, whole := from.Place()
	places := inPath.FindAllStringSubmatchIndex(whole, -1)
	if len(places) != 1 {
		return "", "", fmt.Errorf("--file: %s always reads %s; to name the file for a run, write path: \"{params.File}\" into its source and parameters: [{name: File, default: %s}]",
			found.Name, whole, whole)
	}
	path, err := c.pathInFolder(folder)
	if err != nil {
		return "", "", err
	}
	at := places[0]
	before, name, after := whole[:at[0]], whole[at[2]:at[3]], whole[at[1]:]
	value, ok = strings.CutPrefix(path, before)
	if ok {
		value, ok = strings.CutSuffix(value, after)
	}
	if !ok || value == "" {
		return "", "", fmt.Errorf("--file %s does not fit the path of %s, %s", c.File, found.Name, whole)
	}
	return name, value, nil
}

// named says which values the parameters in a message have, which itself has none: `; File is "may.csv"`.
func named(message string, values map[string][]string) (names string) {
	seen := map[string]bool{}
	for _, found := range inPath.FindAllStringSubmatch(message, -1) {
		if given := values[found[1]]; len(given) == 1 && !seen[found[1]] {
			seen[found[1]] = true
			names += fmt.Sprintf("; %s is %s", found[1], wording.JSON(given[0]))
		}
	}
	return names
}

// pathInFolder is the path of the file in the folder of a connection: of a file that is here, as the connections
// file here says where the folder is; of any other, which only the server may have, the path as it was given.
func (c *runCommand) pathInFolder(folder string) (string, error) {
	connections, err := c.connections()
	if err != nil {
		return "", err
	}
	_, missing := os.Stat(c.File)
	if missing == nil && connections.Has(folder) {
		if path, ok := connections.Within(folder, c.File); ok {
			return path, nil
		}
	} else if filepath.IsLocal(c.File) {
		if missing == nil {
			return "", fmt.Errorf("--file %s is here, and no connections file says that it is in the folder of the connection %s, where another may have its name; pass --connections FILE, or the name of the one that is there as -p NAME=VALUE", c.File, folder)
		}
		return filepath.ToSlash(filepath.Clean(c.File)), nil
	}
	return "", fmt.Errorf("--file %s is not in the folder of the connection %s, and runs read no other file; copy it there", c.File, folder)
}
