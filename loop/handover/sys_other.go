//go:build !linux

package handover

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
)

// Only Linux has all that this package needs: descriptors over SOCK_SEQPACKET, the user of the
// other process, and sockets that one process leaves unread. Open fails elsewhere, so nothing else
// is called.
func supported() error { return fmt.Errorf("handover: %w", errors.ErrUnsupported) }

func rights([]int) []byte                                { return nil }
func rightsSpace(int) int                                { return 0 }
func cutOff(int) bool                                    { return false }
func filesOf([]byte) ([]*os.File, error)                 { return nil, supported() }
func keepOthersOut(_, _ string, _ syscall.RawConn) error { return supported() }
func checkPeer(*net.UnixConn) error                      { return supported() }
func pair() (ours, theirs *net.UnixConn, err error)      { return nil, nil, supported() }
func copyOf(syscall.RawConn) (*os.File, error)           { return nil, supported() }
func sendNow(uintptr, []byte) error                      { return supported() }
