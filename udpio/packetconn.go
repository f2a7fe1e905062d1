package udpio

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

const (
	readAhead   = 16      // how many datagrams one packetConn holds
	maxDatagram = 1 << 16 // in bytes; UDP cannot carry as much
	// how many reads may fail in a row; a pause follows each, and they get longer
	maxFailures = 16
)

// A packetConn is one of the net.PacketConns of a conns.
type packetConn struct {
	binding
	driver *conns
	conn   net.PacketConn
	udp    *net.UDPConn   // conn, if it is a *net.UDPConn
	peer   netip.AddrPort // the address that it is connected to, or zero
	free   chan *datagram
	done   chan struct{} // closed by close
	keep   bool          // Config.KeepOpen
	ended  chan struct{} // closed when read has ended
	closed atomic.Bool

	info     bool // the system sends control messages with the local address
	hasLocal bool // for Caps

	readBuffer, writeBuffer int // bytes that were granted; 0 if unknown

	// The rest belongs to the goroutine in WriteBatch: the last addresses, converted.
	to       netip.AddrPort
	toAddr   *net.UDPAddr
	from     netip.Addr
	fromInfo []byte // the control message for the source address
}

// A datagram is one that a packetConn read.
type datagram struct {
	from    *packetConn
	buf     []byte // the whole buffer
	n       int
	info    [128]byte // control messages
	message Message   // without Buf
}

// newPacketConn does not begin to read. The network is the argument of Listen, or "".
func newPacketConn(d *conns, c net.PacketConn, network string) *packetConn {
	p := &packetConn{driver: d, conn: c, free: make(chan *datagram, readAhead), done: make(chan struct{}), ended: make(chan struct{})}
	for range readAhead {
		p.free <- &datagram{from: p}
	}
	p.local = addrPort(c.LocalAddr())
	if c, ok := c.(interface{ RemoteAddr() net.Addr }); ok {
		p.peer = addrPort(c.RemoteAddr())
	}
	p.wildcard = !p.local.IsValid() || p.local.Addr().IsUnspecified()
	p.hasLocal = !p.wildcard
	p.no6 = p.local.Addr().Is4()
	p.no4 = p.local.Addr().Is6() && (!p.wildcard || network == "udp6")
	if udp, ok := c.(*net.UDPConn); ok {
		p.setUDP(udp)
	}
	return p
}

func (p *packetConn) setUDP(udp *net.UDPConn) {
	p.udp = udp
	if p.wildcard {
		var source []byte
		if p.no6 {
			p.info = ipv4.NewPacketConn(udp).SetControlMessage(ipv4.FlagDst, true) == nil
			source = sourceInfo(netip.AddrFrom4([4]byte{127, 0, 0, 1}))
		} else {
			p.info = ipv6.NewPacketConn(udp).SetControlMessage(ipv6.FlagDst, true) == nil
			source = sourceInfo(netip.IPv6Loopback())
		}
		// On a socket of both families, IPv4 source addresses are not portable.
		p.hasLocal = p.info && len(source) > 0 && (p.no4 || p.no6)
	}
	p.readBuffer = growBuffer(udp.SetReadBuffer, p.driver.cfg.ReadBuffer)
	p.writeBuffer = growBuffer(udp.SetWriteBuffer, p.driver.cfg.WriteBuffer)
}

// growBuffer returns the largest size up to want that set takes. Some systems refuse a size above
// their limit instead of reducing it.
func growBuffer(set func(int) error, want int) int {
	for size := want; size > 0 && size >= min(want, 64<<10); size -= size / 8 {
		if set(size) == nil {
			return size
		}
	}
	return 0
}

func (p *packetConn) warnBuffers() {
	cfg := &p.driver.cfg
	if p.readBuffer > 0 && p.readBuffer < cfg.ReadBuffer {
		cfg.warnBuffer("receive", cfg.ReadBuffer, p.readBuffer, "kern.ipc.maxsockbuf")
	}
	if p.writeBuffer > 0 && p.writeBuffer < cfg.WriteBuffer {
		cfg.warnBuffer("send", cfg.WriteBuffer, p.writeBuffer, "kern.ipc.maxsockbuf")
	}
}

func (p *packetConn) close() error {
	p.closed.Store(true)
	close(p.done)
	if p.keep {
		return p.letGo()
	}
	return p.conn.Close()
}

// letGo ends reading and leaves the connection as it was.
func (p *packetConn) letGo() error {
	if err := p.conn.SetReadDeadline(time.Unix(1, 0)); err != nil {
		return err
	}
	<-p.ended
	return p.conn.SetReadDeadline(time.Time{})
}

func (p *packetConn) isClosed() bool { return p.closed.Load() }

