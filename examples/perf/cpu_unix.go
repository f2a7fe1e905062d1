//go:build unix

package main

import (
	"os"
	"syscall"
)

// cpuTime returns the CPU seconds of the process, in user mode and in the kernel.
func cpuTime() (user, sys float64) {
	var r syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &r) != nil {
		return 0, 0
	}
	seconds := func(t syscall.Timeval) float64 { return float64(t.Sec) + float64(t.Usec)*1e-6 }
	return seconds(r.Utime), seconds(r.Stime)
}

// gcSignal asks a server to collect garbage and give memory back.
const gcSignal = syscall.SIGUSR1

// signalGC sends gcSignal to a process.
func signalGC(pid int) error {
	p, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	return p.Signal(gcSignal)
}
