package hostile

import (
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"
	"testing"

	"golang.org/x/net/ipv4"

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

// close closes the socket, and forgets what was counted.
func (c *crowd) close() {
	c.c.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sent, c.answered = make(map[netip.Addr]int), make(map[netip.Addr]int)
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

// footprint returns how much memory the heap and the stacks of the process have of the system when
// all that can be given back was given back, in bytes.
func footprint() int64 {
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapSys - m.HeapReleased + m.StackSys)
}

// footprintSlack is how much more that may be after a flood, beside a quarter of what the flood
// took: spans that are not empty, and stacks that the runtime keeps.
const footprintSlack = 8 << 20

// TestFloodOfGarbage: datagrams of no connection cost no memory, and get less than they are.
func TestFloodOfGarbage(t *testing.T) {
	s := newRealServer(t, nil)
	before := s.held()
	c := newCrowd(t, s.g.LocalAddr())
	endure(t, s, func(more func() bool) {
		b := make([]byte, minDatagram)
		for i := 0; i < 30_000 || more(); i++ {
			for j := range 16 { // first bytes, versions and lengths of all kinds
				b[j] = byte(i * (2*j + 1) >> (j % 8))
			}
			c.write(b[:20+i%(len(b)-20)], i%5000)
		}
	})
	sent, answered := c.amplified()
	t.Logf("%d bytes in answer to %d", answered, sent)
	require.Less(t, answered, sent)
	s.rest(t, before)
}

// TestFloodOfInitials: Initials of 10,000 addresses that never answer, or of LAZO_FLOOD. Beyond
// 1,024 handshakes the server keeps nothing for them, but asks them to prove their address. When
// they have timed out, the memory is the system's again.
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
	require.NoError(t, getPage(s.g.LocalAddr())) // what is made once is there
	s.rest(t, before)
	had := footprint()
	most, peak := int64(0), int64(0)
	c := newCrowd(t, s.g.LocalAddr())
	p := hello(t, s)
	endure(t, s, func(more func() bool) {
		for i := 0; i < addresses || (more() || s.g.Stats().Retries == 0) && i < 10*addresses; i++ {
			id := binary.BigEndian.AppendUint64(nil, uint64(i)<<8)
			p.dcid = string(id)
			p.tx[initial], _ = keys.Initial(wire.Version1, id)
			c.write(p.packetNumbered(initial, 0, p.keep[0].frame), i)
			if i%1000 == 0 {
				most = max(most, s.held()) // waits for the loop, too
			}
			if peak == 0 && i%100 == 0 && s.g.Stats().Retries > 0 { // no handshake more has room
				peak = footprint()
			}
		}
		if peak == 0 { // the server, which has little time, came to that just now
			peak = footprint()
		}
	})
	most = max(most, s.held())
	st := s.g.Stats()
	sent, answered := c.amplified()
	t.Logf("%d bytes held, %d Retry, %d accepted, %d bytes in answer to %d", most, st.Retries, st.Accepted, answered, sent)
	require.Positive(t, st.Retries)
	require.LessOrEqual(t, most-before, int64(handshakes+200)*(80<<10))
	s.rest(t, before) // within the time for a handshake
	c.close()
	now := footprint()
	t.Logf("the process has %d KiB of the system: %d KiB in the flood, %d KiB before", now>>10, peak>>10, had>>10)
	require.Greater(t, peak, had+footprintSlack, "the flood took no memory: nothing is shown")
	require.LessOrEqual(t, now, had+(peak-had)/4+footprintSlack, "memory is not given back")
}
