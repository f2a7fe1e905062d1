package h3

import (
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/internal/qpack"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/internal/wire"
)

// rtt is the round-trip time between the sides of a test.
const rtt = 10 * time.Millisecond

// A side is one end of a connection in a test. It has an h3.Conn, or it is a peer that is scripted
// byte by byte.
type side struct {
	t    *testing.T
	net  *conntest.Network
	node *conntest.Node
	q    *conn.Conn
	h    *Conn
	cfg  *Config

	// on handles the events of h. By default they collect in events, with their
	// fields cloned.
	on     func(Event)
	events []Event
	others []conn.EventKind // events that were not HTTP/3's
	closed error

	// What a scripted peer has seen.
	streams map[conn.StreamID]*rawStream
}

// A rawStream is a stream of a scripted peer.
type rawStream struct {
	*conn.Stream
	data    []byte
	eof     bool
	reset   ErrorCode
	stopped ErrorCode
}

func (p *side) stream(s *conn.Stream) *rawStream {
	r := p.streams[s.ID()]
	if r == nil {
		r = &rawStream{Stream: s}
		p.streams[s.ID()] = r
	}
	return r
}

// fields decodes the field section at the start of the stream.
func (r *rawStream) fields() (fields []Field) {
	typ, length, n := parseFrameHeader(r.data)
	if typ != frameHeaders || n == 0 {
		return nil
	}
	got, err := qpack.NewDecoder(0, 0, -1).Decode(0, r.data[n:][:length])
	if err != nil {
		return nil
	}
	for _, f := range got {
		fields = append(fields, Field(f))
	}
	return fields
}

func (p *side) handle(now time.Time, ev conn.Event) {
	if ev.Kind == conn.EventClosed {
		p.closed = ev.Err
	}
	if p.q == nil {
		p.q = ev.Conn
	}
	if p.cfg == nil {
		p.script(ev)
		return
	}
	if p.h == nil {
		var err error
		p.h, err = NewConn(p.q, p.cfg)
		require.NoError(p.t, err)
	}
	if !p.h.HandleEvent(now, ev) {
		p.others = append(p.others, ev.Kind)
	}
	p.drain()
}

// drain takes the events of h.
func (p *side) drain() {
	for ev, ok := p.h.NextEvent(); ok; ev, ok = p.h.NextEvent() {
		if p.on != nil {
			p.on(ev)
			continue
		}
		ev.Fields = slices.Clone(ev.Fields)
		p.events = append(p.events, ev)
	}
}

// script records the events of a scripted peer.
func (p *side) script(ev conn.Event) {
	if ev.Stream == nil {
		return
	}
	r := p.stream(ev.Stream)
	switch ev.Kind {
	case conn.EventStreamReadable:
		buf := make([]byte, 4096)
		for {
			n, err := r.Read(buf)
			r.data = append(r.data, buf[:n]...)
			if err != nil {
				r.eof = err == io.EOF
				return
			}
		}
	case conn.EventStreamReset:
		r.reset = ErrorCode(ev.Code)
	case conn.EventStreamStopped:
		r.stopped = ErrorCode(ev.Code)
	}
}

// open opens a stream of a scripted peer and writes b to it.
func (p *side) open(dir conn.Dir, b []byte, fin bool) *rawStream {
	s, err := p.q.OpenStream(dir)
	require.NoError(p.t, err)
	r := p.stream(s)
	p.write(r, b, fin)
	return r
}

func (p *side) write(r *rawStream, b []byte, fin bool) {
	n, err := r.Write(b)
	require.NoError(p.t, err)
	require.Equal(p.t, len(b), n)
	if fin {
		require.NoError(p.t, r.CloseWrite())
	}
}

// run lets some round trips pass.
func (p *side) run() { p.net.RunFor(10 * rtt) }

// wantClosed expects that the other side has closed the connection with code.
func (p *side) wantClosed(code ErrorCode) {
	p.t.Helper()
	var aerr *conn.ApplicationError
	require.ErrorAs(p.t, p.closed, &aerr, "want %v", code)
	require.Equal(p.t, code, ErrorCode(aerr.Code), aerr.Reason)
	require.True(p.t, aerr.Remote)
	require.NotEmpty(p.t, aerr.Reason)
}

// find returns the first of p's events of a kind.
func (p *side) find(kind EventKind) (Event, bool) {
	i := slices.IndexFunc(p.events, func(ev Event) bool { return ev.Kind == kind })
	if i < 0 {
		return Event{}, false
	}
	return p.events[i], true
}

func (p *side) want(kind EventKind) Event {
	p.t.Helper()
	ev, ok := p.find(kind)
	require.True(p.t, ok, "no event of kind %d", kind)
	return ev
}

func (p *side) refuse(kind EventKind) {
	p.t.Helper()
	_, ok := p.find(kind)
	require.False(p.t, ok, "an event of kind %d", kind)
}

// connect returns a server and a client that are connected. Either is scripted if
// its configuration is nil.
func connect(t *testing.T, server, client *Config) (srv, cli *side) {
	return connectWith(t, server, client, nil)
}

