package main

import (
	"crypto/rsa"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/require"
)

// TestModes runs each mode on each tier over loopback, with little to do.
func TestModes(t *testing.T) {
	for _, api := range []string{"handler", "stream", "http3", "http3shared", "h3loop", "http2", "tls"} {
		for _, mode := range []string{"download", "upload", "rr", "handshake", "datagram", "idle", "active", "mixed"} {
			if api == "http3shared" && mode != "download" { // the only one in which it differs
				continue
			}
			if (&options{api: api, mode: mode, rate: 1}).checkMode() != nil {
				continue
			}
			t.Run(api+"/"+mode, func(t *testing.T) {
				args := []string{"-api", api, "-mode", mode, "-bytes", "300K", "-ops", "3",
					"-concurrency", "2", "-over", "2", "-conns", "2", "-secs", "0.2"}
				if mode == "mixed" {
					args = append(args, "-rate", "50", "-request-rate", "100")
				}
				o := clientFlags(t, args...)
				c, s := runTest(t, o)
				proofs := int64(2) // exchanges that prove that each of two connections works

				require.NotZero(t, c.r["ops"])
				switch mode {
				case "download":
					require.EqualValues(t, 3*300<<10, c.r["bytes"])
					counts(t, proofs*o.small()+3*300<<10, &s.sent)
				case "upload":
					header := int64(8)
					if o.http() {
						header = 0
					}
					counts(t, 3*300<<10+(proofs+3)*header, &s.received)
				case "rr":
					counts(t, proofs+3, &s.streams)
					counts(t, (proofs+3)*o.small(), &s.sent)
				case "datagram":
					require.Eventually(t, func() bool { return s.datagrams.Load() > 0 }, time.Minute, time.Millisecond)
				case "handshake":
					counts(t, 3, &s.conns)
				case "mixed":
					n, _ := c.r["handshakes"].(int64)
					requests, _ := c.r["ops"].(int64)
					require.NotZero(t, n)
					require.EqualValues(t, 0, c.r["handshakes_failed"])
					require.EqualValues(t, 0, c.r["requests_failed"])
					counts(t, 1+2+n, &s.conns)
					counts(t, 1+2+n+requests, &s.streams)
				case "idle":
					require.EqualValues(t, 2, c.r["alive"])
				}
			})
		}
	}
}

// runTest runs a client with a server of its own. The client's sockets stay until the test ends.
func runTest(t *testing.T, o *options) (*client, *server) {
	t.Helper()
	s, addr := serveTest(t, o)
	o.connect = addr.String()
	c := &client{o: o, remote: addr, r: newReport("client")}
	c.cfg = o.clientConfig()
	var err error
	c.group, err = c.listen()
	require.NoError(t, err)
	t.Cleanup(func() { c.group.Close() })
	require.NoError(t, c.run())
	return c, s
}

// TestTLSUpload: an upload over TLS goes in records of a useful size, although its answer is empty.
func TestTLSUpload(t *testing.T) {
	const up = 1 << 20
	o := clientFlags(t, "-api", "tls")
	server, err := o.serverConfig()
	require.NoError(t, err)
	l, err := tls.Listen("tcp", "127.0.0.1:0", server.TLS)
	require.NoError(t, err)
	defer l.Close()
	records := make(chan int, 1)
	go func() {
		n := 0
		defer func() { records <- n }()
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		b := make([]byte, 16<<10) // a Read returns data of one record
		for err == nil {
			_, err = c.Read(b)
			n++
		}
	}()
	s := dialTLS(netip.MustParseAddrPort(l.Addr().String()), o.clientConfig().TLS)
	require.NoError(t, s.exchange(1, 1, 0, up))
	require.Less(t, <-records, up/1000)
}

