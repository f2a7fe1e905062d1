package conn

import (
	"crypto/ed25519"
	crand "crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/keys"
	"github.com/lazoquic/lazo/internal/rangeset"
	"github.com/lazoquic/lazo/internal/wire"
)

// A testConn is a Conn under test. The test plays its peer packet by packet. A real Endpoint does
// the handshake. Then the test takes its place and its keys.
//
// The test collects what the Conn sends only when it asks for it. So everything that a test writes
// before that counts as one batch.
type testConn struct {
	t      testing.TB
	now    time.Time
	server bool // the Conn under test is a server

	e, peerE *Endpoint
	books    LedgerCheck
	c, peer  *Conn // after takeOver, peer does not get what c sends

	addr, peerAddr netip.AddrPort // of c, and of its peer

	// The peer's side, as the test plays it.
	tx, rx  [numSpaces]*keys.Keys
	txPhase bool
	rxPhase bool
	next    [numSpaces]uint64       // packet numbers
	largest [numSpaces]int64        // that came from c
	got     [numSpaces]rangeset.Set // numbers of packets that came from c, for ACK frames
	dcid    ConnID                  // the ID that the test sends to

	left      netip.AddrPort // an address that the peer has left
	onLeft    []*seenPacket  // the packets that c sent there, if that is set; queue has the others
	datagrams []seenDatagram // sent by c, and not passed on to the peer
	queue     []*seenPacket  // packets that the test has not looked at yet
	unread    []frame        // frames of the current packet that it has not looked at yet
	current   *seenPacket
	undecoded [][]byte
	ignored   map[uint64]bool
	events    []Event
	others    map[netip.AddrPort]*bystander
	buf       []byte
}

// A seenDatagram is a datagram that the Conn sent.
type seenDatagram struct {
	data    []byte
	burst   Burst
	packets []*seenPacket
}

// A seenPacket is a packet that the Conn sent, decrypted.
type seenPacket struct {
	typ    PacketType
	space  spaceID
	pn     uint64
	frames []frame
	size   int
	header wire.Long
	dcid   []byte
	first  byte // without protection
	burst  Burst
}

// A testSetup is what a test may change before connections are made.
type testSetup struct {
	conn, peer         Config         // for the Conn under test, and for its peer
	endpoint, peerSide EndpointConfig // for their Endpoints; Server is filled in
	connAddr, peerAddr netip.AddrPort
	target             Target
}

// The estimates at the start of every story.
const (
	testRTT      = 10 * time.Millisecond
	testVariance = 5 * time.Millisecond
	testPTO      = testRTT + 4*testVariance + maxAckDelay // of 1-RTT packets
)

// hour0 is the time at which stories begin.
func hour0() time.Time { return time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC) }

// newTestConn returns a connection whose handshake is confirmed, with nothing under way.
func newTestConn(t testing.TB, server bool, edit ...func(*testSetup)) *testConn {
	t.Helper()
	tc := startTestConn(t, server, edit...)
	tc.exchange(func() bool { return false })
	if tc.c == nil || tc.c.state != stateConfirmed || tc.c.closed {
		t.Fatal("the handshake failed")
	}
	tc.takeOver()
	return tc
}

// newTestSetup returns what a test changes nothing of, but by edit.
func newTestSetup(t testing.TB, server bool, edit []func(*testSetup)) *testSetup {
	t.Helper()
	s := &testSetup{
		connAddr: netip.MustParseAddrPort("10.0.0.1:443"),
		peerAddr: netip.MustParseAddrPort("10.0.0.2:1000"),
		conn:     quietConfig(),
		peer:     quietConfig(),
	}
	s.endpoint.Rand = testRand(1)
	s.peerSide.Rand = testRand(2)
	serverTLS, clientTLS := testTLS(t)
	s.conn.TLS, s.peer.TLS = clientTLS, serverTLS
	if server {
		s.conn.TLS, s.peer.TLS = serverTLS, clientTLS
	}
	for _, f := range edit {
		f(s)
	}
	if server {
		s.endpoint.Server = &s.conn
	} else {
		s.peerSide.Server = &s.peer
	}
	return s
}

// testConn returns a testConn that has no Endpoint yet.
func (s *testSetup) testConn(t testing.TB, server bool) *testConn {
	return &testConn{
		t: t, now: hour0(), server: server, addr: s.connAddr, peerAddr: s.peerAddr,
		ignored: map[uint64]bool{wire.FramePadding: true}, others: make(map[netip.AddrPort]*bystander),
		largest: [numSpaces]int64{-1, -1, -1},
	}
}

