package recovery_test

import (
	"testing"

	"runhook/shared/bustest"
)

func TestMain(m *testing.M) { bustest.Main(m) }
