//go:build !linux

// Command cost needs Linux.
package main

import (
	"errors"

	"github.com/lazoquic/lazo/examples/internal/usage"
)

func main() {
	usage.Exit("cost", errors.New("needs network namespaces and TUN devices, which Linux has"))
}
