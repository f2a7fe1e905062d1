//go:build !linux

package main

import "time"

// An alarm waits for a time.
type alarm struct{}

func newAlarm() (*alarm, error) { return new(alarm), nil }

// wait waits until t.
func (*alarm) wait(t time.Time) error {
	time.Sleep(time.Until(t))
	return nil
}

func (*alarm) close() {}
