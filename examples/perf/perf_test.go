package main

import (
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
)

// TestModes runs each mode on each tier over loopback, with little to do.
func TestModes(t *testing.T) {
	for _, api := range []string{"handler", "stream"} {
		for _, mode := range []string{"download", "upload", "rr", "handshake", "datagram", "idle", "active"} {
			t.Run(api+"/"+mode, func(t *testing.T) {
				o := clientFlags(t, "-api", api, "-mode", mode, "-bytes", "300K", "-ops", "3",
					"-concurrency", "2", "-conns", "2", "-secs", "0.2")
				s, addr := serveTest(t, o)
				o.connect = addr.String()
				c := &client{o: o, remote: addr, r: newReport("client")}
				c.cfg = o.clientConfig()
				var err error
				c.group, err = c.listen()
				require.NoError(t, err)
				defer c.group.Close()
				require.NoError(t, c.run())

				require.NotZero(t, c.r["ops"])
				switch mode {
				case "download":
					require.EqualValues(t, 3*300<<10, c.r["bytes"])
					counts(t, 1+3*300<<10, &s.sent)
				case "upload":
					counts(t, 3*300<<10+4*8, &s.received)
				case "datagram":
					require.Eventually(t, func() bool { return s.datagrams.Load() > 0 }, time.Minute, time.Millisecond)
				case "idle":
					require.EqualValues(t, 2, c.r["alive"])
				}
			})
		}
	}
}

func clientFlags(t *testing.T, args ...string) *options {
	t.Helper()
	o, err := parseFlags("client", args, t.Output())
	require.NoError(t, err)
	return o
}

// counts waits until the server has counted up to want. The client may see the effect of a request
// before the server counts it.
func counts(t *testing.T, want int64, counter *atomic.Int64) {
	t.Helper()
	require.Eventually(t, func() bool { return counter.Load() >= want }, time.Minute, time.Millisecond)
	require.Equal(t, want, counter.Load())
}

// TestSocketPerConn runs handshakes that have a socket each.
func TestSocketPerConn(t *testing.T) {
	o := clientFlags(t, "-mode", "handshake", "-ops", "3", "-socket-per-conn")
	s, addr := serveTest(t, o)
	c := &client{o: o, remote: addr, r: newReport("client")}
	c.cfg = o.clientConfig()
	require.NoError(t, c.run())
	counts(t, 3, &s.conns)
}

// serveTest starts a server, which ends with the test.
func serveTest(t *testing.T, o *options) (*server, netip.AddrPort) {
	cfg, err := o.serverConfig()
	require.NoError(t, err)
	s := &server{o: o, start: time.Now(), done: make(chan struct{})}
	lc := &loop.Config{Endpoint: conn.EndpointConfig{Server: cfg}}
	if o.api == "handler" {
		lc.NewHandler = s.newHandler
	}
	g, err := loop.Listen("udp", "127.0.0.1:0", 1, lc)
	require.NoError(t, err)
	t.Cleanup(func() { g.Close() })
	if o.api != "handler" {
		go s.acceptConns(g)
	}
	return s, g.LocalAddr()
}

func TestHistogram(t *testing.T) {
	var h histogram
	for i := range 1000 {
		h.add(time.Duration(i+1) * time.Microsecond)
	}
	require.InEpsilon(t, 500*time.Microsecond, h.quantile(.5), .07)
	require.InEpsilon(t, 990*time.Microsecond, h.quantile(.99), .07)
	h.add(-1)
	h.add(1 << 62)
	require.Equal(t, time.Duration(1), h.quantile(0))
}

func TestByteSize(t *testing.T) {
	for s, want := range map[string]byteSize{"7": 7, "64K": 64 << 10, "2m": 2 << 20, "1G": 1 << 30} {
		var v byteSize
		require.NoError(t, v.Set(s))
		require.Equal(t, want, v)
	}
	var v byteSize
	for _, s := range []string{"", "K", "-1", "1T", "1e9"} {
		require.Error(t, v.Set(s), s)
	}
}

// TestTable makes a table and a chart of two contenders.
func TestTable(t *testing.T) {
	run := func(round int, cpu, gbit float64) result {
		return result{round: round, server: report{"cpu": cpu}, client: report{"cpu": 1., "gbit_s": gbit, "bytes": float64(1 << 30)}}
	}
	tab := &table{test: &tests[0], rows: []row{
		{name: "lazo handler", results: []result{run(0, 1, 8), run(1, 2, 4), run(2, 1, 6)}},
		{name: "other", results: []result{run(0, 2, 3), run(1, 5, 2)}, dropped: 1},
	}}
	md := tab.markdown()
	require.Contains(t, md, "| lazo handler | 6.0 | 1.00 | 1.00 | 1.00 | 1.00 |")
	require.Contains(t, md, "| other | 2.5 | 3.50 | 0.45 | 1.00 | 1.00 |") // of 1/2 and 2/5
	require.Contains(t, md, "| 2 of 3 |")
	require.Contains(t, chart([]*table{tab}), "lazo handler</text>")
}

// TestEcho runs some echoes over loopback.
func TestEcho(t *testing.T) {
	o := clientFlags(t, "-mode", "echo", "-ops", "5")
	c := &client{o: o, r: newReport("client")}
	e, err := newEcho()
	require.NoError(t, err)
	s, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	defer s.Close()
	go e.serve(s)
	c.remote = s.LocalAddr().(*net.UDPAddr).AddrPort()
	require.NoError(t, c.run())
	require.EqualValues(t, 5, c.r["ops"])
	require.NotZero(t, c.r["p50_us"])
}
