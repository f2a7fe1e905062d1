//go:build !linux

// Command holb needs Linux.
package main

import (
	"errors"

	"github.com/lazoquic/lazo/examples/internal/usage"
)

func main() {
	usage.Exit("holb", errors.New("needs network namespaces and TUN devices, which Linux has"))
}
