package sandbox

import (
	"os"
	"testing"
)

func TestMain(m *testing.M) {
	if Main(os.Args[1:]) {
		return
	}
	os.Exit(m.Run())
}
