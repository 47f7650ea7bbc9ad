package draft

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"runhook/services/runner/connector"
	"runhook/services/runner/connector/csvfile"
	"runhook/services/runner/row"
	"runhook/shared/making"
	"runhook/shared/plainfile"
	"runhook/shared/run"
	"runhook/shared/task"
	"runhook/shared/wait"
)

// The bounds of what is uploaded and no task reads yet.
const (
	draftFor   = 24 * time.Hour
	mostDrafts = 50
)

// draftsFolder is where uploaded files are until a task reads them, in the folder of the connection.
const draftsFolder = "drafts"

// endings are those of files that can be uploaded.
var endings = []string{".csv", ".xlsx", ".xlsm", ".txt", ".tsv"}

// Keep keeps an uploaded file for a day, and returns the id by which a task is made of it. name is what the person calls
// it: of that no more than letters, digits and a known ending become part of the name that it is kept under. A
// [*making.Refusal] says what is wrong with the file.
func (m *Maker) Keep(_ context.Context, name string, data io.Reader) (id string, err error) {
	root, err := m.folder()
	if err != nil {
		return "", err
	}
	defer root.Close()
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := sweep(root, time.Now()); err != nil {
		return "", err
	}
	ending := strings.ToLower(path.Ext(strings.ReplaceAll(name, `\`, "/")))
	if !slices.Contains(endings, ending) {
		return "", &making.Refusal{Field: "file", Message: "The file must be a workbook (.xlsx) or a CSV file (.csv). Save it as one of these, and choose it again."}
	}
	base := path.Base(strings.ReplaceAll(name, `\`, "/"))
	id = strings.ToLower(rand.Text())
	kept := path.Join(draftsFolder, plainName(strings.TrimSuffix(base, path.Ext(base)))+"."+id+ending)
	file, err := root.OpenFile(kept, os.O_RDWR|os.O_CREATE|os.O_EXCL, plainfile.Private)
	if err != nil {
		return "", fmt.Errorf("keep an uploaded file: %w", err)
	}
	size, err := io.Copy(file, io.LimitReader(data, making.MaxUpload+1))
	var refusal error
	switch told := csvfile.Tell(file, size); {
	case err != nil:
	case size == 0:
		refusal = &making.Refusal{Field: "file", Message: "The file is empty. Choose one that has rows."}
	case size > making.MaxUpload:
		refusal = &making.Refusal{Field: "file", Message: "The file is larger than " + strconv.Itoa(making.MaxUpload>>20) + " MiB. Ask your administrator to put it into a folder of the server, or split it."}
	case told.Other != "":
		refusal = &making.Refusal{Field: "file", Message: "The file " + told.Other + "."}
	case told.Workbook && ending != ".xlsx" && ending != ".xlsm":
		refusal = &making.Refusal{Field: "file", Message: "The file is a workbook, whatever its name says. Give it a name that ends in .xlsx, and choose it again."}
	}
	err = errors.Join(err, file.Sync(), file.Close())
	if err != nil || refusal != nil {
		_ = root.Remove(kept)
	}
	switch {
	case err != nil:
		return "", fmt.Errorf("keep an uploaded file: %w", err)
	case refusal != nil:
		return "", refusal
	}
	return id, nil
}

// plainName is a file's name of ASCII letters, digits and hyphens.
func plainName(text string) string {
	words := strings.FieldsFunc(strings.ToLower(text), func(letter rune) bool {
		return (letter < 'a' || letter > 'z') && (letter < '0' || letter > '9')
	})
	name := strings.Join(words, "-")
	if name = name[:min(len(name), 50)]; name == "" {
		return "upload"
	}
	return strings.TrimSuffix(name, "-")
}

// folder opens the folder of the uploads, which the first makes.
func (m *Maker) folder() (*os.Root, error) {
	if err := os.MkdirAll(m.options.Uploads, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of uploads: %w", err)
	}
	files, err := m.options.Connections.Files(making.Uploads)
	if err != nil {
		return nil, err
	}
	if err := files.MkdirAll(draftsFolder, 0o700); err != nil {
		files.Close()
		return nil, fmt.Errorf("make the folder of uploads: %w", err)
	}
	return files.Root, nil
}

// find is the path of a draft in the folder of the uploads. The error is making.ErrNoDraft or the folder's.
func find(root *os.Root, id string) (file string, err error) {
	if len(id) != len(rand.Text()) || strings.Trim(id, "abcdefghijklmnopqrstuvwxyz234567") != "" {
		return "", making.ErrNoDraft
	}
	entries, err := fs.ReadDir(root.FS(), draftsFolder)
	if err != nil {
		return "", fmt.Errorf("read the folder of uploads: %w", err)
	}
	for _, entry := range entries {
		name := entry.Name()
		if path.Ext(strings.TrimSuffix(name, path.Ext(name))) != "."+id {
			continue
		}
		if info, err := entry.Info(); err != nil || time.Since(info.ModTime()) > draftFor {
			return "", making.ErrNoDraft
		}
		return path.Join(draftsFolder, name), nil
	}
	return "", making.ErrNoDraft
}

// called is what a draft's file is called without its id.
func called(file string) string {
	name := path.Base(file)
	ending := path.Ext(name)
	name = strings.TrimSuffix(name, ending)
	return strings.TrimSuffix(name, path.Ext(name)) + ending
}

// sweep removes the drafts that are over, and the oldest of too many.
func sweep(root *os.Root, now time.Time) error {
	entries, err := fs.ReadDir(root.FS(), draftsFolder)
	if err != nil {
		return fmt.Errorf("read the folder of uploads: %w", err)
	}
	type aged struct {
		name string
		on   time.Time
	}
	var drafts []aged
	for _, entry := range entries {
		info, err := entry.Info()
		if err == nil && info.Mode().IsRegular() {
			drafts = append(drafts, aged{entry.Name(), info.ModTime()})
		}
	}
	slices.SortFunc(drafts, func(a, b aged) int { return b.on.Compare(a.on) })
	for i, draft := range drafts {
		if i >= mostDrafts-1 || now.Sub(draft.on) > draftFor {
			_ = root.Remove(path.Join(draftsFolder, draft.name)) // the next upload tries again
		}
	}
	return nil
}

// Sweep removes the drafts that are over.
func (m *Maker) Sweep() error {
	if _, err := os.Stat(m.options.Uploads); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	root, err := m.folder()
	if err != nil {
		return err
	}
	defer root.Close()
	m.mu.Lock()
	defer m.mu.Unlock()
	return sweep(root, time.Now())
}

// Follow removes drafts when they are over, until ctx ends.
func (m *Maker) Follow(ctx context.Context) {
	for {
		if err := m.Sweep(); err != nil {
			m.options.Log.Warn().Err(err).Msg("uploaded files that are over were not removed; it is tried again in an hour")
		}
		if !wait.For(ctx, time.Hour) {
			return
		}
	}
}

// place is a name among the uploads that no other has, for a draft that a task is to read from then on.
func place(root *os.Root, file string) (name string, err error) {
	whole := called(file)
	ending := path.Ext(whole)
	for n := 1; ; n++ {
		if name = whole; n > 1 {
			name = strings.TrimSuffix(whole, ending) + "-" + strconv.Itoa(n) + ending
		}
		if _, err := root.Lstat(name); errors.Is(err, fs.ErrNotExist) {
			return name, nil
		} else if err != nil {
			return "", fmt.Errorf("keep an uploaded file: %w", err)
		}
	}
}

// settle gives a draft a second name, by which a task reads it from then on. The draft stays until it is removed, so
// that a crash loses neither.
func settle(root *os.Root, file, name string) error {
	err := root.Link(file, name)
	if errors.Is(err, fs.ErrNotExist) {
		return making.ErrNoDraft
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		err = root.Rename(file, name) // the file system may have no links
	}
	if err != nil {
		return fmt.Errorf("keep an uploaded file: %w", err)
	}
	return nil
}

// mostRead is how many rows Read reads of a file.
const mostRead = 100_000

// Read reads all rows of an uploaded file as text, which means what that of another source does, and keeps nothing of
// the file. A [*making.Refusal] says what is wrong with it.
func (m *Maker) Read(ctx context.Context, name string, data io.Reader, like *task.CSVSource) (columns []string, rows [][]string, err error) {
	id, err := m.Keep(ctx, name, data)
	if err != nil {
		return nil, nil, err
	}
	root, err := m.folder()
	if err != nil {
		return nil, nil, err
	}
	defer root.Close()
	file, err := find(root, id)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = root.Remove(file) }() // or in a day
	from := task.CSVSource{Connection: making.Uploads, Path: file}
	if !from.IsWorkbook() {
		from.Escapes, from.NoQuotes = like.Escapes, like.NoQuotes
		if from.Delimiter, from.Encoding, err = sniff(filepath.Join(root.Name(), filepath.FromSlash(file)), 0); err != nil {
			return nil, nil, err
		}
	}
	source, err := m.options.Kinds.Sources[from.Name()].Open(ctx, connector.Job{Task: &task.Definition{Source: &from}, Connections: m.options.Connections})
	if failure, ok := errors.AsType[*run.Failure](err); ok {
		return nil, nil, &making.Refusal{Field: "file", Message: capital(strings.ReplaceAll(failure.Message, "the file "+file+" of connection "+making.Uploads, "the file")) + "."}
	}
	if err != nil {
		return nil, nil, err
	}
	defer source.Close()
	columns = source.Columns().Names
	for {
		cells := make([]any, len(columns))
		_, err := source.Next(ctx, cells)
		fault, own := row.Own(err)
		switch {
		case errors.Is(err, io.EOF):
			return columns, rows, nil
		case fault != nil:
			return nil, nil, &making.Refusal{Field: "file", Message: fmt.Sprintf("Row %d of the file cannot be read: %v.", len(rows)+1, fault)}
		case own:
			continue
		case err != nil:
			return nil, nil, err
		case len(rows) == mostRead:
			return nil, nil, &making.Refusal{Field: "file", Message: fmt.Sprintf("The file has more than %d rows. Put it where the task reads its file, and run the task.", mostRead)}
		}
		texts := make([]string, len(cells))
		for i, cell := range cells {
			texts[i], _ = row.Text(cell)
		}
		rows = append(rows, texts)
	}
}
