//go:build !unix

package main

import (
	"errors"
	"os"
	"syscall"
)

// cpuTime is not known here.
func cpuTime() (user, sys float64) { return 0, 0 }

// gcSignal stands for a signal that this system does not have.
const gcSignal = syscall.Signal(0x7f)

func signalGC(int) error { return errors.ErrUnsupported }

var _ os.Signal = gcSignal
