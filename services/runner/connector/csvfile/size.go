package csvfile

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"

	"runhook/shared/plainfile"
	"runhook/shared/run"
)

// Size counts the rows below the header of the file that is there, 0 if none is.
func (d *Destination) Size(ctx context.Context) (rows int64, err error) {
	file, _, err := plainfile.OpenIn(d.root.Root, d.path, os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, d.explain(err)
	}
	defer file.Close()
	records := newReader(file, ',', largestRead)
	for rows = -1; ; rows++ {
		err := records.read()
		switch {
		case errors.Is(err, io.EOF):
			return max(0, rows), nil
		case err != nil && !errors.Is(err, errQuote):
			return 0, run.Failf("the rows of %s cannot be counted, which expect needs; look at the file", d.place)
		case ctx.Err() != nil:
			return 0, ctx.Err()
		}
	}
}
