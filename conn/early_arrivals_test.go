package conn

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/keys"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/internal/wire"
)

// earlyFlight returns a server, and the first flight of a client that has sent it n bytes as early
// data. The first datagram holds the Initial.
func earlyFlight(t *testing.T, n int) (tc *testConn, flight []seenDatagram) {
	t.Helper()
	tc, c := resumed(t, true)
	s, err := c.OpenStream(Uni)
	tc.must(err)
	s.Write(make([]byte, n))
	flight = drainEndpoint(tc.peerE, tc.now, tc.buf)
	for i, d := range flight {
		h, ok := wire.ParseLong(d.data)
		require.True(t, ok)
		require.Equal(t, i == 0, h.Type == wire.TypeInitial)
	}
	return tc, flight
}

// arrive delivers a datagram of the client to the server.
func (tc *testConn) arrive(d seenDatagram) {
	tc.t.Helper()
	tc.e.Receive(tc.now, Datagram{Data: append([]byte(nil), d.data...), Remote: tc.peerAddr, Local: tc.addr})
	tc.must(tc.e.CheckMemory())
}

// TestEarlyArrivals: 0-RTT packets overtake the Initial of their connection. Nothing of them has to
// be sent again (RFC 9000, Section 5.2.2).
func TestEarlyArrivals(t *testing.T) {
	const n = 8000
	tc, flight := earlyFlight(t, n)
	for _, d := range flight[1:] {
		tc.arrive(d)
	}
	kept := tc.e.Stats().EarlyPacketsKept
	require.Equal(t, uint64(len(flight)-1), kept)
	tc.advance(earlyTime - time.Millisecond)
	tc.arrive(flight[0])
	require.True(t, tc.e.first != nil)
	s := tc.e.first.streams.all[2]
	require.True(t, s != nil)
	require.Equal(t, n, s.in.Ready())
	require.Zero(t, len(tc.e.early.list))
	require.Zero(t, tc.e.early.held)
	require.Zero(t, tc.e.Stats().DroppedUnroutable)
}

// TestEarlyArrivalsAge: what came too long before the Initial is gone, whether a timer ran or not.
func TestEarlyArrivalsAge(t *testing.T) {
	for _, timer := range []bool{false, true} {
		tc, flight := earlyFlight(t, 8000)
		for _, d := range flight[1:] {
			tc.arrive(d)
		}
		tc.now = tc.now.Add(earlyTime)
		if timer {
			require.False(t, tc.e.Timeout().After(tc.now))
			tc.e.HandleTimeout(tc.now)
			tc.must(tc.e.CheckMemory())
			require.Zero(t, tc.e.early.held)
			require.Zero(t, tc.e.timers.Len()-timersOf(tc.e))
		}
		tc.arrive(flight[0])
		require.Equal(t, uint64(1+earlyPackets(flight[:1])), tc.e.first.stats.PacketsReceived)
		require.Equal(t, uint64(len(flight)-1), tc.e.Stats().DroppedUnroutable)
	}
}

// timersOf counts the connections that have a deadline, and those that have closed.
func timersOf(e *Endpoint) (n int) {
	for c := e.first; c != nil; c = c.next {
		if _, ok := c.timer.Deadline(); ok {
			n++
		}
	}
	for cc := e.lingering.First(); cc != nil; cc = cc.lingers.Next() {
		n++
	}
	return n
}

func earlyPackets(out []seenDatagram) int {
	n, _ := packetTypes(out)
	return n
}

// TestEarlyArrivalsElsewhere: packets of another address than that of the Initial are not those of
// its client.
func TestEarlyArrivalsElsewhere(t *testing.T) {
	tc, flight := earlyFlight(t, 8000)
	tc.e.Receive(tc.now, Datagram{Data: append([]byte(nil), flight[1].data...), Remote: elsewhere(1), Local: tc.addr})
	tc.arrive(flight[2])
	require.Equal(t, uint64(1), tc.e.Stats().EarlyPacketsKept)
	tc.arrive(flight[0])
	require.Equal(t, uint64(1+earlyPackets(flight[:1])), tc.e.first.stats.PacketsReceived)
}

// earlyFlooder sends 0-RTT packets that nobody can open to a server alone.
type earlyFlooder struct {
	*lone
	n int
}

func newEarlyFlooder(t *testing.T, edit func(*EndpointConfig)) *earlyFlooder {
	l, _ := newLoneServer(t, func(c *EndpointConfig) {
		c.Server.Enable0RTT = true
		if edit != nil {
			edit(c)
		}
	})
	return &earlyFlooder{lone: l}
}

