package conn

import (
	"net/netip"
	"time"
)

// A bystander is another connection of the Endpoint under test. Both its ends are real.
type bystander struct {
	tc    *testConn
	e     *Endpoint // of its other end
	c     *Conn     // at the Endpoint under test
	far   *Conn     // at e
	addr  netip.AddrPort
	inbox [][]byte // from the Endpoint under test
}

// bystand makes a bystander.
func (tc *testConn) bystand() *bystander {
	tc.t.Helper()
	by := &bystander{tc: tc, addr: netip.MustParseAddrPort("10.0.0.99:9999")}
	tc.others[by.addr] = by
	before := tc.e.last
	serverTLS, clientTLS := testTLS(tc.t)
	cfg := quietConfig()
	ec := EndpointConfig{Rand: testRand(9)}
	if tc.server {
		cfg.TLS = clientTLS
		if pool := tc.e.cfg.Server.TLS; pool != nil {
			cfg.TLS.InsecureSkipVerify = true // the certificate is that of another testTLS
		}
		by.e = newTestEndpoint(tc.t, &ec)
		by.far = tc.dial(by.e, Target{Remote: tc.addr, Local: by.addr}, &cfg)
	} else {
		serverCfg := cfg
		serverCfg.TLS = serverTLS
		ec.Server = &serverCfg
		by.e = newTestEndpoint(tc.t, &ec)
		cfg.TLS = clientTLS
		by.c = tc.dial(tc.e, Target{Remote: by.addr, Local: tc.addr}, &cfg)
	}
	by.run()
	if tc.server {
		by.c = tc.e.last
	} else {
		by.far = by.e.last
	}
	if by.c == before || by.c.state != stateConfirmed || by.far.state != stateConfirmed {
		tc.t.Fatal("the bystander has no connection")
	}
	return by
}

// run passes datagrams until there are no more.
func (by *bystander) run() {
	tc := by.tc
	tc.t.Helper()
	for range 100 {
		tc.collect()
		in, out := by.inbox, drainEndpoint(by.e, tc.now, tc.buf)
		by.inbox = nil
		if len(in)+len(out) == 0 {
			return
		}
		tc.now = tc.now.Add(time.Millisecond)
		for _, b := range in {
			by.e.Receive(tc.now, Datagram{Data: b, Remote: tc.addr, Local: by.addr})
		}
		for _, d := range out {
			tc.e.Receive(tc.now, Datagram{Data: d.data, Remote: by.addr, Local: tc.addr})
		}
		for _, ok := by.e.NextEvent(); ok; _, ok = by.e.NextEvent() {
		}
	}
	tc.t.Fatal("the bystander does not come to rest")
}

// check sends a message each way, and fails if one does not arrive.
func (by *bystander) check() {
	tc := by.tc
	tc.t.Helper()
	for _, way := range [][2]*Conn{{by.c, by.far}, {by.far, by.c}} {
		s, err := way[0].OpenStream(Uni)
		if err != nil {
			tc.t.Fatalf("the other connection suffers: %v", err)
		}
		tc.writeStream(s, "unharmed")
		tc.must(s.CloseWrite())
		by.run()
		got, _ := tc.readStream(way[1].streams.all[s.ID()])
		if got != "unharmed" {
			tc.t.Fatalf("the other connection suffers: it read %q", got)
		}
	}
}