// TestOpenLoop makes requests at a set rate on connections in no order.
func TestOpenLoop(t *testing.T) {
	for _, api := range []string{"handler", "stream", "http3", "http2"} {
		t.Run(api, func(t *testing.T) {
			o := clientFlags(t, "-api", api, "-mode", "active", "-ops", "100", "-rate", "500", "-conns", "3")
			c, s := runTest(t, o)
			n, _ := c.r["ops"].(int64)
			require.NotZero(t, n)
			require.NotZero(t, c.r["p50_us"])
			counts(t, 4+n, &s.streams)
		})
	}
}

// TestOpenLoopFails: work that fails is counted, and its time is not.
func TestOpenLoopFails(t *testing.T) {
	broken := errors.New("broken")
	p := &openLoop{rate: 10_000, work: func() error { return broken }}
	n, ended, err := p.run(10 * time.Millisecond)
	require.NoError(t, err)
	p.wait()
	require.NotZero(t, n)
	require.Zero(t, ended)
	require.Equal(t, n, p.failed.Load())
	require.Equal(t, broken, p.err)
	require.Zero(t, p.times.total)
}

// TestSessionsAreGivenOnce takes sessions, of which servers may remember each until it is used.
func TestSessionsAreGivenOnce(t *testing.T) {
	s := &sessionStock{come: make(chan struct{}, 1), limit: 3}
	made := make([]*tls.ClientSessionState, 4)
	for i := range made {
		made[i] = new(tls.ClientSessionState)
		s.Put("", made[i])
	}
	_, ok := s.Get("")
	require.False(t, ok) // those who fill the stock do not empty it
	s.open()
	s.Put("", nil) // after a handshake that failed
	for _, want := range []*tls.ClientSessionState{made[3], made[2], made[1], made[1]} {
		got, ok := s.Get("")
		require.True(t, ok)
		require.True(t, got == want)
	}
	s.Put("", made[0])
	got, _ := s.Get("")
	require.True(t, got == made[0])
}

// TestResume resumes sessions again and again. It fails where the server resumes none.
func TestResume(t *testing.T) {
	for _, api := range []string{"handler", "stream", "http3", "http2", "tls"} {
		for _, tickets := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/%v", api, tickets), func(t *testing.T) {
				o := clientFlags(t, "-api", api, "-mode", "handshake", "-resume", "-ops", "3", "-concurrency", "2")
				cfg, err := o.serverConfig()
				require.NoError(t, err)
				ended := ""
				if !tickets { // they come, but nobody can open them
					cfg.TLS.UnwrapSession = func([]byte, tls.ConnectionState) (*tls.SessionState, error) { return nil, nil }
					ended = "the server resumed 0 of 3 sessions"
				}
				o.listen = "127.0.0.1:0"
				sv, err := (&server{o: o, start: time.Now(), done: make(chan struct{})}).serve(cfg)
				require.NoError(t, err)
				defer sv.close()
				c := &client{o: o, remote: sv.addr, r: newReport("client"), cfg: o.clientConfig()}
				c.group, err = c.listen()
				require.NoError(t, err)
				defer c.group.Close()
				if err = c.run(); ended != "" {
					require.EqualError(t, err, ended)
					return
				}
				require.NoError(t, err)
				require.EqualValues(t, 3, c.r["ops"])
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
	o.listen = "127.0.0.1:0"
	s := &server{o: o, start: time.Now(), done: make(chan struct{})}
	sv, err := s.serve(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { sv.close() })
	return s, sv.addr
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

// TestExchangesCounted counts every exchange once, of which goroutines add a few at once.
func TestExchangesCounted(t *testing.T) {
	e := exchanges{one: func([]byte, int64, int64) error { return nil }}
	require.NoError(t, e.exchange(1000, 7, 1, 0))
	require.NoError(t, e.exchange(1, 1, 1, 0))
	require.Equal(t, uint64(1001), e.latency().total)
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

// TestContenders finds programs of other implementations, and matches contenders with tests.
func TestContenders(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"quicgo-perf", "quicgo-h3", "quinn-h3", "udplimit", "tlslimit", "README"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), nil, 0o755))
	}
	c := &comparison{peers: dir}
	require.NoError(t, c.find())
	of := make(map[string][]string)
	for i := range tests {
		for j := range c.contenders {
			if p := &c.contenders[j]; p.takes(&tests[i]) {
				of[tests[i].name] = append(of[tests[i].name], p.name)
			}
		}
	}
	require.Equal(t, []string{"lazo handler", "lazo stream", "tls", "quicgo", "udplimit"}, of["download"])
	require.Equal(t, []string{"lazo handler", "lazo stream", "echo", "quicgo"}, of["rr1"])
	for _, name := range []string{"handshake", "handshakeresumed"} {
		require.Equal(t, []string{"lazo handler", "lazo stream", "tls", "quicgo", "tlslimit"}, of[name], name)
	}
	for _, name := range []string{"get1", "get64", "get64x8", "gethandshake", "httpdownload", "httpupload", "httpidle", "getopen1000", "getmixed"} {
		require.Equal(t, []string{"lazo http3", "lazo h3loop", "net/http http2", "quicgo http3", "quinn http3"}, of[name], name)
	}
}

