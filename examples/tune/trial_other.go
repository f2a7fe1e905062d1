//go:build !linux

package main

// try tries nothing, because check works only on copies of files on this system.
func try(string) *offloads { return nil }
