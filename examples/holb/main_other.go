//go:build !linux

// Command holb needs Linux.
package main

import "log"

func main() { log.Fatal("holb: needs network namespaces and TUN devices, which Linux has") }
