package draft

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"runhook/services/runner/connection"
	"runhook/services/runner/connector"
	"runhook/services/runner/connector/csvfile"
	"runhook/shared/plainfile"
	"runhook/shared/task"
)

// fromCSV reads the header of the file, whose delimiter and encoding it finds out.
func (d *Draft) fromCSV(ctx context.Context, w Wish) (base string, err error) {
	absolute, err := filepath.Abs(w.CSV)
	if err != nil {
		return "", fmt.Errorf("--from-csv: %w", err)
	}
	if info, err := os.Stat(absolute); err != nil {
		return "", fmt.Errorf("--from-csv: %w", err)
	} else if info.IsDir() {
		return "", fmt.Errorf("--from-csv %s is a folder; name the file", w.CSV)
	}
	name, path, covered := w.Connections.Covering(absolute)
	reading := w.Connections
	if !covered {
		name, path = w.spare("files"), filepath.Base(absolute)
		folder := folderLine(name, absolute)
		d.Missing = append(d.Missing, folder)
		if reading, err = connection.Parse([]byte(folder), "connections.yaml"); err != nil {
			return "", err
		}
	}
	source := &task.CSVSource{Connection: name, Path: path, HeaderRow: w.HeaderRow}
	if isPlain := !source.IsWorkbook() && !strings.EqualFold(filepath.Ext(path), ".gz"); isPlain {
		if source.Delimiter, source.Encoding, err = sniff(absolute, w.HeaderRow); err != nil {
			return "", fmt.Errorf("--from-csv: %w", err)
		}
	}
	d.Source = source
	if err := d.takeColumns(ctx, w, reading); err != nil {
		return "", fmt.Errorf("--from-csv %s: %w", w.CSV, err)
	}
	base = strings.TrimSuffix(filepath.Base(path), ".gz")
	return strings.TrimSuffix(base, filepath.Ext(base)), nil
}

// ColumnsOf are the columns of a CSV file or a workbook.
func ColumnsOf(ctx context.Context, kinds connector.Kinds, file string) ([]string, error) {
	var d Draft
	_, err := d.fromCSV(ctx, Wish{Kinds: kinds, CSV: file})
	return d.Columns, err
}

// sniff finds out the delimiter of a CSV file, from the line of its header, and the encoding, from its
// beginning: "" for UTF-8 and what a byte order mark says.
func sniff(path string, headerRow int) (delimiter rune, encoding string, err error) {
	file, _, err := plainfile.Open(path)
	if err != nil {
		return 0, "", err
	}
	defer file.Close()
	beginning := make([]byte, 1<<20)
	n, err := io.ReadFull(file, beginning)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return 0, "", err
	}
	beginning = beginning[:n]
	if info, err := file.Stat(); err == nil && csvfile.Tell(file, info.Size()).Workbook {
		return 0, "", nil
	}
	if bytes.HasPrefix(beginning, []byte{0xff, 0xfe}) || bytes.HasPrefix(beginning, []byte{0xfe, 0xff}) {
		return 0, "", nil // UTF-16 by its mark
	}
	for cut := 0; cut < utf8.UTFMax && n == cap(beginning) && !utf8.Valid(beginning); cut++ {
		beginning = beginning[:len(beginning)-1] // it may end inside a letter
	}
	if !utf8.Valid(beginning) {
		encoding = "windows-1252"
	}
	header, below, _ := bytes.Cut(beginning, []byte("\n"))
	for line := 1; line < headerRow; line++ {
		header, below, _ = bytes.Cut(below, []byte("\n"))
	}
	most := 0
	for _, candidate := range ",;\t|" {
		if count := bytes.Count(header, []byte(string(candidate))); count > most {
			delimiter, most = candidate, count
		}
	}
	return delimiter, encoding, nil
}
