package hostile

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"testing"

	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/internal/keys"
	"github.com/lazoquic/lazo/internal/rangeset"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/internal/wire"
)

// The spaces of packet numbers (RFC 9000, Section 12.3).
const (
	initial = iota
	handshake
	app
	spaces
)

const (
	minDatagram = 1200 // RFC 9000, Section 14.1
	idLen       = 8    // of the connection IDs of both sides
)

// A peer is a client that is played packet by packet. It has TLS and packet protection, and answers
// honestly by itself: it acknowledges what it gets, and hands CRYPTO data to TLS. Everything else
// is the script's.
type peer struct {
	t    testing.TB
	to   target
	port uint16

	q          *tls.QUICConn
	tx, rx     [spaces]*keys.Keys
	crypto     [spaces][]byte // sent so far
	received   [spaces]uint64 // bytes of CRYPTO data that TLS has
	next       [spaces]uint64 // packet numbers
	got        [spaces]rangeset.Set
	unanswered [spaces]bool // a packet asks for an ACK
	keep       []kept

	first      string // the ID that the first packet went to
	dcid, scid string
	token      []byte
	done       bool // TLS has finished
	confirmed  bool // HANDSHAKE_DONE came
	mute       bool // it acknowledges nothing

	sent, answered int // bytes of datagrams, both ways
	written        int // datagrams
	others         [][]byte
	seen           seen
	nextID         [4]uint64         // streams
	offsets        map[uint64]uint64 // of streams that stream opened: bytes sent
	request        uint64            // the CONNECT stream of its session or tunnel
}

// A kept is a frame that is sent again while the peer waits for something, as a real socket may
// lose it.
type kept struct {
	space int
	frame []byte
}

// seen is what the other side has said so far.
type seen struct {
	closed  bool
	app     bool // CONNECTION_CLOSE came from the application
	code    uint64
	reason  string
	streams map[uint64]*stream
	frames  map[uint64]int // number of frames by type

	maxStreams uint64 // bidirectional ones that the client may open
}

// A stream is what came on a stream.
type stream struct {
	data           map[uint64][]byte // by offset
	fin            bool
	reset, stopped bool
	resetCode      uint64
	stopCode       uint64
}

// hello returns a peer whose first flight is ready, and not sent.
func hello(t testing.TB, to target) *peer { return helloOther(t, to, nil, "") }

// helloOther has other transport parameters and another protocol, unless they are empty.
func helloOther(t testing.TB, to target, other []byte, alpn string) *peer {
	t.Helper()
	p := &peer{t: t, to: to, port: to.port(), scid: "mine is "}
	p.first = fmt.Sprintf("id%06d", p.port)
	p.dcid = p.first
	p.seen.streams, p.seen.frames = make(map[uint64]*stream), make(map[uint64]int)
	p.tx[initial], p.rx[initial] = keys.Initial(wire.Version1, []byte(p.first))
	p.nextID = [4]uint64{0, 1, 2, 3}
	p.offsets = make(map[uint64]uint64)
	p.seen.maxStreams = 100
	if other == nil {
		other = params()
	}
	p.q = tls.QUICClient(&tls.QUICConfig{TLSConfig: clientTLS(cmp.Or(alpn, "h3"))})
	t.Cleanup(func() { p.q.Close() })
	p.q.SetTransportParameters(other)
	require.NoError(t, p.q.Start(context.Background()))
	p.tls()
	return p
}

// clientTLS is the TLS configuration of a peer.
func clientTLS(alpn string) *tls.Config {
	cfg := conntest.ClientTLS()
	cfg.NextProtos = []string{alpn}
	cfg.CurvePreferences = []tls.CurveID{tls.CurveP256} // so ClientHello fits into one packet
	return cfg
}

