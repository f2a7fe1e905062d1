//go:build !linux

package udpio

import (
	"errors"
	"fmt"
)

// Steer makes the kernel choose among sockets by destination connection ID. Only
// Linux can.
func (s *Socket) Steer(n int, k uint32, idLen int) error {
	return fmt.Errorf("udpio: steer: %w", errors.ErrUnsupported)
}
