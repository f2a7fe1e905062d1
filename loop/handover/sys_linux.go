package handover

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

func supported() error { return nil }

// rights returns the control message with copies of descriptors.
func rights(fds []int) []byte {
	if len(fds) == 0 {
		return nil
	}
	return unix.UnixRights(fds...)
}

// rightsSpace returns the length of the control message with n descriptors.
func rightsSpace(n int) int { return unix.CmsgSpace(4 * n) }

// cutOff reports whether a message, or its control message, was longer than the room for it.
func cutOff(flags int) bool { return flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 }

// filesOf returns the descriptors of control messages. package net has set CLOEXEC.
func filesOf(oob []byte) (files []*os.File, err error) {
	if len(oob) == 0 {
		return nil, nil
	}
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, err
	}
	for i := range messages {
		fds, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			continue // credentials, for example
		}
		for _, fd := range fds {
			files = append(files, os.NewFile(uintptr(fd), "handover"))
		}
	}
	return files, nil
}

// keepOthersOut sets the mode of a socket, and of the file that it is bound to later, so that only
// its user may connect.
func keepOthersOut(_, _ string, rc syscall.RawConn) error {
	var modeErr error
	err := rc.Control(func(fd uintptr) { modeErr = unix.Fchmod(int(fd), 0o600) })
	return errors.Join(err, modeErr)
}

// checkPeer fails if the other process is neither of the same user nor of root.
func checkPeer(u *net.UnixConn) error {
	rc, err := u.SyscallConn()
	if err != nil {
		return fmt.Errorf("handover: %w", err)
	}
	var cred *unix.Ucred
	var optErr error
	err = rc.Control(func(fd uintptr) {
		cred, optErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err = errors.Join(err, optErr); err != nil {
		return fmt.Errorf("handover: %w", err)
	}
	if cred.Uid != 0 && int(cred.Uid) != os.Geteuid() {
		return fmt.Errorf("handover: the other process is of user %d", cred.Uid)
	}
	return nil
}

// pair returns two sockets that are connected to each other, and end together.
func pair() (ours, theirs *net.UnixConn, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("handover: socketpair: %w", err)
	}
	for _, fd := range fds {
		const room = 4 << 20
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, room) != nil {
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, room)
		}
	}
	if ours, err = unixConn(os.NewFile(uintptr(fds[0]), "handover")); err != nil {
		unix.Close(fds[1])
		return nil, nil, err
	}
	if theirs, err = unixConn(os.NewFile(uintptr(fds[1]), "handover")); err != nil {
		ours.Close()
	}
	return ours, theirs, err
}

// copyOf returns another descriptor of a socket.
func copyOf(rc syscall.RawConn) (f *os.File, err error) {
	var dupErr error
	err = rc.Control(func(fd uintptr) {
		var dup int
		if dup, dupErr = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0); dupErr == nil {
			f = os.NewFile(uintptr(dup), "udp")
		}
	})
	if err = errors.Join(err, dupErr); err != nil {
		return nil, fmt.Errorf("handover: %w", err)
	}
	return f, nil
}

// sendNow sends a message if there is room for it.
func sendNow(fd uintptr, message []byte) error {
	return unix.Sendto(int(fd), message, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, nil)
}
