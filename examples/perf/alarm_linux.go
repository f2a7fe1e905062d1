package main

import (
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// An alarm waits for a time exactly. Sleep of package time waits for whole milliseconds where a
// program has nothing else to do.
type alarm struct {
	f  *os.File
	rc syscall.RawConn
}

func newAlarm() (*alarm, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("timerfd_create", err)
	}
	a := &alarm{f: os.NewFile(uintptr(fd), "timerfd")}
	a.rc, err = a.f.SyscallConn()
	return a, err
}

// wait waits until t.
func (a *alarm) wait(t time.Time) error {
	d := time.Until(t)
	if d <= 0 {
		return nil
	}
	var err error
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(d))}
	if ctl := a.rc.Control(func(fd uintptr) { err = unix.TimerfdSettime(int(fd), 0, &spec, nil) }); ctl != nil {
		return ctl
	}
	if err != nil {
		return os.NewSyscallError("timerfd_settime", err)
	}
	var count [8]byte
	_, err = a.f.Read(count[:])
	return err
}

func (a *alarm) close() { a.f.Close() }
