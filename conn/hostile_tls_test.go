package conn

import (
	"testing"

	"github.com/lazoquic/lazo/internal/keys"
	"github.com/lazoquic/lazo/internal/wire"
)

// Peers whose TLS messages break the rules of RFC 9001 for them.

// withSessionID returns a ClientHello with a legacy_session_id (RFC 8446, Section 4.1.2).
func withSessionID(hello []byte, id string) string {
	const off = 4 + 2 + 32
	body := string(hello[4:off]) + string(rune(len(id))) + id + string(hello[off+1:])
	return string([]byte{1, byte(len(body) >> 16), byte(len(body) >> 8), byte(len(body))}) + body
}

// pieces cuts CRYPTO data into frames of n bytes.
func pieces(data string, n int) (all []frame) {
	for off := 0; off < len(data); off += n {
		all = append(all, cryptoFrame(uint64(off), data[off:min(off+n, len(data))]))
	}
	return all
}

func TestHostileClientHello(t *testing.T) {
	for _, test := range []struct {
		name   string
		frames func(hello []byte) []frame
		code   int64 // -1: none
	}{
		{"honest", func(h []byte) []frame { return pieces(string(h), 1000) }, -1},
		{"honest, in pieces", func(h []byte) []frame { return pieces(string(h), 7) }, -1},
		// RFC 9001, Section 8.4 [2]
		{"with a session ID", func(h []byte) []frame { return pieces(withSessionID(h, "an ID"), 1000) }, errProtocolViolation},
		{"with the longest session ID, in pieces", func(h []byte) []frame {
			return pieces(withSessionID(h, "12345678901234567890123456789012"), 3)
		}, errProtocolViolation},
		// RFC 9001, Section 4.1.3 [3]
		{"with a byte behind", func(h []byte) []frame { return pieces(string(h)+"\x01", 1000) }, errProtocolViolation},
		{"twice", func(h []byte) []frame { return pieces(string(h)+string(h), 600) }, errProtocolViolation},
		{"with a byte behind a gap", func(h []byte) []frame {
			return append([]frame{cryptoFrame(uint64(len(h))+9, "x")}, pieces(string(h), 1000)...)
		}, errProtocolViolation},
	} {
		t.Run(test.name, func(t *testing.T) {
			l, clientTLS := newLoneServer(t, nil)
			r := newRawTLS(t, false, clientTLS, appendRawParams([]rawParam{{0x0f, rawClientID}}))
			for i, f := range test.frames(r.out[spaceInitial]) {
				l.feed(nthClientInitial(uint64(i), f), elsewhere(1))
			}
			if got := errorCode(l.err); got != test.code {
				t.Fatalf("the connection ended with %v", l.err)
			}
			if test.code < 0 && l.last.spaces[spaceHandshake].tx == nil {
				t.Error("the server did not answer")
			}
		})
	}
}

// nthClientInitial returns a datagram with the nth Initial packet of a client.
func nthClientInitial(pn uint64, frames ...frame) []byte {
	tx, _ := keys.Initial(Version1, []byte(rawServerID))
	return rawPacket{typ: wire.TypeInitial, dcid: rawServerID, scid: rawClientID, pn: pn, tx: tx, size: minMTU, frames: frames}.seal()
}

func TestHostileServerFlight(t *testing.T) {
	for _, test := range []struct {
		name               string
		initial, handshake func(data string) []frame
		code               int64
	}{
		{name: "honest", code: -1},
		{
			name: "honest, in pieces", code: -1,
			initial:   func(s string) []frame { return pieces(s, 11) },
			handshake: func(s string) []frame { return pieces(s, 100) },
		},
		// RFC 9001, Section 4.1.3
		{name: "a byte behind ServerHello", initial: func(s string) []frame { return pieces(s+"\x02", 1000) }, code: errProtocolViolation},
		{
			name: "a byte behind ServerHello and a gap", code: errProtocolViolation,
			initial: func(s string) []frame { return []frame{cryptoFrame(uint64(len(s))+5, "x"), cryptoFrame(0, s)} },
		},
		{name: "a byte behind Finished", handshake: func(s string) []frame { return pieces(s+"\x04", 1100) }, code: errProtocolViolation},
		{
			name: "a byte behind Finished and a gap", code: errProtocolViolation,
			handshake: func(s string) []frame {
				return append([]frame{cryptoFrame(uint64(len(s))+1, "x")}, pieces(s, 1100)...)
			},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			serverTLS, clientTLS := testTLS(t)
			cfg := quietConfig()
			cfg.TLS = clientTLS
			r := dialRaw(t, serverTLS, &cfg, nil)
			for space, frames := range []func(string) []frame{test.initial, test.handshake} {
				if frames == nil {
					frames = func(s string) []frame { return pieces(s, 1100) }
				}
				for _, f := range frames(string(r.out[space])) {
					if !r.c.closed {
						r.send(spaceID(space), f)
					}
				}
			}
			r.l.drain()
			if got := errorCode(r.l.err); got != test.code {
				t.Fatalf("the connection ended with %v", r.l.err)
			}
			if test.code < 0 && r.c.state != stateComplete {
				t.Error("the handshake is not complete")
			}
		})
	}
}

// TestCryptoBehindOffloadedHello: data of the level that TLS is about to leave comes while TLS is
// at work.
func TestCryptoBehindOffloadedHello(t *testing.T) {
	var work []*TLSWork
	l, clientTLS := newLoneServer(t, func(c *EndpointConfig) { c.Offload = func(w *TLSWork) { work = append(work, w) } })
	r := newRawTLS(t, false, clientTLS, appendRawParams([]rawParam{{0x0f, rawClientID}}))
	hello := string(r.out[spaceInitial])
	for i, f := range append(pieces(hello, 1000), cryptoFrame(uint64(len(hello)), "x")) {
		l.feed(nthClientInitial(uint64(i), f), elsewhere(1))
	}
	for i := 0; i < len(work); i++ {
		work[i].Run()
		l.Complete(hour0(), work[i])
	}
	l.drain()
	if errorCode(l.err) != errProtocolViolation {
		t.Errorf("the connection ended with %v", l.err)
	}
}

// TestPartialMessagesCount: a peer begins a long TLS message, and does not end it. What TLS keeps
// of it counts in the account of memory, during the handshake and behind it.
func TestPartialMessagesCount(t *testing.T) {
	const size = 60_000
	l, _ := newLoneServer(t, nil)
	hello := "\x01\x00\xff\x00" + string(make([]byte, size))
	for i, f := range pieces(hello, 1000) {
		l.feed(nthClientInitial(uint64(i), f), elsewhere(1))
	}
	if held := l.Stats().Held; l.err != nil || held < size {
		t.Errorf("a server counts %d bytes: %v", held, l.err)
	}

	tc := newTestConn(t, false)
	before := tc.e.Stats().Held
	off := tc.c.app.cryptoIn.Offset() // behind the tickets
	for _, f := range pieces("\x04\x00\xff\x00"+string(make([]byte, size)), 1000) {
		f.v[0] += off
		tc.send(testPacket{space: spaceApp, frames: []frame{f}})
	}
	tc.wantOpen("a message may be so long")
	tc.flush()
	if held := tc.e.Stats().Held - before; held < size {
		t.Errorf("a client counts %d bytes", held)
	}
	tc.c.Close(0, "")
	tc.flush()
	if held := tc.e.Stats().Held; held >= size {
		t.Errorf("%d bytes count for a connection that has ended", held)
	}
}
