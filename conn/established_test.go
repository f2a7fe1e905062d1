package conn

import (
	"crypto/tls"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/keys"
	"github.com/lazoquic/lazo/internal/wire"
)

// onceKeys are the 1-RTT keys of connections without a handshake: what a client and a server send
// with.
var onceKeys = sync.OnceValue(func() (k [2]*keys.Keys) {
	for i := range k {
		secret := [32]byte{byte(i + 1)}
		k[i], _ = keys.New(Version1, tls.TLS_AES_128_GCM_SHA256, secret[:])
	}
	return k
})

// newEstablished returns what newTestConn does, without a handshake, which takes most of the time
// of a fuzz target. The keys are always the same, and so are the peer's connection IDs. What the
// Conn sends first behind a handshake, such as its own connection IDs, it has not sent yet.
func newEstablished(t testing.TB, server bool, edit ...func(*testSetup)) *testConn {
	t.Helper()
	s := newTestSetup(t, server, edit)
	tc := s.testConn(t, server)
	tc.buf = make([]byte, 10*max(minMTU, s.conn.MaxMTU)) // drainEndpoint asks for no more
	s.conn.NoALPN = true                                 // there is no TLS to negotiate it
	tc.e = newTestEndpoint(t, &s.endpoint)
	tc.establish(s, "first ID", "the peer")
	return tc
}

// establish makes the connection of newEstablished on an Endpoint that is there. The IDs are that
// of the client's first packets, and that of the peer.
func (tc *testConn) establish(s *testSetup, firstID, id string) {
	tc.t.Helper()
	now := tc.e.clock(tc.now)
	peerID, _ := ConnIDFromSlice([]byte(id))
	if tc.server {
		first, _ := ConnIDFromSlice([]byte(firstID))
		a := &arrival{remote: tc.peerAddr, local: tc.addr}
		h := wire.Long{Version: Version1, SCID: peerID.bytes(), DCID: first.bytes()}
		tc.c = tc.e.newServer(now, a, h, first, token{}, tc.e.served.common)
	} else {
		full, err := s.conn.withDefaults()
		tc.must(err)
		s.target.Remote, s.target.Local = tc.peerAddr, tc.addr
		tc.c, err = tc.e.makeClient(s.target, full)
		tc.must(err)
		r := &tc.c.remote
		r.ids[0].id, r.handshake, r.chosen = peerID, peerID, true
	}
	tc.peer = tc.silentPeer(&s.peer, peerID)
	tc.must(tc.c.peerParams(tc.peer.localParams(Version1)))
	tc.confirm(peerID)
}

// silentPeer returns the other end of a connection, as far as transport parameters and connection
// IDs need one.
func (tc *testConn) silentPeer(cfg *Config, id ConnID) *Conn {
	tc.t.Helper()
	full, err := cfg.withDefaults()
	tc.must(err)
	p := &Conn{e: tc.e, cfg: full, server: !tc.server, version: Version1, origin: tc.c.origin, rng: 1}
	p.streams.init(full, p.server)
	p.local.add(id)
	p.remote.init(tc.c.local.ids[0].id)
	return p
}

// confirm takes a new connection to the state behind its handshake. The peer, whose first
// connection ID is given, has issued all the others.
func (tc *testConn) confirm(peerID ConnID) {
	tc.t.Helper()
	c, k := tc.c, onceKeys()
	toServer, toClient := *k[0], *k[1]
	c.app.rx, c.app.tx = &toClient, &toServer
	if tc.server {
		c.app.rx, c.app.tx = &toServer, &toClient
	}
	c.tls.begun, c.tls.level = true, tls.QUICEncryptionLevelApplication
	c.tls.state = &tls.ConnectionState{Version: tls.VersionTLS13}
	tc.must(c.handshakeComplete())
	c.confirm() // a client gets HANDSHAKE_DONE
	if tc.server {
		c.tls.close(nil)
	}
	tc.keepKeys()
	tc.dcid = *tc.peer.remote.current()
	for seq := uint64(1); seq < activeConnIDs; seq++ {
		id := append(peerID.bytes(), byte(seq))
		tc.must(c.newRemoteID(seq, 0, id, [16]byte(resetTokenOf(seq))))
	}
	tc.round()
	c.wake()
}

// TestEstablished: a connection without a handshake is what one with a handshake is, once it has
// sent what it sends behind one.
func TestEstablished(t *testing.T) {
	sides(t, func(t *testing.T, server bool) {
		edit := func(s *testSetup) {
			s.conn.MaxDatagramFrameSize, s.peer.MaxDatagramFrameSize = 1000, 1100
			s.peer.InitialMaxData, s.peer.InitialMaxStreamData = 5000, 1700
			s.peer.InitialMaxStreamsBidi, s.peer.InitialMaxStreamsUni = 7, 9
			s.peer.MaxIdleTimeout = 7 * time.Second
			s.conn.DisableAckFrequency, s.peer.DisableAckFrequency = false, false
		}
		want, got := newTestConn(t, server, edit), newEstablished(t, server, edit)
		for got.collect(); len(got.datagrams) > 0; got.collect() {
			got.flush()
			got.ackAll()
		}
		for _, tc := range []*testConn{want, got} {
			// what differs from one handshake to the next
			p := &tc.c.peer
			p.InitialSCID, p.OriginalDCID, p.ResetToken = nil, nil, nil
		}
		if got, want := sketch(got.c), sketch(want.c); got != want {
			t.Errorf("a connection without a handshake:\n%s\nwith one:\n%s", got, want)
		}
	})
}

// sketch tells what stories need to know of a connection behind its handshake.
func sketch(c *Conn) string {
	ids := func(l *localIDs) (s []uint64) {
		for _, id := range l.ids {
			s = append(s, id.seq)
		}
		return s
	}
	return fmt.Sprintf("state %v idle %v validated %v mtu %+v peer %+v\nflow %+v limits %v %v\nIDs %v %v %v, theirs %d %d\nack frequency %+v window %d waits %v",
		c.state, c.idle, c.path.validated, c.path.mtu, c.peer, c.flow, c.streams.limit, c.streams.peerLimit,
		ids(&c.local), c.local.sent, c.local.known, len(c.remote.ids), c.remote.seen.Len(),
		c.ackFreq.sent, c.path.cc.Window(), c.app.sent.eliciting)
}