// startTestConn returns a connection that a client has just dialed. Nothing has been sent.
func startTestConn(t testing.TB, server bool, edit ...func(*testSetup)) *testConn {
	t.Helper()
	s := newTestSetup(t, server, edit)
	tc := s.testConn(t, server)
	tc.buf = make([]byte, maxBurst)
	tc.e, tc.peerE = newTestEndpoint(t, &s.endpoint), newTestEndpoint(t, &s.peerSide)
	if server {
		s.target.Remote, s.target.Local = tc.addr, tc.peerAddr
		tc.peer = tc.dial(tc.peerE, s.target, &s.peer)
	} else {
		s.target.Remote, s.target.Local = tc.peerAddr, tc.addr
		tc.c = tc.dial(tc.e, s.target, &s.conn)
	}
	return tc
}

// quietConfig is a configuration with which a Conn sends little that a story does not ask for.
func quietConfig() Config {
	return Config{DisablePacing: true, DisableAckFrequency: true, MaxMTU: minMTU, MaxSuspiciousFrames: -1}
}

func testRand(seed byte) *rand.ChaCha8 { return rand.NewChaCha8([32]byte{seed}) }

func newTestEndpoint(t testing.TB, cfg *EndpointConfig) *Endpoint {
	t.Helper()
	e, err := NewEndpoint(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

func (tc *testConn) dial(e *Endpoint, to Target, cfg *Config) *Conn {
	tc.t.Helper()
	c, err := e.Dial(tc.now, to, cfg)
	if err != nil {
		tc.t.Fatal(err)
	}
	return c
}

// testTLS returns configurations of a server, and of a client that trusts it.
func testTLS(t testing.TB) (server, client *tls.Config) {
	t.Helper()
	c := onceTLS()
	server, client = c[0].Clone(), c[1].Clone()
	server.Certificates = slices.Clone(server.Certificates) // some tests change the chain
	return server, client
}

// onceTLS makes the configurations of testTLS once: fuzz targets want them for each input.
var onceTLS = sync.OnceValue(func() [2]*tls.Config {
	key := ed25519.NewKeyFromSeed([]byte("a key that everybody knows of.. "))
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"lazo.test"},
		NotBefore: hour0().AddDate(-1, 0, 0), NotAfter: hour0().AddDate(1, 0, 0),
	}
	der, err := x509.CreateCertificate(crand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	leaf, _ := x509.ParseCertificate(der)
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	curves := []tls.CurveID{tls.X25519} // small and quick
	server := &tls.Config{
		Certificates:     []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}},
		NextProtos:       []string{"test"},
		CurvePreferences: curves,
	}
	client := &tls.Config{RootCAs: roots, ServerName: "lazo.test", NextProtos: []string{"test"}, CurvePreferences: curves}
	return [2]*tls.Config{server, client}
})

// exchange passes datagrams between the two Endpoints, 5 ms each way. It stops when done reports
// true or nothing is under way.
func (tc *testConn) exchange(done func() bool) {
	tc.t.Helper()
	for range 200 {
		if done() {
			return
		}
		tc.collect()
		out := tc.takeDatagrams()
		back := drainEndpoint(tc.peerE, tc.now, tc.buf)
		if len(out)+len(back) == 0 {
			at := sooner(tc.e.Timeout(), tc.peerE.Timeout())
			if at.IsZero() || at.After(tc.now.Add(200*time.Millisecond)) {
				return
			}
			if at.After(tc.now) {
				tc.now = at
			}
		} else {
			tc.now = tc.now.Add(testRTT / 2)
		}
		for _, d := range out {
			tc.peerE.Receive(tc.now, Datagram{Data: d.data, Remote: tc.addr, Local: tc.peerAddr, ECN: d.burst.ECN})
		}
		for _, d := range back {
			tc.deliver(d.data, tc.peerAddr, d.burst.ECN)
		}
		tc.e.HandleTimeout(tc.now)
		tc.peerE.HandleTimeout(tc.now)
		for _, ok := tc.peerE.NextEvent(); ok; _, ok = tc.peerE.NextEvent() {
		}
		if !tc.server && tc.peer == nil {
			tc.peer = tc.peerE.last
		}
	}
	tc.t.Fatal("the two sides do not come to rest")
}

func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// mostSegments is how many datagrams a burst of an Endpoint under test may have.
const mostSegments = 10

