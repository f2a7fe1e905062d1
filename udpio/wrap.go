package udpio

import (
	"net"
	"time"
)

// Wrap takes over c. If c is a [net.UDPConn], made for example by net.ListenConfig with a Control
// function, Caps are those of UDP sockets. Any other c, such as one of a userspace stack or a
// relay, moves one datagram at a time, and WriteBatch blocks where its WriteTo does. A goroutine
// reads from it until it is closed.
//
// c may be connected. Closing the Socket closes it, unless cfg.KeepOpen is set.
func Wrap(c net.PacketConn, cfg *Config) (*Socket, error) {
	conf := cfg.withDefaults()
	c.SetDeadline(time.Time{}) // a deadline that was left would make all later calls fail
	var d driver
	var err error
	if udp, ok := c.(*net.UDPConn); ok {
		d, err = wrapUDP(udp, conf)
	} else {
		d, err = wrapConn(c, conf)
	}
	if err != nil {
		return nil, err
	}
	return &Socket{d, conf.ReusePort}, nil
}

func wrapConn(c net.PacketConn, cfg Config) (driver, error) {
	d := newConns(cfg)
	p := newPacketConn(d, c, "")
	p.keep = cfg.KeepOpen
	return d, d.add(p)
}
