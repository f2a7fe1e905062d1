package quic

import (
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/lazoquic/lazo/conn"

	"github.com/quic-go/quic-go/internal/protocol"
)

// addrPort returns the IP address and the port of an address.
func addrPort(a net.Addr) (netip.AddrPort, error) {
	if u, ok := a.(*net.UDPAddr); ok && u != nil {
		return u.AddrPort(), nil
	}
	if a == nil {
		return netip.AddrPort{}, errors.New("quic: no address")
	}
	to, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return to, fmt.Errorf("quic: an address must have the form of IP address and port: %w", err)
	}
	return to, nil
}

// withServerName returns a copy of c with the name of the server: host, or else the address.
func withServerName(c *tls.Config, addr net.Addr, host string) *tls.Config {
	c = c.Clone()
	if c.ServerName != "" {
		return c
	}
	if host == "" {
		host = addr.String()
	}
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	c.ServerName = host
	return c
}

// connIDs has a ConnectionIDGenerator make the IDs of an endpoint. Only the loop's goroutine uses
// it.
type connIDs struct {
	gen ConnectionIDGenerator
	err error // of the last ID
}

func newConnIDs(gen ConnectionIDGenerator, n int) *connIDs {
	if gen == nil {
		gen = drawnIDs(n)
	}
	return &connIDs{gen: gen}
}

// Generate is part of conn.ConnIDSource.
func (s *connIDs) Generate(b *[20]byte) int {
	id, err := s.gen.GenerateConnectionID()
	if err == nil && id.Len() != s.gen.ConnectionIDLen() {
		err = fmt.Errorf("quic: a connection ID of %d bytes in place of %d", id.Len(), s.gen.ConnectionIDLen())
	}
	if err != nil {
		s.err = err
		return 0
	}
	return copy(b[:], id.Bytes())
}

// Len is part of conn.ConnIDSource.
func (s *connIDs) Len([]byte) int { return s.gen.ConnectionIDLen() }

// drawnIDs draws IDs at random, of as many bytes as its value.
type drawnIDs int

func (n drawnIDs) GenerateConnectionID() (ConnectionID, error) {
	b := make([]byte, n)
	rand.Read(b)
	return protocol.ParseConnectionID(b), nil
}

func (n drawnIDs) ConnectionIDLen() int { return int(n) }

const maxStrangers = 32

// strangers holds packets for ReadNonQUICPacket, which are not QUIC packets.
type strangers struct {
	wanted  atomic.Bool
	packets chan packet
}

type packet struct {
	b    []byte
	from netip.AddrPort
}

// receive is conn.EndpointConfig.NonQUIC.
func (s *strangers) receive(_ time.Time, d conn.Datagram) {
	if !s.wanted.Load() || len(d.Data) == 0 || d.Data[0]&0xc0 != 0 {
		return
	}
	select {
	case s.packets <- packet{append([]byte(nil), d.Data...), d.Remote}:
	default:
	}
}

// allowIncrease returns a hook for Lazo that calls the hook of cfg. It returns nil if cfg has none.
// of returns the Conn of this package.
func allowIncrease(cfg *Config, of func(*conn.Conn) *Conn) func(*conn.Conn, int64) bool {
	allow := cfg.AllowConnectionWindowIncrease
	if allow == nil {
		return nil
	}
	return func(cc *conn.Conn, delta int64) bool {
		c := of(cc)
		return c == nil || allow(c, uint64(delta))
	}
}
