//go:build !linux

package udpio

import "net"

// listen opens sockets that move one datagram a call, because package net can do no more.
func listen(network, address string, cfg Config, reusePort bool) (driver, error) {
	d := newConns(cfg)
	if _, err := d.addLocal(network, address, bindOptions{reusePort: reusePort}); err != nil {
		return nil, err
	}
	return d, nil
}

func adopt(c *net.UDPConn, cfg Config) (driver, error) { return wrapConn(c, cfg) }

func wrapUDP(c *net.UDPConn, cfg Config) (driver, error) { return wrapConn(c, cfg) }
