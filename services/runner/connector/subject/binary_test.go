package subject_test

import (
	"context"
	"fmt"
	"testing"

	"runhook/services/runner/connector/subject"
	"runhook/services/runner/row"
	"runhook/shared/task"
)

func TestBinaryValuesArePublishedInBase64(t *testing.T) {
	var published []string
	publish := func(_ context.Context, _ string, _ []string, messages [][]byte) (map[int]string, error) {
		for _, message := range messages {
			published = append(published, string(message))
		}
		return nil, nil
	}
	d, err := subject.Open(&task.NATSDestination{Subject: "a"}, publish, "task.7", []string{"id"})
	if err != nil {
		t.Fatal(err)
	}
	batch := row.NewBatch(1)
	for i, value := range [][]byte{{0xa8, 0xff}, {0xa9, 0xff}, {}} {
		batch.Add(int64(i + 1)).Values[0] = value
	}
	if err := d.Write(t.Context(), batch, func(int64) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(published), `[{"id":"qP8="} {"id":"qf8="} {"id":""}]`; got != want {
		t.Errorf("published %s, want %s", got, want)
	}
}
