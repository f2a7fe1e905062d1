//go:build !linux

package main

// try tries nothing: check refuses to look at such a machine.
func try(string) *offloads { return nil }
