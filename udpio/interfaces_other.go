//go:build !linux

package udpio

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
)

// A hintSource is nothing here: there are no hints.
type hintSource struct{}

func (*hintSource) watch(context.Context, netip.Addr, func([]Interface)) error {
	return fmt.Errorf("udpio: watching interfaces: %w", errors.ErrUnsupported)
}

// bindToDevice does nothing: the address of the socket decides alone.
func bindToDevice(uintptr, string) error { return nil }
