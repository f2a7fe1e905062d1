package masque

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/dgram"
	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
)

// A puppet is the side of the tunnels of a fuzzScript that does anything.
type puppet struct {
	asked    int // for tunnels
	streams  chan *puppetStream
	tunnels  []*puppetStream
	gone     bool // a target is
	untagged bool // payloads without a tag were sent to the puppet
}

// A puppetStream is the puppet's end of a tunnel.
type puppetStream struct {
	*h3http.Stream
	c       *loop.Conn
	port    uint16
	muddled bool   // nobody knows which capsule begins where, or what is in it
	in      []byte // capsules, as far as they have come
}

// ask asks for a tunnel.
func (p *puppet) ask(f *fuzzScript, target netip.AddrPort) {
	u, err := f.client.expand(target.String())
	require.NoError(f.t, err)
	r, err := http.NewRequestWithContext(f.within(), http.MethodConnect, u, nil)
	require.NoError(f.t, err)
	r.Header[":protocol"] = []string{"connect-udp"}
	if s, resp, err := f.client.Transport.Connect(r); s != nil {
		p.streams <- &puppetStream{Stream: s, c: h3http.ConnOf(resp.Request), port: target.Port()}
	} else if err == nil {
		resp.Body.Close()
	}
}

// answer accepts a tunnel.
func (p *puppet) answer(w http.ResponseWriter, r *http.Request) {
	t, err := parseTemplate(WellKnown)
	if err != nil {
		panic(err)
	}
	_, digits, _ := t.match(r.URL.EscapedPath())
	port, _ := parsePort(digits)
	w.Header().Set("Capsule-Protocol", "?1")
	if s, err := h3http.TakeStream(w); err == nil {
		p.streams <- &puppetStream{Stream: s, c: h3http.ConnOf(r), port: port}
	}
}

// pick returns the puppet's end of one of the tunnels, or nil if there is none.
func (p *puppet) pick(f *fuzzScript) *puppetStream {
	p.collect()
	if i := int(f.in.Byte()); len(p.tunnels) > 0 {
		return p.tunnels[i%len(p.tunnels)]
	}
	return nil
}

func (p *puppet) collect() {
	for {
		select {
		case s := <-p.streams:
			p.tunnels = append(p.tunnels, s)
		default:
			return
		}
	}
}

// of returns the puppet's end of a tunnel.
func (p *puppet) of(port uint16) *puppetStream {
	p.collect()
	for _, s := range p.tunnels {
		if s.port == port {
			return s
		}
	}
	return nil
}

// capsules writes capsules.
func (p *puppet) capsules(f *fuzzScript) {
	s := p.pick(f)
	if s == nil {
		return
	}
	var b []byte
	for range 1 + f.in.Byte()&3 {
		b = append(b, s.capsule(f)...)
	}
	s.SetWriteDeadline(time.Now().Add(time.Millisecond))
	if n, err := s.Write(b); err != nil || n < len(b) {
		s.muddled = true
	}
}

// capsule returns a capsule.
func (s *puppetStream) capsule(f *fuzzScript) []byte {
	switch f.in.Byte() % 10 {
	case 0, 1, 2, 3:
		return capsule(dgram.CapsuleDatagram, payload(0, tagged(s.port, f.size())...))
	case 4:
		return capsule(dgram.CapsuleDatagram, payload(2, make([]byte, f.in.Byte())...))
	case 5:
		return capsule(dgram.CapsuleDatagram, nil)
	case 6:
		return capsule(dgram.CapsuleDatagram, []byte{0x40}) // half a context ID
	case 7:
		return capsule(0x17+0x29*uint64(f.in.Byte()), make([]byte, f.size()))
	case 8:
		s.muddled = true
		return dgramHeader(maxPayload + 2 + uint64(f.in.Byte()))
	default:
		s.muddled = true
		return f.bytes()
	}
}

