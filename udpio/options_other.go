//go:build !linux && !darwin && !freebsd && !windows

package udpio

import (
	"errors"
	"fmt"
	"syscall"
)

// beforeBind sets what a new socket must have before it is bound.
func beforeBind(_ string, _ syscall.RawConn, cfg *Config) error {
	if cfg.ReusePort {
		return fmt.Errorf("SO_REUSEPORT: %w", errors.ErrUnsupported)
	}
	return nil
}
