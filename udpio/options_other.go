//go:build !linux && !darwin && !freebsd && !windows

package udpio

import (
	"errors"
	"fmt"
	"syscall"
)

// beforeBind sets the options that a new socket must have before it is bound.
func (o bindOptions) beforeBind(string, syscall.RawConn) error {
	if o.reusePort {
		return setReusePort(0)
	}
	return nil
}

func setReusePort(uintptr) error { return fmt.Errorf("SO_REUSEPORT: %w", errors.ErrUnsupported) }

// dontFragment does nothing: there is no option for it.
func dontFragment(uintptr, bool) {}
