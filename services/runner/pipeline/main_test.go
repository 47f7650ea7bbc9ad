package pipeline_test

import (
	"testing"

	"runhook/services/runner/pipeline"
	"runhook/shared/proctest"
)

func TestMain(m *testing.M) {
	pipeline.KeepBatches()
	proctest.Main(m)
}
