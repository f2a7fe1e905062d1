package main

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/examples/realtime/internal/world"
	"github.com/lazoquic/lazo/internal/require"
)

// The path of TestAgesOfPositions, and what is sent on it.
const (
	agesRTT    = 80 * time.Millisecond
	agesLoss   = 0.03
	agesLen    = 316 // bytes of a snapshot of 30 players
	agesSample = 2 * time.Millisecond
)

// agesOf sends a snapshot each tick, for four minutes of virtual time, in datagrams or on one
// stream. It returns how old the newest snapshot that the client has is, looked at every two
// milliseconds.
func agesOf(t *testing.T, seed uint64, stream bool) *world.Ages {
	rnd := conntest.Seed(t, seed)
	n := conntest.New(t, seed)
	n.Default = conntest.Link{Delay: agesRTT / 2, Loss: agesLoss}
	scfg, ccfg := conntest.ServerConfig(), conntest.ClientConfig()
	ccfg.MaxDatagramFrameSize = 1500
	server := n.Add("10.0.0.1:443", &conn.EndpointConfig{Rand: rnd, Server: scfg})
	client := n.Add("10.0.0.2:5000", &conn.EndpointConfig{Rand: rnd})
	begin := n.Now()

	var out *conn.Stream
	next := begin
	snapshot := make([]byte, agesLen)
	server.OnEvent = func(now time.Time, ev conn.Event) {
		switch {
		case ev.Kind == conn.EventConnected && stream:
			var err error
			out, err = ev.Conn.OpenStream(conn.Uni)
			require.NoError(t, err)
		case ev.Kind != conn.EventConnected && ev.Kind != conn.EventTimer:
			return
		}
		binary.BigEndian.PutUint64(snapshot, uint64(now.Sub(begin)))
		var err error
		if stream {
			_, err = out.Write(snapshot)
		} else {
			_, err = ev.Conn.SendDatagram(snapshot, conn.DatagramOptions{MaxAge: world.Tick})
		}
		require.NoError(t, err)
		for !next.After(now) {
			next = next.Add(world.Tick)
		}
		ev.Conn.SetTimer(next)
	}

	ages, newest := new(world.Ages), time.Duration(0)
	var in []byte // of the stream
	take := func(b []byte) { newest = max(newest, time.Duration(binary.BigEndian.Uint64(b))) }
	client.OnEvent = func(now time.Time, ev conn.Event) {
		switch ev.Kind {
		case conn.EventConnected:
			ev.Conn.SetTimer(now.Add(time.Second)) // until the first snapshots have come
		case conn.EventTimer:
			ages.Add(now.Sub(begin) - newest)
			ev.Conn.SetTimer(now.Add(agesSample))
		case conn.EventDatagramReadable:
			for b, ok := ev.Conn.ReceiveDatagram(); ok; b, ok = ev.Conn.ReceiveDatagram() {
				take(b)
			}
		case conn.EventStreamReadable:
			for b, err := ev.Stream.Peek(1); err == nil; b, err = ev.Stream.Peek(1) {
				in = append(in, b...)
				ev.Stream.Discard(len(b))
			}
			for ; len(in) >= agesLen; in = in[agesLen:] {
				take(in)
			}
		}
	}
	_, err := client.Dial(n.Now(), conn.Target{Remote: server.Addr, ServerName: "lazo.test"}, ccfg)
	require.NoError(t, err)
	n.RunFor(4 * time.Minute)
	require.Greater(t, ages.N(), uint64(118_000))
	return ages
}

// TestAgesOfPositions compares how old the newest positions are that a player has: in datagrams,
// and over one stream, on a path that loses 3 % in each direction. docs/realtime.md has its output.
func TestAgesOfPositions(t *testing.T) {
	datagrams, stream := agesOf(t, 1, false), agesOf(t, 1, true)
	t.Log("datagrams: ", quantiles(datagrams))
	t.Log("one stream:", quantiles(stream))
	require.LessOrEqual(t, datagrams.Quantile(0.99), agesRTT+world.Tick)
	require.Greater(t, stream.Quantile(0.99), agesRTT+world.Tick)
	require.Greater(t, stream.Quantile(0.999), datagrams.Quantile(0.999))
}
