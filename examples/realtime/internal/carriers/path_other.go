//go:build !linux

package carriers

import "errors"

func newTunnel(uint64) (tcpPath, error) { return nil, errors.ErrUnsupported }
