package pipeline_test

import (
	"testing"

	"runhook/shared/proctest"
)

func TestMain(m *testing.M) { proctest.Main(m) }
