package quic_test

import (
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/quic-go/quic-go/internal/leaks"
)

// TestMain has the tests end with what they began with.
func TestMain(m *testing.M) {
	code := m.Run()
	if err := errors.Join(leaks.Check(0, time.Minute), leaks.CheckHeap()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}
