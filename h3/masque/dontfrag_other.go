//go:build !linux && !darwin && !freebsd && !windows

package masque

import "syscall"

// dontFragment does nothing where the system has no option for it.
func dontFragment(_, _ string, _ syscall.RawConn) error { return nil }