// send sends a packet to a connection ID, and reports whether it is kept.
func (f *earlyFlooder) send(id int, from netip.AddrPort, size int) bool {
	f.t.Helper()
	dcid := fmt.Sprintf("%08d", id)
	tx, _ := keys.Initial(Version1, []byte(dcid))
	f.n++
	b := rawPacket{typ: wire.Type0RTT, dcid: dcid, scid: "c", pn: uint64(f.n), tx: tx, size: size, frames: []frame{pingFrame()}}.seal()
	before := f.Stats()
	if out := f.feed(b, from); len(out) != 0 || f.first != nil {
		f.t.Fatalf("%d datagrams answer", len(out))
	}
	if err := f.CheckMemory(); err != nil {
		f.t.Fatal(err)
	}
	s := f.Stats()
	kept := s.EarlyPacketsKept > before.EarlyPacketsKept
	require.Equal(f.t, !kept, s.DroppedUnroutable > before.DroppedUnroutable)
	return kept
}

// TestEarlyArrivalFlood: however many 0-RTT packets come for connections that are not there, few
// are kept, and one host does not keep out others, nor push out what they have sent.
func TestEarlyArrivalFlood(t *testing.T) {
	host := func(n, port int) netip.AddrPort { return netip.AddrPortFrom(elsewhere(n).Addr(), uint16(port)) }
	t.Run("one connection ID", func(t *testing.T) {
		f := newEarlyFlooder(t, nil)
		for range 1000 {
			f.send(1, host(1, 1), 100)
		}
		require.Equal(t, uint64(maxWaiting), f.Stats().EarlyPacketsKept)
		for range 1000 {
			f.send(2, host(1, 1), 1200)
		}
		require.True(t, f.early.held < 2*(earlyCost+maxWaitingBytes+waitingCost*maxWaiting))
	})
	t.Run("one host", func(t *testing.T) {
		f := newEarlyFlooder(t, nil)
		require.True(t, f.send(0, host(0, 1), 1200))
		for i := 1; i < 1000; i++ {
			f.send(i, host(1, i), 1200)
		}
		require.Equal(t, 1+maxEarlyOfHost, len(f.early.list))
		require.True(t, f.send(0, host(0, 1), 1200))
		require.True(t, f.send(1000, host(2, 1), 1200))
	})
	t.Run("one IPv6 network", func(t *testing.T) {
		f := newEarlyFlooder(t, nil)
		for i := range 1000 {
			f.send(i, netip.AddrPortFrom(netip.AddrFrom16([16]byte{0: 0x20, 14: byte(i >> 8), 15: byte(i)}), 1), 1200)
		}
		require.Equal(t, maxEarlyOfHost, len(f.early.list))
		require.True(t, f.send(1000, netip.MustParseAddrPort("[2000:0:0:1::]:1"), 1200))
	})
	t.Run("many hosts", func(t *testing.T) {
		f := newEarlyFlooder(t, nil)
		require.True(t, f.send(0, host(0, 1), 1200))
		for i := 1; i < 2*maxEarlyIDs; i++ {
			for range maxWaiting / 2 {
				f.send(i, host(i, 1), 1200)
			}
		}
		require.True(t, f.early.held <= maxEarlyBytes && len(f.early.list) <= maxEarlyIDs)
		require.True(t, f.early.list[0].id.equal([]byte("00000000")))
	})
}

// TestEarlyArrivalsUnwanted: a server keeps nothing where the packets can be of no use.
func TestEarlyArrivalsUnwanted(t *testing.T) {
	t.Run("without 0-RTT", func(t *testing.T) {
		f := newEarlyFlooder(t, func(c *EndpointConfig) { c.Server.Enable0RTT = false })
		require.False(t, f.send(1, elsewhere(1), 1200))
	})
	t.Run("while clients have to prove their addresses", func(t *testing.T) {
		answer := AdmissionRetry
		f := newEarlyFlooder(t, func(c *EndpointConfig) { c.Admit = func(AdmissionRequest) Admission { return answer } })
		require.True(t, f.send(1, elsewhere(1), 1200))
		f.feed(clientInitial(rawServerID, rawClientID, nil, f.hello()), elsewhere(2))
		require.Equal(t, uint64(1), f.Stats().Retries)
		require.False(t, f.send(2, elsewhere(1), 1200))
		answer = AdmissionAccept
		f.feed(clientInitial(rawServerID, rawClientID, nil, f.hello()), elsewhere(2))
		require.True(t, f.first != nil)
		f.Endpoint.first.forget(&ApplicationError{})
		require.True(t, f.send(2, elsewhere(1), 1200))
	})
	t.Run("when it does not accept", func(t *testing.T) {
		f := newEarlyFlooder(t, nil)
		f.StopAccepting()
		require.False(t, f.send(1, elsewhere(1), 1200))
	})
	t.Run("memory is short", func(t *testing.T) {
		f := newEarlyFlooder(t, func(c *EndpointConfig) { c.MaxBuffered = 1 << 20 })
		require.True(t, f.send(1, elsewhere(1), 1200))
		n := f.memory.Room() - 1000
		f.Hold(n)
		require.False(t, f.send(1, elsewhere(1), 1200))
		require.False(t, f.mayHoldConn())
		require.Zero(t, f.early.held)
		f.Hold(-n)
		require.True(t, f.send(1, elsewhere(1), 1200))
		f.Endpoint.Close()
		require.Zero(t, f.early.held)
		require.Zero(t, f.memory.Used())
	})
}
