package conn

import (
	"bytes"
	"testing"

	"github.com/lazoquic/lazo/conn/congestion"
	"github.com/lazoquic/lazo/internal/pacing"
	"github.com/lazoquic/lazo/internal/require"
)

// A sentState is what a connection notes of what it sends.
type sentState struct {
	sizes    []int // of bursts
	events   []EventKind
	rows     []sentPacket
	records  []record
	stats    Stats
	traffic  PathTraffic
	flow     connFlow
	sealed   uint64
	lastData uint64
	ecnSent  uint64
	ecn      ecnState
	skipNext uint64
	rng      uint64
	rate     deliveryRate
	inFlight uint64
	pacer    pacing.Pacer
	queue    int
	ahead    int
}

func (s *sentState) take(c *Conn, stream *Stream) {
	sent, pa := &c.app.sent, c.path
	s.rows, s.records = nil, nil
	for i := sent.rows.head; i != sent.rows.tail; i++ {
		row := sent.rows.at(i)
		for k := range int(row.count) { // each packet as if it had a row of its own
			p := *row
			p.pn, p.inFlight, p.count = row.pn+uint32(k), row.inFlight+uint32(k)*uint32(row.size), 1
			p.acked, p.again = row.acked>>k&1, row.again>>k&1
			if k < int(row.count)-1 {
				p.flags &^= sentGap
			}
			p.recStart = uint32(len(s.records))
			s.rows = append(s.rows, p)
			for j := range uint32(row.recCount) {
				r := sent.record(row, k, j)
				r.stream = nil
				s.records = append(s.records, r)
			}
		}
	}
	s.stats, s.traffic, s.flow, s.sealed = c.Stats(), c.traffic, c.flow, c.keys.sealed
	s.lastData, s.ecnSent, s.ecn = c.app.lastData, c.app.ecnSent, pa.ecn
	s.skipNext, s.rng, s.rate, s.inFlight, s.pacer = c.skipNext, c.rng, pa.rate, pa.inFlight, pa.pacer
	s.queue, s.ahead = c.streams.send.packets, stream.turn.ahead
}

// TestSendRunsAccount: what goes in runs is noted as everything that is sent.
func TestSendRunsAccount(t *testing.T) {
	for name, control := range map[string]func(congestion.Params) congestion.Controller{
		"CUBIC": congestion.NewCubic, "BBR": congestion.NewBBR,
	} {
		t.Run(name, func(t *testing.T) {
			var states [2]sentState
			var pairs [2]*allocPair
			var streams [2][2]*Stream
			watch := [2]runWatch{{off: true}, {}}
			for i := range pairs {
				pairs[i] = newAllocPair(t, func(s *testSetup) { s.conn.Congestion, s.endpoint.runs = control, &watch[i] })
				streams[i][0], streams[i][1] = pairs[i].open()
			}
			for range 60 {
				for i, p := range pairs {
					states[i].round(p, streams[i][0], streams[i][1])
				}
				require.Equal(t, states[0], states[1])
			}
			require.Zero(t, watch[0].packets)
			require.Greater(t, watch[1].packets, 1000)
		})
	}
}

// TestNoRunsInGroups: streams of a group send no runs, because the group limits them together.
func TestNoRunsInGroups(t *testing.T) {
	const limit = 1 << 20
	var watch runWatch
	p := newAllocPair(t, func(s *testSetup) { s.endpoint.runs = &watch })
	client, server := p.open()
	client.Join(NewStreamGroup(limit, 0, func() {}), client.out.Sent())
	before := client.out.Sent()
	var state sentState
	for range 60 {
		state.round(p, client, server)
	}
	require.Zero(t, watch.packets)
	require.Equal(t, before+limit, client.out.Sent())
}

// round writes as much as the stream takes, sends what may be sent, and lets the peer acknowledge
// it.
func (s *sentState) round(p *allocPair, client, server *Stream) {
	data := make([]byte, 64<<10)
	for i := 0; ; i++ {
		write := client.Write
		if i%2 > 0 {
			write = func(p []byte) (int, error) { return client.WriteLent(p, new(borrowed)) }
		}
		if n, _ := write(bytes.Clone(data)); n == 0 {
			break
		}
	}
	client.NotifyUnsent(20_000)
	p.now = p.now.Add(testRTT / 2)
	p.e[0].HandleTimeout(p.now)
	for {
		n := p.send(0)
		s.sizes = append(s.sizes, n)
		if n == 0 {
			break
		}
		for n, _ := server.Read(data); n > 0; n, _ = server.Read(data) {
		}
	}
	for ev, ok := p.e[0].NextEvent(); ok; ev, ok = p.e[0].NextEvent() {
		s.events = append(s.events, ev.Kind)
	}
	s.take(p.c[0], client)
	p.pass()
}
