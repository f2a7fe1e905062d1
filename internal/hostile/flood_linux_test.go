package hostile

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/ipv4"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/internal/keys"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/internal/wire"
)

// A crowd is a socket that sends from any number of addresses of 127.0.0.0/8. It counts what comes
// back.
type crowd struct {
	t      *testing.T
	c      *ipv4.PacketConn
	server net.Addr
	sent   map[netip.Addr]int // bytes

	mu       sync.Mutex
	answered map[netip.Addr]int
}

func newCrowd(t *testing.T, server netip.AddrPort) *crowd {
	pc, err := net.ListenPacket("udp4", "0.0.0.0:0")
	require.NoError(t, err)
	c := &crowd{
		t: t, c: ipv4.NewPacketConn(pc), server: net.UDPAddrFromAddrPort(server),
		sent: make(map[netip.Addr]int), answered: make(map[netip.Addr]int),
	}
	require.NoError(t, c.c.SetControlMessage(ipv4.FlagDst, true))
	go c.read()
	t.Cleanup(func() { pc.Close() })
	return c
}

// read counts answers by the address to which they went.
func (c *crowd) read() {
	buf := make([]byte, 65535)
	for {
		n, cm, _, err := c.c.ReadFrom(buf)
		if err != nil {
			return
		}
		addr, _ := netip.AddrFromSlice(cm.Dst.To4())
		c.mu.Lock()
		c.answered[addr] += n
		c.mu.Unlock()
	}
}

// write sends a datagram from the nth address.
func (c *crowd) write(b []byte, n int) {
	addr := netip.AddrFrom4([4]byte{127, byte(1 + n>>16), byte(n >> 8), byte(n)})
	_, err := c.c.WriteTo(b, &ipv4.ControlMessage{Src: addr.AsSlice()}, c.server)
	require.NoError(c.t, err)
	c.sent[addr] += len(b)
}

// amplified fails if an address got more than three times what it sent (RFC 9000, Section 8.1).
func (c *crowd) amplified() (sent, answered int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for addr, n := range c.answered {
		require.LessOrEqual(c.t, n, 3*c.sent[addr], addr.String())
		answered += n
	}
	for _, n := range c.sent {
		sent += n
	}
	return sent, answered
}

// A visitor is an honest client that asks for the page again and again, on a new connection each
// time.
type visitor struct {
	stop    chan struct{}
	done    chan error
	pages   int
	again   int // connections that did not come about
	slowest time.Duration
}

func visit(addr netip.AddrPort) *visitor {
	v := &visitor{stop: make(chan struct{}), done: make(chan error, 1)}
	go func() {
		for {
			began := time.Now()
			// A handshake that the server has given up for lost packets begins again, for up to a
			// minute.
			err := getPage(addr)
			for ; err != nil && time.Since(began) < time.Minute; err = getPage(addr) {
				v.again++
			}
			if err != nil {
				v.done <- err
				return
			}
			v.pages++
			v.slowest = max(v.slowest, time.Since(began))
			select {
			case <-v.stop:
				v.done <- nil
				return
			default:
			}
		}
	}()
	return v
}

func getPage(addr netip.AddrPort) error {
	tr := &h3http.Transport{
		TLSClientConfig: conntest.ClientTLS(),
		QUICConfig:      &conn.Config{HandshakeTimeout: time.Minute, InitialRTT: 50 * time.Millisecond},
	}
	defer tr.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", "https://"+addr.String()+"/", nil)
	if err != nil {
		return err
	}
	res, err := tr.RoundTrip(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err == nil && string(b) != page {
		return io.ErrUnexpectedEOF
	}
	return err
}

// leave ends the visits. Each of them must have got its page.
func (v *visitor) leave(t *testing.T) {
	close(v.stop)
	require.NoError(t, <-v.done)
	t.Logf("an honest client got its page %d times, with %d attempts more; the slowest visit took %v", v.pages, v.again, v.slowest)
	require.Positive(t, v.pages)
}

// TestFloodOfGarbage: datagrams of no connection cost no memory, and get less than they are.
func TestFloodOfGarbage(t *testing.T) {
	s := newRealServer(t, nil)
	before := s.held()
	c := newCrowd(t, s.g.LocalAddr())
	v := visit(s.g.LocalAddr())
	b := make([]byte, minDatagram)
	for i := range 30_000 {
		for j := range 16 {
			b[j] = byte(i * (2*j + 1) >> (j % 8)) // first bytes, versions and lengths of all kinds
		}
		c.write(b[:20+i%(len(b)-20)], i%5000)
	}
	v.leave(t)
	sent, answered := c.amplified()
	t.Logf("%d bytes in answer to %d", answered, sent)
	require.Less(t, answered, sent)
	s.rest(t, before)
}

// TestFloodOfInitials: Initials of 10,000 addresses that never answer, or of LAZO_FLOOD. Beyond
// 1,024 handshakes the server keeps nothing for them, but asks them to prove their address.
func TestFloodOfInitials(t *testing.T) {
	addresses := 10_000
	if n := os.Getenv("LAZO_FLOOD"); n != "" {
		var err error
		addresses, err = strconv.Atoi(n)
		require.NoError(t, err)
	}
	const handshakes = 1024
	s := newRealServer(t, nil)
	before := s.held()
	c := newCrowd(t, s.g.LocalAddr())
	p := hello(t, s)
	v := visit(s.g.LocalAddr())
	most := int64(0)
	for i := 0; i < addresses || s.g.Stats().Retries == 0 && i < 10*addresses; i++ {
		id := binary.BigEndian.AppendUint64(nil, uint64(i)<<8)
		p.dcid = string(id)
		p.tx[initial], _ = keys.Initial(wire.Version1, id)
		c.write(p.packetNumbered(initial, 0, p.keep[0].frame), i)
		if i%1000 == 0 {
			most = max(most, s.held()) // waits for the loop, too
		}
	}
	v.leave(t)
	most = max(most, s.held())
	st := s.g.Stats()
	sent, answered := c.amplified()
	t.Logf("%d bytes held, %d Retry, %d accepted, %d bytes in answer to %d", most, st.Retries, st.Accepted, answered, sent)
	require.Positive(t, st.Retries)
	require.LessOrEqual(t, most-before, int64(handshakes+200)*(80<<10))
	s.rest(t, before) // within the time for a handshake
}
