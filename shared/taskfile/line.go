package taskfile

import (
	"go.yaml.in/yaml/v4"

	"runhook/shared/task"
)

// Line is the line of a task's file at which a field stands, named by the fields above it and its
// own: destination, sql, key. Of a parameter the last part is its name or filter. Where the file lacks
// the field, it is the line of the deepest one above that is there; 1 where none is.
func Line(def *task.Definition, field ...string) int {
	r := newReader(def.Text, "")
	node, line := r.readDocument(def.Text), 1
	for _, name := range field {
		key, value := below(node, name)
		if key == nil {
			break
		}
		line, node = key.Line, value
	}
	return line
}

// below finds a field of a mapping, or the entry of a list that has the name.
func below(node *yaml.Node, name string) (key, value *yaml.Node) {
	if node == nil {
		return nil, nil
	}
	switch node.Kind {
	case yaml.MappingNode:
		for i := 0; i < len(node.Content); i += 2 {
			if node.Content[i].Value == name {
				return node.Content[i], node.Content[i+1]
			}
		}
	case yaml.SequenceNode:
		for _, entry := range node.Content {
			for _, member := range []string{"name", "filter"} {
				if key, value := below(entry, member); key != nil && value.Value == name {
					return key, value
				}
			}
		}
	}
	return nil, nil
}