// TestContendersWithRSA: servers that take no certificate have no part in tests that need one.
func TestContendersWithRSA(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"quicgo-h3", "quinn-h3"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), nil, 0o755))
	}
	c := &comparison{peers: dir}
	require.NoError(t, c.find())
	i := slices.IndexFunc(tests, func(x test) bool { return x.name == "getoverload" })
	var names []string
	for j := range c.contenders {
		if p := &c.contenders[j]; p.takes(&tests[i]) {
			names = append(names, p.name)
		}
	}
	require.Equal(t, []string{"lazo http3", "lazo h3loop", "net/http http2", "quicgo http3"}, names)

	flags, err := rsaFlags(dir)
	require.NoError(t, err)
	o, err := parseFlags("server", flags, t.Output())
	require.NoError(t, err)
	cert, err := o.certificate()
	require.NoError(t, err)
	_, ok := cert.PrivateKey.(*rsa.PrivateKey)
	require.True(t, ok)
}

// TestVary runs servers with several numbers of loops and of processors.
func TestVary(t *testing.T) {
	c := &comparison{self: "perf", loops: "1,8", procs: "1,2", contenders: []contender{
		{name: "lazo http3", path: "perf", server: []string{"-api", "http3"}},
		{name: "net/http http2", path: "perf", server: []string{"-api", "http2"}},
		{name: "quicgo http3", path: "quicgo-h3"},
	}}
	c.vary()
	var all []string
	for _, p := range c.contenders {
		all = append(all, fmt.Sprint(p.name, p.server, p.env))
	}
	require.Equal(t, []string{
		"lazo http3 loops=1 procs=1[-api http3 -loops 1] [GOMAXPROCS=1]",
		"lazo http3 loops=1 procs=2[-api http3 -loops 1] [GOMAXPROCS=2]",
		"lazo http3 loops=8 procs=1[-api http3 -loops 8] [GOMAXPROCS=1]",
		"lazo http3 loops=8 procs=2[-api http3 -loops 8] [GOMAXPROCS=2]",
		"net/http http2 procs=1[-api http2] [GOMAXPROCS=1]",
		"net/http http2 procs=2[-api http2] [GOMAXPROCS=2]",
		"quicgo http3 procs=1[] [GOMAXPROCS=1]",
		"quicgo http3 procs=2[] [GOMAXPROCS=2]",
	}, all)
	for list, ok := range map[string]bool{"": true, "1": true, "1,2,8": true, "0": false, "1,": false, "x": false} {
		require.Equal(t, ok, numbers("loops", list) == nil, list)
	}
}

// TestModesOfAPI refuses modes that an API does not have.
func TestModesOfAPI(t *testing.T) {
	for _, args := range []string{"-api tls -mode rr", "-api http3 -mode datagram", "-api tls -mode active", "-resume -mode rr", "-over 0",
		"-mode mixed", "-mode mixed -rate 1 -request-rate 0", "-give-up 0s"} {
		_, err := parseFlags("client", strings.Fields(args), t.Output())
		require.Error(t, err, args)
	}
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
