package draft

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"

	"runhook/services/runner/connector"
	"runhook/services/runner/pipeline"
	"runhook/shared/making"
	"runhook/shared/task"
	"runhook/shared/taskfile"
)

// Look says what a task makes of an uploaded file in the place of the one that it reads, and changes nothing. The error is
// making.ErrNoDraft, a [*making.Refusal] for a task that reads no uploaded file, or one of the folder's or ctx's.
func (m *Maker) Look(ctx context.Context, def *task.Definition, draft string) (*making.Proposal, error) {
	root, err := m.folder()
	if err != nil {
		return nil, err
	}
	defer root.Close()
	p, err := m.look(ctx, root, def, draft)
	if err != nil {
		return nil, err
	}
	return p.Proposal, nil
}

func (m *Maker) look(ctx context.Context, root *os.Root, def *task.Definition, draft string) (*proposing, error) {
	own, isText := def.Source.(task.TextSource)
	before := making.Uploaded(def)
	if !isText || before == "" {
		return nil, &making.Refusal{Message: "This task reads no uploaded file, so there is none to replace."}
	}
	file, err := find(root, draft)
	if err != nil {
		return nil, err
	}
	p := &proposing{Proposal: &making.Proposal{Wish: making.Wish{Draft: draft, Name: def.Name}}, options: m.options, root: root, file: file, from: *own.Another(making.Uploads, file)}
	p.FileName = called(file)
	if p.Workbook = p.from.IsWorkbook(); p.Workbook != own.Another(making.Uploads, before).IsWorkbook() {
		p.Problems = append(p.Problems, fmt.Sprintf("The task reads a file that ends in %s, and this one ends in %s. Save it as the other kind, and choose it again.", path.Ext(before), path.Ext(file)))
		return p, nil
	}
	tried := *def
	tried.Source = &p.from
	tried.Parameters = slices.Clone(def.Parameters)
	for i := range tried.Parameters {
		tried.Parameters[i].Required = false
	}
	values, err := tried.Resolve(nil)
	if err != nil {
		return nil, err
	}
	var key []string
	if keyed, ok := def.Destination.(task.Keyed); ok {
		key = keyed.FoundBy()
	}
	seen, err := pipeline.Fit(ctx, m.options.Kinds, connector.Job{Task: &tried, Parameters: values, Connections: m.options.Connections}, key)
	if err != nil {
		return p, p.fault(err)
	}
	p.Rows, p.All = seen.Counts.Retrieved, seen.Counts.Total > 0 || seen.Counts.Retrieved == 0
	for _, c := range def.Mapping {
		target := making.Target{Name: c.Name, Choice: making.Choice{Formulated: true, Formula: c.Expression}}
		for _, from := range seen.Source {
			if taskfile.ColumnExpression(from.Name) == c.Expression {
				target.Choice = making.Choice{From: from.Name}
			}
		}
		p.Targets = append(p.Targets, target)
	}
	p.show(seen)
	return p, nil
}

// Use has a task read an uploaded file from now on, in the place of the one before. Its errors are those of Look, and a
// [*making.Refusal] for a file that no run could read; nothing is changed then.
func (m *Maker) Use(ctx context.Context, def *task.Definition, draft string) error {
	root, err := m.folder()
	if err != nil {
		return err
	}
	defer root.Close()
	m.mu.Lock()
	defer m.mu.Unlock()
	p, err := m.look(ctx, root, def, draft)
	if err != nil {
		return err
	}
	if len(p.Problems) > 0 {
		return &making.Refusal{Message: "The file was not taken. " + p.Problems[0]}
	}
	if err := root.Rename(p.file, making.Uploaded(def)); err != nil {
		if _, gone := root.Lstat(p.file); gone != nil {
			return making.ErrNoDraft
		}
		return errors.Join(errors.New("take a newer file of a task"), err)
	}
	return nil
}
