package quic_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/quic-go/quic-go/internal/leaks"
)

// TestMain has the tests end with what they began with.
func TestMain(m *testing.M) {
	code := m.Run()
	if err := leaks.Check(0); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}