// drainEndpoint returns everything that an Endpoint wants to send.
func drainEndpoint(e *Endpoint, now time.Time, buf []byte) (out []seenDatagram) {
	for {
		b, ok := e.Transmit(now, buf, mostSegments)
		if !ok {
			return out
		}
		for rest := buf[:b.N]; len(rest) > 0; {
			n := min(b.SegmentSize, len(rest))
			out = append(out, seenDatagram{data: append([]byte(nil), rest[:n]...), burst: b})
			rest = rest[n:]
		}
	}
}

// takeDatagrams removes and returns the datagrams that were collected, for the other Endpoint.
func (tc *testConn) takeDatagrams() []seenDatagram {
	out := tc.datagrams
	tc.datagrams, tc.queue, tc.unread, tc.undecoded = nil, nil, nil, nil
	return out
}

// takeOver puts the test in the place of the peer.
func (tc *testConn) takeOver() {
	tc.t.Helper()
	tc.keepKeys()
	tc.dcid = *tc.peer.remote.current()
	for i, sp := range tc.peer.spaces {
		if sp != nil {
			tc.next[i] = sp.sent.next
		}
	}
	tc.round()
}

// round sets the estimates of the Conn to round figures, and forgets what it has sent.
func (tc *testConn) round() {
	for i, sp := range tc.c.spaces {
		if sp != nil && int64(sp.sent.next)-1 > tc.largest[i] {
			tc.largest[i] = int64(sp.sent.next) - 1
		}
		tc.got[i].Reset()
	}
	tc.events = nil
	tc.c.path.rtt = rttState{latest: testRTT, smoothed: testRTT, variance: testVariance, min: testRTT, sampled: true}
	tc.c.path.ecn.state = ecnFailed
	r := &tc.c.spaces[spaceApp].recv
	r.anyECN, r.ecn = false, [3]uint64{}
	tc.c.skipNext = 1 << 61
	tc.c.tidy()
	tc.c.routes.expire(never)
	tc.c.rest(tc.e.now) // its timer is off now
}

// keepKeys remembers the keys of c, because c may discard them.
func (tc *testConn) keepKeys() {
	if tc.c == nil {
		return
	}
	for i, sp := range tc.c.spaces {
		if sp == nil {
			continue
		}
		// Retry changes the keys of Initial packets
		if tc.tx[i] == nil || spaceID(i) == spaceInitial && sp.rx != nil {
			tc.tx[i] = sp.rx
		}
		if tc.rx[i] == nil || spaceID(i) == spaceInitial && sp.tx != nil {
			tc.rx[i] = sp.tx
		}
	}
}

// deliver gives a datagram to the Endpoint of the Conn under test.
func (tc *testConn) deliver(b []byte, from netip.AddrPort, mark ECN) {
	tc.t.Helper()
	tc.deliverTo(tc.addr, b, from, mark)
}

// deliverTo is deliver to another address of the Endpoint.
func (tc *testConn) deliverTo(to netip.AddrPort, b []byte, from netip.AddrPort, mark ECN) {
	tc.t.Helper()
	if !from.IsValid() {
		from = tc.peerAddr
	}
	tc.e.Receive(tc.now, Datagram{Data: b, Remote: from, Local: to, ECN: mark})
	if tc.c == nil {
		tc.c = tc.e.last
	}
	tc.keepKeys()
}

// A testPacket is a packet that a test writes. Space and frames must be set. The zero value of any
// other field stands for a correct one.
type testPacket struct {
	space   spaceID
	frames  []frame
	payload []byte // behind the frames

	pn       uint64 // if fixed
	fixed    bool
	skip     uint64 // how many packet numbers to leave out
	pnLen    int
	reserved bool // sets the reserved bits
	noFixed  bool // clears the fixed bit
	dcid     *ConnID
	scid     []byte
	token    []byte
	version  uint32
	size     int // pads the packet to so many bytes
	phase    bool
	tx       *keys.Keys
	from     netip.AddrPort
	ecn      ECN
}

