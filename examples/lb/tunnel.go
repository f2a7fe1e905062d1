package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"

	"github.com/lazoquic/lazo/udpio"
)

// A tunnel sends each packet to the backend as the client has sent it, inside another IP packet
// (RFC 2003; RFC 4213; RFC 2473). The backend has the balancer's address, too, and answers the
// client directly. So backends learn the clients' addresses, and replies do not pass here. A packet
// grows by 20 or 40 bytes, and what does not fit any more is lost, as on any link.
type tunnel struct{ ways [2][2]way } // by IP version of the outer and of the inner header

// A way is a raw socket with the packets that wait for flush.
type way struct {
	conn    *net.IPConn
	batcher batcher
	packets []ipv4.Message // an ipv6.Message is the same type
	n       int
}

// A batcher sends several packets with one system call. It is an *ipv4.PacketConn or an
// *ipv6.PacketConn.
type batcher interface {
	WriteBatch(ms []ipv4.Message, flags int) (int, error)
}

// newTunnel opens the sockets.
func newTunnel() (_ *tunnel, err error) {
	t := new(tunnel)
	for outer, ip := range [2]string{"ip4", "ip6"} {
		for inner, proto := range [2]string{"4", "41"} {
			c, err := net.ListenIP(ip+":"+proto, nil)
			if errors.Is(err, fs.ErrPermission) {
				err = fmt.Errorf("mode ipip needs root or CAP_NET_RAW: %w", err)
			}
			if outer == 1 && err != nil && !errors.Is(err, fs.ErrPermission) {
				continue // no IPv6 here, and so no backends with it
			}
			if err != nil {
				t.close()
				return nil, err
			}
			c.SetReadBuffer(0) // nobody reads from it
			w := &t.ways[outer][inner]
			w.conn = c
			if outer == 0 {
				w.batcher = ipv4.NewPacketConn(c)
			} else {
				w.batcher = ipv6.NewPacketConn(c)
			}
		}
	}
	return t, nil
}

// version returns the index of an address family.
func version(a netip.Addr) int {
	if a.Is6() {
		return 1
	}
	return 0
}

// send implements outlet.
func (t *tunnel) send(f *forwarder, fl *flow, m udpio.Message) error {
	if fl.local.Addr().BitLen() != fl.client.Addr().BitLen() {
		return errors.New("the system does not tell the address that a packet was sent to")
	}
	size := m.SegmentSize
	if size == 0 {
		size = max(len(m.Buf), 1)
	}
	w := &t.ways[version(fl.backend.addr.Addr())][version(fl.client.Addr())]
	if w.conn == nil {
		return errors.New("no IPv6 here")
	}
	for off := 0; off == 0 || off < len(m.Buf); off += size {
		datagram := m.Buf[off:min(off+size, len(m.Buf))]
		p := w.next(fl.backend)
		p.Buffers[0] = appendUDP(p.Buffers[0][:0], fl.client, fl.local, m.ECN, datagram)
		p.Buffers[1] = datagram
	}
	return nil
}

// next returns a packet to fill in.
func (w *way) next(to *backend) *ipv4.Message {
	if w.n == len(w.packets) {
		w.packets = append(w.packets, ipv4.Message{
			Buffers: [][]byte{make([]byte, 0, ipv6Len+udpLen), nil}, Addr: new(net.IPAddr),
		})
	}
	p := &w.packets[w.n]
	w.n++
	a := p.Addr.(*net.IPAddr)
	addr := to.addr.Addr()
	if addr.Is6() {
		b := addr.As16()
		a.IP = append(a.IP[:0], b[:]...)
	} else {
		b := addr.As4()
		a.IP = append(a.IP[:0], b[:]...)
	}
	a.Zone = addr.Zone()
	return p
}

// flush implements outlet. What cannot be sent is dropped.
func (t *tunnel) flush(f *forwarder) {
	for outer := range t.ways {
		for inner := range t.ways[outer] {
			w := &t.ways[outer][inner]
			for ms := w.packets[:w.n]; len(ms) > 0; {
				n, err := w.batcher.WriteBatch(ms, 0)
				ms = ms[max(n, 0):]
				if err != nil && len(ms) > 0 {
					f.dropped.Add(1)
					ms = ms[1:]
				}
			}
			w.n = 0
		}
	}
}

// tooBig implements outlet. The backend has sent the packet to the client, and so it should have
// got the message, but the router's answer went to the address that the balancer has, too.
func (t *tunnel) tooBig(f *forwarder, fl *flow, from netip.Addr, mtu int, beginning []byte) {
	if from.BitLen() != fl.local.Addr().BitLen() {
		from = fl.local.Addr()
	}
	w := &t.ways[version(fl.backend.addr.Addr())][version(fl.client.Addr())]
	p := w.next(fl.backend)
	p.Buffers[0], p.Buffers[1] = tooBig(from, fl.local, fl.client, mtu, beginning), nil
}

// close implements outlet.
func (t *tunnel) close() {
	for _, ways := range t.ways {
		for _, w := range ways {
			if w.conn != nil {
				w.conn.Close()
			}
		}
	}
}