// datagrams sends datagrams.
func (p *puppet) datagrams(f *fuzzScript) {
	s := p.pick(f)
	if s == nil {
		return
	}
	var b []byte
	switch kind := f.in.Byte(); kind % 6 {
	case 0, 1, 2:
		b = payload(0, tagged(s.port, f.size())...)
	case 3:
		b = payload(2, make([]byte, f.in.Byte())...)
	case 4:
		b = []byte{0x40}
	}
	for range 1 + f.in.Byte()&15 {
		s.SendDatagram(f.within(), b, 0)
	}
}

// end ends a direction of a tunnel, or both.
func (p *puppet) end(f *fuzzScript) {
	s := p.pick(f)
	if s == nil {
		return
	}
	switch f.in.Byte() % 6 {
	case 0:
		s.CloseWrite()
	case 1:
		s.Reset(h3.RequestCancelled)
	case 2:
		s.StopSending(h3.NoError)
	case 3:
		s.Cancel(h3.ConnectError)
	case 4:
		s.Close()
	}
}

// read reads what has come, and checks that it is of the right tunnel.
func (p *puppet) read(f *fuzzScript) {
	p.collect()
	b := make([]byte, maxPayload+10)
	for _, s := range p.tunnels {
		s.SetReadDeadline(time.Now().Add(time.Nanosecond))
		n, err := s.Read(b)
		s.in = append(s.in, b[:n]...)
		s.parse(f)
		if se, ok := errors.AsType[*conn.StreamError](err); ok && se.Remote {
			p.checkCode(f, s, h3.ErrorCode(se.Code))
		}
		for more := true; more; {
			var d []byte
			ctx := f.within()
			if d, err = s.AppendDatagram(ctx, nil); err == nil {
				s.check(f, d)
			}
			more = err == nil
		}
	}
}

// parse takes the capsules that have come whole.
func (s *puppetStream) parse(f *fuzzScript) {
	for {
		typ, length, n := dgram.ParseCapsule(s.in)
		if n == 0 || uint64(len(s.in)-n) < length {
			return
		}
		require.EqualValues(f.t, dgram.CapsuleDatagram, typ)
		s.check(f, s.in[n:][:length])
		s.in = s.in[n+int(length):]
	}
}

// check checks an HTTP Datagram.
func (s *puppetStream) check(f *fuzzScript, b []byte) {
	id, n := dgram.ParseContextID(b)
	require.True(f.t, n > 0 && id == 0, "a datagram of context %d", id)
	if !f.p.untagged {
		require.Equal(f.t, tagged(s.port, len(b)-n), b[n:])
	}
}

// checkCode checks the code with which the other side has reset a stream.
func (p *puppet) checkCode(f *fuzzScript, s *puppetStream, code h3.ErrorCode) {
	switch code {
	case h3.MessageError:
		require.True(f.t, s.muddled, "no capsule was cut short")
	case h3.DatagramError:
		require.True(f.t, s.muddled, "no payload was too long")
	case h3.ConnectError:
		require.True(f.t, p.gone, "the target is there")
	case h3.RequestCancelled, h3.NoError:
	default:
		f.t.Fatalf("a tunnel was reset with %v", code)
	}
}

// knows reports whether err is the consequence of what the puppet did: it reset or stopped a
// stream.
func (p *puppet) knows(err error) bool {
	if se, ok := errors.AsType[*conn.StreamError](err); ok {
		return se.Remote
	}
	_, malformed := errors.AsType[*h3.Error](err)
	return malformed
}

// lost returns why the connection of a tunnel has ended, unless it was silent for too long or the
// client has left it. No tunnel may end it.
func (p *puppet) lost() error {
	p.collect()
	for _, s := range p.tunnels {
		cause := context.Cause(s.c.Context())
		ae, ok := errors.AsType[*conn.ApplicationError](cause)
		if cause != nil && !errors.Is(cause, conn.ErrIdleTimeout) && !(ok && h3.ErrorCode(ae.Code) == h3.NoError) {
			return cause
		}
	}
	return nil
}