// read reads until p is closed or fails.
func (p *packetConn) read() {
	defer close(p.ended)
	failures := 0
	for {
		var g *datagram
		select {
		case g = <-p.free:
		case <-p.done:
			return
		}
		err := p.receive(g)
		switch {
		case p.isClosed():
			return
		case err == nil && g.message.Remote.IsValid():
			failures = 0
			select {
			case p.driver.ready <- g:
			case <-p.done:
				return
			}
			continue
		case err == nil: // the sender has no address to answer to
			p.free <- g
			continue
		case p.isFatal(err, failures):
			p.driver.fail(fmt.Errorf("udpio: read: %w", err))
			return
		}
		p.free <- g
		select {
		case <-time.After(time.Duration(failures) * time.Millisecond):
		case <-p.done:
			return
		}
		failures = min(failures+1, maxFailures)
	}
}

// isFatal reports whether to give up after an error and so many failures in a row. Errors of a UDP
// socket of the kernel may concern earlier sends, by ICMP messages, which anyone can cause: they
// are never a reason to give up.
func (p *packetConn) isFatal(err error, failures int) bool {
	return errors.Is(err, net.ErrClosed) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrClosedPipe) ||
		p.udp == nil && failures == maxFailures
}

func (p *packetConn) receive(g *datagram) (err error) {
	if g.buf == nil {
		g.buf = make([]byte, maxDatagram)
	}
	g.message = Message{Local: p.fixed()}
	var remote netip.AddrPort
	switch {
	case p.info:
		var n int
		g.n, n, _, remote, err = p.udp.ReadMsgUDPAddrPort(g.buf, g.info[:])
		if local := p.parse(g.info[:n]); local.IsValid() {
			g.message.Local = netip.AddrPortFrom(local, p.local.Port())
		}
	case p.udp != nil:
		g.n, remote, err = p.udp.ReadFromUDPAddrPort(g.buf)
	default:
		var from net.Addr
		if g.n, from, err = p.conn.ReadFrom(g.buf); err == nil {
			remote = addrPort(from)
		}
	}
	g.message.Remote = netip.AddrPortFrom(remote.Addr().Unmap(), remote.Port())
	if !remote.IsValid() {
		g.message.Remote = p.peer
	}
	return err
}

// parse returns the address that a datagram reached, or an invalid one.
func (p *packetConn) parse(info []byte) netip.Addr {
	if p.no6 {
		var cm ipv4.ControlMessage
		if cm.Parse(info) != nil {
			return netip.Addr{}
		}
		addr, _ := netip.AddrFromSlice(cm.Dst)
		return addr.Unmap()
	}
	var cm ipv6.ControlMessage
	if cm.Parse(info) != nil {
		return netip.Addr{}
	}
	addr, _ := netip.AddrFromSlice(cm.Dst)
	if addr.IsLinkLocalUnicast() && cm.IfIndex != 0 {
		if ifi, err := net.InterfaceByIndex(cm.IfIndex); err == nil {
			addr = addr.WithZone(ifi.Name)
		}
	}
	return addr.Unmap()
}

// moveTo copies g to m, and gives g back for reading. It reports false if m has no room.
func (g *datagram) moveTo(m *Message) bool {
	fits := g.n <= cap(m.Buf)
	if fits {
		b := m.Buf[:g.n]
		copy(b, g.buf)
		*m = g.message
		m.Buf = b
	}
	g.from.free <- g
	return fits
}

// write sends the datagrams of m, one by one.
func (p *packetConn) write(m *Message) error {
	size := m.SegmentSize
	if size <= 0 || size >= len(m.Buf) {
		return p.writeTo(m, m.Buf)
	}
	p.driver.fallbacks.Add(1)
	for b := m.Buf; len(b) > 0; b = b[min(size, len(b)):] {
		if err := p.writeTo(m, b[:min(size, len(b))]); err != nil {
			return err
		}
	}
	return nil
}

func (p *packetConn) writeTo(m *Message, b []byte) (err error) {
	switch {
	case p.udp != nil && p.peer.IsValid():
		_, err = p.udp.Write(b)
	case p.udp != nil:
		_, _, err = p.udp.WriteMsgUDPAddrPort(b, p.sourceInfo(m), m.Remote)
	default:
		if p.toAddr == nil || p.to != m.Remote {
			p.to, p.toAddr = m.Remote, net.UDPAddrFromAddrPort(m.Remote)
		}
		_, err = p.conn.WriteTo(b, p.toAddr)
	}
	return err
}

// sourceInfo returns the control message for the source address that m asks for.
func (p *packetConn) sourceInfo(m *Message) []byte {
	source := p.binding.source(m)
	if !p.info || !source.IsValid() || source.Is4() != p.no6 {
		return nil
	}
	if source != p.from {
		p.from, p.fromInfo = source, sourceInfo(source)
	}
	return p.fromInfo
}

func sourceInfo(addr netip.Addr) []byte {
	if addr.Is4() {
		return (&ipv4.ControlMessage{Src: addr.AsSlice()}).Marshal()
	}
	cm := ipv6.ControlMessage{Src: addr.AsSlice()}
	if zone := addr.Zone(); zone != "" {
		if ifi, err := net.InterfaceByName(zone); err == nil {
			cm.IfIndex = ifi.Index
		}
	}
	return cm.Marshal()
}