// seal makes a packet.
func (tc *testConn) seal(p testPacket) []byte {
	tc.t.Helper()
	tx := tc.tx[p.space]
	if p.tx != nil {
		tx = p.tx
	}
	if tx == nil {
		tc.t.Fatalf("no keys for space %d", p.space)
	}
	pn := tc.next[p.space] + p.skip
	if p.fixed {
		pn = p.pn
	} else {
		tc.next[p.space] = pn + 1
	}
	pnLen := p.pnLen
	if pnLen == 0 {
		pnLen = 4
	}
	dcid := tc.dcid
	if p.dcid != nil {
		dcid = *p.dcid
	}
	var b []byte
	lengthOff, pnOff := 0, 1+int(dcid.n)
	if p.space == spaceApp {
		b = wire.AppendShort(nil, dcid.bytes(), false, tc.txPhase != p.phase, pn, pnLen)
	} else {
		typ := uint8(wire.TypeHandshake)
		if p.space == spaceInitial {
			typ = wire.TypeInitial
		}
		scid := p.scid
		if scid == nil {
			scid = tc.c.remote.handshake.bytes()
		}
		version := max(p.version, Version1)
		b, lengthOff, pnOff = wire.AppendLong(nil, typ, version, dcid.bytes(), scid, p.token, pn, pnLen)
	}
	return sealTestPacket(tx, b, p, lengthOff, pnOff, pnLen, pn)
}

// sealTestPacket appends the payload to the header b and seals both.
func sealTestPacket(tx *keys.Keys, b []byte, p testPacket, lengthOff, pnOff, pnLen int, pn uint64) []byte {
	for _, f := range p.frames {
		b = f.append(b)
	}
	b = append(b, p.payload...)
	if n := p.size - keys.Overhead - len(b); n > 0 {
		b = append(b, make([]byte, n)...)
	}
	if lengthOff > 0 {
		wire.PutVarint2(b[lengthOff:], uint64(len(b)-pnOff+keys.Overhead))
	}
	if p.reserved {
		b[0] |= 0x0c
		if lengthOff == 0 {
			b[0] = b[0]&^0x0c | 0x18
		}
	}
	if p.noFixed {
		b[0] &^= 0x40
	}
	return tx.Seal(slices.Grow(b, keys.Overhead), pnOff, pnLen, pn)
}

// send seals a packet and delivers it in a datagram of its own.
func (tc *testConn) send(p testPacket) {
	tc.t.Helper()
	if p.space == spaceInitial && tc.server && p.size == 0 {
		p.size = minMTU
	}
	tc.deliver(tc.seal(p), p.from, p.ecn)
}

// write writes frames in a 1-RTT packet. writeIn writes them in a packet of another space.
func (tc *testConn) write(frames ...frame) {
	tc.t.Helper()
	tc.send(testPacket{space: spaceApp, frames: frames})
}

func (tc *testConn) writeIn(space spaceID, frames ...frame) {
	tc.t.Helper()
	tc.send(testPacket{space: space, frames: frames})
}

// ours returns the ID of the nth stream that c opens. theirs returns that of the nth stream that
// its peer opens.
func (tc *testConn) ours(d Dir, n uint64) StreamID {
	id := StreamID(n<<2 | uint64(d)<<1)
	if tc.server {
		id |= 1
	}
	return id
}

func (tc *testConn) theirs(d Dir, n uint64) StreamID { return tc.ours(d, n) ^ 1 }

// open opens a stream on the Conn under test.
func (tc *testConn) open(d Dir) *Stream {
	tc.t.Helper()
	s, err := tc.c.OpenStream(d)
	if err != nil {
		tc.t.Fatal(err)
	}
	return s
}

// must fails the test if err is not nil.
func (tc *testConn) must(err error) {
	tc.t.Helper()
	if err != nil {
		tc.t.Fatal(err)
	}
}

// writeStream writes all of data to the stream.
func (tc *testConn) writeStream(s *Stream, data string) {
	tc.t.Helper()
	if n, err := s.Write([]byte(data)); n != len(data) || err != nil {
		tc.t.Fatalf("Write took %d of %d bytes: %v", n, len(data), err)
	}
}

// readStream reads what is ready.
func (tc *testConn) readStream(s *Stream) (string, error) {
	var all []byte
	b := make([]byte, 4096)
	for {
		n, err := s.Read(b)
		all = append(all, b[:n]...)
		if err != nil {
			return string(all), err
		}
	}
}

// stream returns the stream of an ID, which must exist.
func (tc *testConn) stream(id StreamID) *Stream {
	tc.t.Helper()
	s := tc.c.streams.all[id]
	if s == nil {
		tc.t.Fatalf("there is no stream %d", id)
	}
	return s
}

// errorCode returns the code of a *TransportError, or -1 for any other error.
func errorCode(err error) int64 {
	if te, ok := errors.AsType[*TransportError](err); ok {
		return int64(te.Code)
	}
	return -1
}

// sides runs a test for both roles of the Conn under test.
func sides(t *testing.T, f func(t *testing.T, server bool)) {
	t.Helper()
	t.Run("client", func(t *testing.T) { f(t, false) })
	t.Run("server", func(t *testing.T) { f(t, true) })
}