// connectWith lets change alter the configurations of the QUIC connections.
func connectWith(t *testing.T, server, client *Config, change func(server, client *conn.Config)) (srv, cli *side) {
	n := conntest.New(t, 1)
	n.Default = conntest.Link{Delay: rtt / 2}
	scfg, ccfg := conntest.ServerConfig(), conntest.ClientConfig()
	scfg.MaxDatagramFrameSize, ccfg.MaxDatagramFrameSize = 1200, 1200
	if change != nil {
		change(scfg, ccfg)
	}
	newSide := func(cfg *Config) *side {
		return &side{t: t, net: n, cfg: cfg, streams: make(map[conn.StreamID]*rawStream)}
	}
	srv, cli = newSide(server), newSide(client)
	srv.node = n.Add("10.0.0.1:443", &conn.EndpointConfig{Rand: random(1), Server: scfg})
	cli.node = n.Add("10.0.0.2:1000", &conn.EndpointConfig{Rand: random(2)})
	srv.node.OnEvent, cli.node.OnEvent = srv.handle, cli.handle
	var err error
	cli.q, err = cli.node.Dial(n.Now(), conn.Target{Remote: srv.node.Addr, ServerName: "lazo.test"}, ccfg)
	require.NoError(t, err)
	if client != nil {
		cli.h, err = NewConn(cli.q, client)
		require.NoError(t, err)
	}
	n.RunFor(5 * rtt)
	require.NotNil(t, srv.q)
	require.True(t, cli.q.HandshakeComplete())
	return srv, cli
}

// random returns a reproducible source.
func random(seed uint64) io.Reader {
	var key [32]byte
	key[0] = byte(seed)
	return rand.NewChaCha8(key)
}

// readAll reads the body of s as far as it has come.
func readAll(s *Stream) ([]byte, error) {
	var all []byte
	buf := make([]byte, 1500)
	for {
		n, err := s.Read(buf)
		all = append(all, buf[:n]...)
		if err != nil {
			return all, err
		}
	}
}

// echo makes the server answer every request with its own body and trailers.
func (p *side) echo() {
	p.on = func(ev Event) {
		s := ev.Stream
		switch ev.Kind {
		case EventFields:
			if s.UserData != nil { // trailers
				require.NoError(p.t, s.SendFields(slices.Clone(ev.Fields), true))
				return
			}
			s.UserData = true
			require.NoError(p.t, s.SendFields([]Field{{Name: ":status", Value: "200"}}, ev.End))
			if ev.End {
				s.Release()
			}
		case EventReadable, EventWritable:
			if echoBody(s) {
				s.CloseWrite()
				s.Release()
			}
		case EventCanceled:
			s.Release()
		}
	}
}

// echoBody copies as much as it can. It reports whether that was everything.
func echoBody(s *Stream) bool {
	for {
		b, err := s.Peek(1)
		if len(b) == 0 {
			return err == io.EOF
		}
		n, err := s.Write(b)
		s.Discard(n)
		if errors.Is(err, conn.ErrWouldBlock) {
			return false
		}
	}
}

// Frames and fields as bytes.

func frame(typ uint64, payload ...byte) []byte {
	return append(appendFrameHeader(nil, typ, uint64(len(payload))), payload...)
}

func varint(v uint64) []byte { return wire.AppendVarint(nil, v) }

func concat(parts ...[]byte) []byte { return slices.Concat(parts...) }

// section encodes fields that are given as name, value, name, value.
func section(nameValues ...string) []byte {
	b := []byte{0, 0}
	for i := 0; i < len(nameValues); i += 2 {
		name, value := nameValues[i], nameValues[i+1]
		b = appendRawString(b, 0x20, 3, name)
		b = appendRawString(b, 0, 7, value)
	}
	return b
}

// appendRawString appends a string literal of less than 2^7 + 127 bytes, without Huffman coding.
func appendRawString(b []byte, first byte, prefix uint8, s string) []byte {
	limit := 1<<prefix - 1
	if len(s) < limit {
		b = append(b, first|byte(len(s)))
	} else {
		b = append(b, first|byte(limit))
		n := len(s) - limit
		for ; n >= 128; n >>= 7 {
			b = append(b, byte(n)|0x80)
		}
		b = append(b, byte(n))
	}
	return append(b, s...)
}

func headers(nameValues ...string) []byte { return frame(frameHeaders, section(nameValues...)...) }

var (
	getFields = []Field{
		{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "https"},
		{Name: ":authority", Value: "lazo.test"}, {Name: ":path", Value: "/"},
	}
	postFields = []Field{
		{Name: ":method", Value: "POST"}, {Name: ":scheme", Value: "https"},
		{Name: ":authority", Value: "lazo.test"}, {Name: ":path", Value: "/echo"},
	}
	okFields = []Field{{Name: ":status", Value: "200"}}
)

// get and post are request fields, as headers takes them.
var (
	get  = []string{":method", "GET", ":scheme", "https", ":authority", "lazo.test", ":path", "/"}
	post = []string{":method", "POST", ":scheme", "https", ":authority", "lazo.test", ":path", "/"}
)

func with(fields []string, more ...string) []string { return slices.Concat(fields, more) }

func newClientConfig() *conn.Config { return conntest.ClientConfig() }
