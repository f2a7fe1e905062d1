package conn

import (
	"context"
	"crypto/tls"
	"net/netip"
	"testing"

	"github.com/lazoquic/lazo/internal/keys"
	"github.com/lazoquic/lazo/internal/wire"
)

// A rawTLS is one side of a TLS handshake without a Conn. Tests use it to send what a Conn would
// not.
type rawTLS struct {
	t      testing.TB
	q      *tls.QUICConn
	out    [numSpaces][]byte // CRYPTO data to send
	tx, rx [numSpaces]*keys.Keys
	params []byte // of the peer
	done   bool
}

func newRawTLS(t testing.TB, server bool, cfg *tls.Config, params []byte) *rawTLS {
	t.Helper()
	cfg = cfg.Clone()
	cfg.MinVersion = tls.VersionTLS13
	cfg.Time = hour0
	r := &rawTLS{t: t}
	if server {
		r.q = tls.QUICServer(&tls.QUICConfig{TLSConfig: cfg})
	} else {
		r.q = tls.QUICClient(&tls.QUICConfig{TLSConfig: cfg})
	}
	t.Cleanup(func() { r.q.Close() })
	r.q.SetTransportParameters(params)
	if err := r.q.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	r.pump()
	return r
}

// feed gives CRYPTO data to TLS.
func (r *rawTLS) feed(space spaceID, data []byte) error {
	level := [...]tls.QUICEncryptionLevel{tls.QUICEncryptionLevelInitial, tls.QUICEncryptionLevelHandshake, tls.QUICEncryptionLevelApplication}
	err := r.q.HandleData(level[space], data)
	r.pump()
	return err
}

func (r *rawTLS) pump() {
	for {
		ev := r.q.NextEvent()
		space := spaceOf(ev.Level)
		switch ev.Kind {
		case tls.QUICNoEvent:
			return
		case tls.QUICSetReadSecret:
			r.rx[space], _ = keys.New(Version1, ev.Suite, ev.Data)
		case tls.QUICSetWriteSecret:
			r.tx[space], _ = keys.New(Version1, ev.Suite, ev.Data)
		case tls.QUICWriteData:
			r.out[space] = append(r.out[space], ev.Data...)
		case tls.QUICTransportParameters:
			r.params = append([]byte(nil), ev.Data...)
		case tls.QUICHandshakeDone:
			r.done = true
		}
	}
}

// A rawPacket is a packet that is made without a Conn.
type rawPacket struct {
	typ        uint8 // of the long header
	version    uint32
	dcid, scid string
	token      []byte
	pn         uint64
	size       int // the size of the datagram, by padding
	tx         *keys.Keys
	frames     []frame
	payload    []byte
}

func (p rawPacket) seal() []byte {
	b := make([]byte, 0, max(p.size, minMTU)+keys.Overhead)
	b, lengthOff, pnOff := wire.AppendLong(b, p.typ, max(p.version, 1), []byte(p.dcid), []byte(p.scid), p.token, p.pn, 4)
	return sealTestPacket(p.tx, b, testPacket{frames: p.frames, payload: p.payload, size: p.size}, lengthOff, pnOff, 4, p.pn)
}

// clientInitial makes the first datagram of a client that chose dcid for the server.
func clientInitial(dcid, scid string, token []byte, frames ...frame) []byte {
	tx, _ := keys.Initial(Version1, []byte(dcid))
	return rawPacket{typ: wire.TypeInitial, dcid: dcid, scid: scid, token: token, size: minMTU, tx: tx, frames: frames}.seal()
}

// A rawParam is one transport parameter.
type rawParam struct {
	id uint64
	v  string
}

func appendRawParams(params []rawParam) []byte {
	var b []byte
	for _, p := range params {
		b = wire.AppendVarint(b, p.id)
		b = wire.AppendVarint(b, uint64(len(p.v)))
		b = append(b, p.v...)
	}
	return b
}

func varint(v uint64) string { return string(wire.AppendVarint(nil, v)) }

// A lone is an Endpoint under test. The test plays everyone else.
type lone struct {
	t testing.TB
	*Endpoint
	addr netip.AddrPort
	buf  []byte
	err  error // of the last EventClosed
	n    int   // of them
}

// newLone returns an Endpoint. It is a server if server is not nil.
func newLone(t testing.TB, server *Config, edit func(*EndpointConfig)) *lone {
	t.Helper()
	cfg := EndpointConfig{Rand: testRand(3), Server: server}
	if edit != nil {
		edit(&cfg)
	}
	return &lone{
		t: t, Endpoint: newTestEndpoint(t, &cfg), buf: make([]byte, mostSegments*1500),
		addr: netip.MustParseAddrPort("10.0.0.1:443"),
	}
}

// newLoneServer returns the Endpoint of a server with quietConfig, and the TLS configuration of its
// clients.
func newLoneServer(t testing.TB, edit func(*EndpointConfig)) (*lone, *tls.Config) {
	t.Helper()
	cfg := quietConfig()
	serverTLS, clientTLS := testTLS(t)
	cfg.TLS = serverTLS
	return newLone(t, &cfg, edit), clientTLS
}

// feed delivers a datagram, and returns the datagrams that the Endpoint sends then.
func (l *lone) feed(b []byte, from netip.AddrPort) []seenDatagram {
	l.t.Helper()
	l.Receive(hour0(), Datagram{Data: append([]byte(nil), b...), Remote: from, Local: l.addr})
	return l.drain()
}

// drain returns what the Endpoint sends, and notes its events.
func (l *lone) drain() []seenDatagram {
	l.noteEvents()
	return drainEndpoint(l.Endpoint, l.wall(l.now), l.buf)
}

// discard is drain for tests that do not look at what the Endpoint sends.
func (l *lone) discard() {
	l.noteEvents()
	for now, ok := l.wall(l.now), true; ok; {
		_, ok = l.Transmit(now, l.buf, mostSegments)
	}
}

func (l *lone) noteEvents() {
	for ev, ok := l.NextEvent(); ok; ev, ok = l.NextEvent() {
		if ev.Kind == EventClosed {
			l.err = ev.Err
			l.n++
		}
	}
}

// closeOf opens an Initial packet of a server, to a client that chose dcid, and returns the
// CONNECTION_CLOSE frame in it.
func closeOf(t testing.TB, b []byte, dcid string) frame {
	t.Helper()
	_, rx := keys.Initial(Version1, []byte(dcid))
	h, ok := wire.ParseLong(b)
	if !ok || h.Type != wire.TypeInitial {
		t.Fatalf("no Initial packet: %x", b)
	}
	b = append([]byte(nil), b[:h.End]...)
	pnLen, pn, _ := rx.Unprotect(b, h.PNOff)
	payload, ok := rx.Open(b, h.PNOff+pnLen, pn)
	for ok && len(payload) > 0 {
		f, n := parseFrame(payload)
		if f.typ == wire.FrameConnectionClose {
			return f
		}
		payload = payload[n:]
	}
	t.Fatal("no CONNECTION_CLOSE")
	return frame{}
}