// tls takes the events of TLS.
func (p *peer) tls() {
	for {
		ev := p.q.NextEvent()
		space := spaceOf(ev.Level)
		switch ev.Kind {
		case tls.QUICNoEvent:
			return
		case tls.QUICSetReadSecret:
			p.rx[space], _ = keys.New(wire.Version1, ev.Suite, ev.Data)
		case tls.QUICSetWriteSecret:
			p.tx[space], _ = keys.New(wire.Version1, ev.Suite, ev.Data)
		case tls.QUICWriteData:
			f := cryptoFrame(uint64(len(p.crypto[space])), ev.Data)
			p.crypto[space] = append(p.crypto[space], ev.Data...)
			p.keep = append(p.keep, kept{space, f})
		case tls.QUICHandshakeDone:
			p.done = true
		}
	}
}

func spaceOf(level tls.QUICEncryptionLevel) int {
	switch level {
	case tls.QUICEncryptionLevelInitial:
		return initial
	case tls.QUICEncryptionLevelHandshake:
		return handshake
	}
	return app
}

// packet seals a packet with frames. Its number is the next one.
func (p *peer) packet(space int, frames ...[]byte) []byte {
	p.next[space]++
	return p.packetNumbered(space, p.next[space]-1, frames...)
}

// packetNumbered seals one with the packet number pn. A datagram with an Initial packet is as long
// as it must be.
func (p *peer) packetNumbered(space int, pn uint64, frames ...[]byte) []byte {
	var b []byte
	lengthOff, pnOff := 0, 0
	if space == app {
		b = wire.AppendShort(b, []byte(p.dcid), false, false, pn, 4)
		pnOff = len(b) - 4
	} else {
		typ := [...]uint8{wire.TypeInitial, wire.TypeHandshake}[space]
		b, lengthOff, pnOff = wire.AppendLong(b, typ, wire.Version1, []byte(p.dcid), []byte(p.scid), p.token, pn, 4)
	}
	return seal(p.tx[space], b, space == initial, lengthOff, pnOff, pn, frames)
}

// seal appends frames to a header, and protects the packet.
func seal(tx *keys.Keys, b []byte, full bool, lengthOff, pnOff int, pn uint64, frames [][]byte) []byte {
	for _, f := range frames {
		b = append(b, f...)
	}
	least := pnOff + 4 // there is a sample
	if full {
		least = minDatagram - keys.Overhead
	}
	for len(b) < least {
		b = append(b, wire.FramePadding)
	}
	if lengthOff > 0 {
		wire.PutVarint2(b[lengthOff:], uint64(len(b)-pnOff+keys.Overhead))
	}
	b = append(b, make([]byte, keys.Overhead)...)[:len(b)]
	return tx.Seal(b, pnOff, 4, pn)
}

// write sends a datagram as it is.
func (p *peer) write(b []byte) {
	p.sent += len(b)
	p.written++
	p.to.write(b, p.port)
}

// send sends frames, each in 1-RTT packets with as many as fit.
func (p *peer) send(frames ...[]byte) {
	p.t.Helper()
	size, from := 0, 0
	for i, f := range frames {
		if size+len(f) > room && i > from {
			p.write(p.packet(app, frames[from:i]...))
			size, from = 0, i
		}
		size += len(f)
	}
	p.write(p.packet(app, frames[from:]...))
}

// room is how many bytes of frames fit into a 1-RTT packet of the smallest size.
const room = minDatagram - 1 - idLen - 4 - keys.Overhead

// sendIn sends frames in one packet of a space.
func (p *peer) sendIn(space int, frames ...[]byte) { p.write(p.packet(space, frames...)) }

// stream sends data on a new stream, reliably, and returns its ID.
func (p *peer) stream(kind uint64, data []byte, fin bool) uint64 {
	id := p.nextID[kind]
	p.nextID[kind] += 4
	p.extend(id, data, fin)
	return id
}

// extend sends more data on a stream, reliably.
func (p *peer) extend(id uint64, data []byte, fin bool) {
	for off := 0; ; {
		n := min(len(data)-off, room-30)
		f := streamFrame(id, p.offsets[id], data[off:][:n], fin && off+n == len(data))
		p.keep = append(p.keep, kept{app, f})
		p.send(f)
		p.offsets[id] += uint64(n)
		if off += n; off == len(data) {
			return
		}
	}
}

// The two kinds of streams of a client, as bits of their IDs.
const (
	bidi = 0
	uni  = 2
)

// forget drops what would be sent again.
func (p *peer) forget() { p.keep = nil }
