package conn

import (
	"bytes"
	"crypto/tls"
	"slices"
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/keys"
	"github.com/lazoquic/lazo/internal/wire"
)

// alertDecodeError is what TLS says of messages that it cannot read (RFC 8446, Section 6).
const alertDecodeError = 50

// A recordedTLS is what the TLS of a server did in a handshake with one client. It does it again
// for each connection of a fuzz target, to which crypto/tls would be the most work by far.
type recordedTLS struct {
	cfg   *Config       // of the server
	q     *tls.QUICConn // its handshake is complete
	steps [2]recordedStep
	// the client's keys, for packets that it may send
	tx [numSpaces]*keys.Keys
}

// A recordedStep is one step: what the client said, and what TLS made of it.
type recordedStep struct {
	level  tls.QUICEncryptionLevel
	data   []byte
	events []tls.QUICEvent
}

// recordTLS does the handshake of a client that chose rawServerID and rawClientID.
func recordTLS(t testing.TB) *recordedTLS {
	t.Helper()
	var works []*TLSWork
	l, clientTLS := newLoneServer(t, func(c *EndpointConfig) { c.Offload = func(w *TLSWork) { works = append(works, w) } })
	client := newRawTLS(t, false, clientTLS, appendRawParams([]rawParam{{0x0f, rawClientID}}))
	r := &recordedTLS{cfg: l.cfg.Server}
	step := func(b []byte) {
		t.Helper()
		n := len(works)
		l.feed(b, elsewhere(1))
		if len(works) != n+1 || works[n].data.b == nil {
			t.Fatalf("step %d of TLS does not come", n)
		}
		w := works[n]
		w.Run()
		r.q = w.q
		r.steps[n] = recordedStep{level: w.data.level, data: w.data.b, events: slices.Clone(w.events)}
		l.Complete(hour0(), w)
		for _, ev := range r.steps[n].events {
			if ev.Kind == tls.QUICWriteData {
				if err := client.feed(spaceOf(ev.Level), ev.Data); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	step(clientInitial(rawServerID, rawClientID, nil, cryptoFrame(0, string(client.out[spaceInitial]))))
	finished := rawPacket{typ: wire.TypeHandshake, dcid: rawServerID, scid: rawClientID, tx: client.tx[spaceHandshake]}
	finished.frames = []frame{cryptoFrame(0, string(client.out[spaceHandshake]))}
	step(finished.seal())
	if !client.done || l.first.state != stateConfirmed {
		t.Fatal("the handshake failed")
	}
	r.tx = client.tx
	return r
}

// clientHello returns the CRYPTO data of the client's first flight, clientFinished those of its
// second.
func (r *recordedTLS) clientHello() string    { return string(r.steps[0].data) }
func (r *recordedTLS) clientFinished() string { return string(r.steps[1].data) }

// A playback plays a recordedTLS for the connections of an Endpoint. It is the place that
// EndpointConfig.Offload gives work to.
type playback struct {
	*recordedTLS
	works []*TLSWork
}

// A played says how far the TLS of a connection has come. It is Conn.UserData.
type played struct {
	step int
	data []byte // of the step, so far
}

func (p *playback) offload(w *TLSWork) { p.works = append(p.works, w) }

// complete does the work that has come.
func (p *playback) complete(e *Endpoint, now time.Time) {
	for len(p.works) > 0 {
		w := p.works[0]
		p.works = p.works[1:]
		p.play(w)
		close(w.done)
		e.Complete(now, w)
	}
}

// play does what TLSWork.Run does. TLS answers the recorded messages, in any pieces, and takes all
// others for broken ones.
func (p *playback) play(w *TLSWork) {
	c := w.conn
	at, _ := c.UserData.(*played)
	if at == nil {
		at = &played{}
		c.UserData = at
		c.tls.q = p.q
	}
	if d := w.data; d.b != nil {
		if at.step == len(p.steps) || d.level != p.steps[at.step].level {
			w.err = tls.AlertError(alertDecodeError)
			return
		}
		want := &p.steps[at.step]
		at.data = append(at.data, d.b...)
		if !bytes.HasPrefix(want.data, at.data) {
			w.err = tls.AlertError(alertDecodeError)
			return
		}
		if len(at.data) == len(want.data) {
			w.events = append(w.events, want.events...)
			*at = played{step: at.step + 1}
		}
	}
}

// TestPlayback: with recorded TLS a server gets as far as with real TLS, and takes 1-RTT packets.
func TestPlayback(t *testing.T) {
	s := &fuzzServer{playback: playback{recordedTLS: recordTLS(t)}, in: newFuzzInput(nil)}
	s.initial, _ = keys.Initial(Version1, []byte(rawServerID))
	s.lone, _ = newLoneServer(t, func(c *EndpointConfig) { c.Offload = s.offload })
	for _, op := range []byte{0, 6} {
		s.feed(s.datagram(op), elsewhere(1))
		s.complete(s.Endpoint, hour0())
	}
	if got := s.Stats(); got.Connected != 1 || s.first.state != stateConfirmed {
		t.Fatalf("the handshake does not end: %+v", got)
	}
	before := s.first.app.recv.largest
	s.in = newFuzzInput([]byte{0}) // PING
	s.feed(s.datagram(7), elsewhere(1))
	if got := s.first.app.recv.largest; got != int64(s.pn)-1 || got == before {
		t.Errorf("the largest 1-RTT packet is %d, want %d", got, s.pn-1)
	}
	s.first.Close(0, "")
	s.drain()
	later := hour0().Add(time.Hour)
	s.HandleTimeout(later)
	if err := s.CheckEmpty(later); err != nil {
		t.Error(err)
	}
}

// TestPlaybackRefuses: what is not as it was recorded ends the connection, as broken TLS does.
func TestPlaybackRefuses(t *testing.T) {
	s := &fuzzServer{playback: playback{recordedTLS: recordTLS(t)}, in: newFuzzInput([]byte{1})}
	s.initial, _ = keys.Initial(Version1, []byte(rawServerID))
	s.lone, _ = newLoneServer(t, func(c *EndpointConfig) { c.Offload = s.offload })
	hello := []byte(s.clientHello())
	hello[len(hello)-1] ^= 1
	s.feed(clientInitial(rawServerID, rawClientID, nil, cryptoFrame(0, string(hello))), elsewhere(1))
	s.complete(s.Endpoint, hour0())
	s.drain()
	if got, want := errorCode(s.err), int64(errCrypto+alertDecodeError); got != want {
		t.Errorf("the connection ended with %d, want %d", got, want)
	}
}
