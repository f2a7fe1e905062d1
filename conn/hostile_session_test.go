package conn

import (
	"crypto/tls"
	"net/netip"
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/wire"
)

// Sessions after which one side has changed its transport parameters (RFC 9000, Section 7.4.1).

// A sessionEdit is a session cache whose sessions the test changes.
type sessionEdit struct {
	tls.ClientSessionCache
	edit func(*wire.Params)
}

func (c *sessionEdit) Get(key string) (*tls.ClientSessionState, bool) {
	cs, ok := c.ClientSessionCache.Get(key)
	if !ok || cs == nil || c.edit == nil {
		return cs, ok
	}
	ticket, state, err := cs.ResumptionState()
	if err != nil {
		panic(err)
	}
	m, i, ok := findMemo(state)
	if !ok {
		panic("a session without a memo")
	}
	p, err := wire.ParseParams(m.params, true)
	if err != nil {
		panic(err)
	}
	c.edit(&p)
	m.params = wire.AppendParams(nil, &p, 0)
	state.Extra[i] = m.encode()
	cs, err = tls.NewResumptionState(ticket, state)
	if err != nil {
		panic(err)
	}
	return cs, true
}

// A resumption is a client with sessions of a server.
type resumption struct {
	t              *testing.T
	client, server *lone
	toServer       Config
	toClient       Config
	cache          *sessionEdit
	early          func(*Conn) // is called with a client that has just dialed
	now            time.Time
}

func newResumption(t *testing.T) *resumption {
	r := &resumption{t: t, toServer: quietConfig(), toClient: quietConfig(), now: hour0()}
	r.cache = &sessionEdit{ClientSessionCache: tls.NewLRUClientSessionCache(1)}
	serverTLS, clientTLS := testTLS(t)
	clientTLS.ClientSessionCache = r.cache
	r.toServer.TLS, r.toClient.TLS = clientTLS, serverTLS
	r.toServer.Enable0RTT, r.toClient.Enable0RTT = true, true
	// a server that comes later has the same keys
	serverTLS.SetSessionTicketKeys([][32]byte{{1, 2, 3}})
	r.client = newLone(t, nil, nil)
	r.restart()
	return r
}

// restart puts another server in place, with the configuration as it is now.
func (r *resumption) restart() {
	cfg := r.toClient
	r.server = newLone(r.t, &cfg, nil)
}

// dial connects. It returns the connection when nothing more is under way.
func (r *resumption) dial() *Conn {
	r.t.Helper()
	c, err := r.client.Dial(r.now, Target{Remote: elsewhere(1), Local: elsewhere(2)}, &r.toServer)
	if err != nil {
		r.t.Fatal(err)
	}
	if r.early != nil {
		r.early(c)
	}
	r.exchange()
	return c
}

// exchange passes datagrams to and fro until nothing more is under way.
func (r *resumption) exchange() {
	for range 20 {
		for _, d := range drainEndpoint(r.client.Endpoint, r.now, r.client.buf) {
			r.server.Receive(r.now, Datagram{Data: d.data, Remote: elsewhere(2), Local: elsewhere(1)})
		}
		r.now = r.now.Add(testRTT)
		for _, d := range drainEndpoint(r.server.Endpoint, r.now, r.server.buf) {
			r.client.Receive(r.now, Datagram{Data: d.data, Remote: elsewhere(1), Local: elsewhere(2)})
		}
		r.client.HandleTimeout(r.now)
		r.server.HandleTimeout(r.now)
	}
}

// TestEarlyLimitsKept makes sure that the tests below fail for the reason that they name.
// RFC 9000, Section 7.4.1 [3, 4].
func TestEarlyLimitsKept(t *testing.T) {
	r := newResumption(t)
	r.dial().Close(0, "")
	r.restart()
	if c := r.dial(); c.Err() != nil || !c.EarlyDataAccepted() {
		t.Fatalf("early data was not accepted: %v", c.Err())
	}
}

// A server whose limits are below those of the session takes no early data (RFC 9221, Section 3
// [6], for datagrams).
// RFC 9000, Section 7.4.1 [5, 6, 8].
func TestEarlyLimitsOfAnotherServer(t *testing.T) {
	for name, lower := range map[string]func(*Config){
		"data":        func(c *Config) { c.InitialMaxData = 1000 },
		"stream data": func(c *Config) { c.InitialMaxStreamData = 1000 },
		"bidi":        func(c *Config) { c.InitialMaxStreamsBidi = 1 },
		"uni":         func(c *Config) { c.InitialMaxStreamsUni = 1 },
		"datagrams":   func(c *Config) { c.MaxDatagramFrameSize = 100 },
	} {
		r := newResumption(t)
		r.toClient.MaxDatagramFrameSize = 1000
		r.restart()
		r.dial().Close(0, "")
		lower(&r.toClient)
		r.restart()
		c := r.dial()
		if c.Err() != nil || !c.HandshakeComplete() || c.EarlyDataAccepted() {
			t.Errorf("%s: early data accepted: %v; %v", name, c.EarlyDataAccepted(), c.Err())
		}
	}
}

// A server that takes early data and lowers a limit breaks the protocol (RFC 9221, Section 3 [7],
// for datagrams).
// RFC 9000, Section 7.4.1 [2, 3].
func TestEarlyLimitsLowered(t *testing.T) {
	for name, edit := range map[string]func(*wire.Params){
		"initial_max_data":                    func(p *wire.Params) { p.MaxData++ },
		"initial_max_stream_data_bidi_local":  func(p *wire.Params) { p.MaxStreamDataBidiLocal++ },
		"initial_max_stream_data_bidi_remote": func(p *wire.Params) { p.MaxStreamDataBidiRemote++ },
		"initial_max_stream_data_uni":         func(p *wire.Params) { p.MaxStreamDataUni++ },
		"initial_max_streams_bidi":            func(p *wire.Params) { p.MaxStreamsBidi++ },
		"initial_max_streams_uni":             func(p *wire.Params) { p.MaxStreamsUni++ },
		"max_datagram_frame_size":             func(p *wire.Params) { p.MaxDatagramFrame++ },
		"active_connection_id_limit":          func(p *wire.Params) { p.ActiveConnIDLimit++ },
	} {
		r := newResumption(t)
		r.dial().Close(0, "")
		r.cache.edit = edit // the client remembers higher limits than the server ever stated
		if c := r.dial(); errorCode(c.Err()) != errProtocolViolation {
			t.Errorf("%s: the connection ends with %v", name, c.Err())
		}
	}
}

// TestPreferredIsNotRemembered: the preferred address of a server is good for one connection. RFC
// 9000, Section 9.6.2 [5].
func TestPreferredIsNotRemembered(t *testing.T) {
	r := newResumption(t)
	r.toClient.PreferredAddress4 = elsewhere(9)
	r.restart()
	if c := r.dial(); c.peer.Preferred == nil && c.RemoteAddr() != elsewhere(9) {
		t.Fatal("the server has no preferred address, so this test says nothing")
	}
	r.toClient.PreferredAddress4 = netip.AddrPort{}
	r.restart()
	r.early = func(c *Conn) {
		if c.early.limits == nil || c.peer.Preferred != nil {
			t.Errorf("limits %v, preferred address %v", c.early.limits, c.peer.Preferred)
		}
	}
	if c := r.dial(); c.peer.Preferred != nil || c.candidate != nil || c.RemoteAddr() != elsewhere(1) {
		t.Errorf("the client of another connection knows the address: %v", c.peer.Preferred)
	}
}

// TestEarlyDataBehindRetry: a Retry voids the first flight of a client. What was in 0-RTT packets
// is sent in such packets again, with numbers that go on.
// RFC 9000, Section 17.2.3 [1, 2].
func TestEarlyDataBehindRetry(t *testing.T) {
	r := newResumption(t)
	r.dial().Close(0, "")
	cfg := r.toClient
	r.server = newLone(t, &cfg, always(AdmissionRetry))
	next := uint64(0)
	r.early = func(c *Conn) {
		s, err := c.OpenStream(Uni)
		if err != nil {
			t.Fatal(err)
		}
		s.Write([]byte("early"))
		// all of it is lost
		early, _ := packetTypes(drainEndpoint(r.client.Endpoint, r.now, r.client.buf))
		if next = c.app.sent.next; early == 0 || next == 0 {
			t.Fatalf("%d 0-RTT packets, the next is number %d", early, next)
		}
		r.now = r.now.Add(3 * initialRTT)
		r.client.HandleTimeout(r.now) // the first packet is sent again
	}
	c := r.dial()
	if n := r.server.Stats().Retries; n == 0 || c.Err() != nil || !c.EarlyDataAccepted() {
		t.Fatalf("%d Retry packets, %v", n, c.Err())
	}
	at := r.server.first
	if len(at.streams.all) != 1 {
		t.Fatalf("%d streams came", len(at.streams.all))
	}
	for _, s := range at.streams.all {
		if s.flags&flagEarly == 0 {
			t.Error("the data did not come in a 0-RTT packet")
		}
	}
	if at.app.recv.seen.At(0).Start < next {
		t.Errorf("packet number %d came, after %d was sent", at.app.recv.seen.At(0).Start, next-1)
	}
}

// TestEarlyResetStreamAt: a client remembers whether its server knows RESET_STREAM_AT, and a server
// that takes early data must still know it (draft-ietf-quic-reliable-stream-reset, Section 3).
func TestEarlyResetStreamAt(t *testing.T) {
	r := newResumption(t)
	r.dial().Close(0, "")
	r.restart()
	r.early = func(c *Conn) {
		s, err := c.OpenStream(Uni)
		if err != nil {
			t.Fatal(err)
		}
		s.Write([]byte("early"))
		if err := s.ResetAt(1, 3); err != nil {
			t.Errorf("in early data: %v", err)
		}
	}
	if c := r.dial(); c.Err() != nil || !c.EarlyDataAccepted() {
		t.Fatalf("early data was not accepted: %v", c.Err())
	}
	for _, keeps := range []bool{true, false} {
		r.early = nil
		r.restart()
		r.dial().Close(0, "") // for another ticket
		raw := dialRaw(t, r.toClient.TLS, &r.toServer, func(p []rawParam) []rawParam {
			for _, id := range []uint64{0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0e} { // the limits
				p = append(p, rawParam{id, varint(1 << 40)})
			}
			if keeps {
				p = append(p, rawParam{0x1d, ""})
			}
			return p
		})
		raw.send(spaceInitial, pieces(string(raw.out[spaceInitial]), 1100)...)
		raw.send(spaceHandshake, pieces(string(raw.out[spaceHandshake]), 1100)...)
		raw.l.drain()
		switch {
		case keeps && (raw.l.err != nil || !raw.c.EarlyDataAccepted()):
			t.Errorf("early data was not accepted: %v", raw.l.err)
		case !keeps && errorCode(raw.l.err) != errProtocolViolation:
			t.Errorf("the connection ends with %v", raw.l.err)
		}
	}
}

// TestRejectedEarlyDataIsAcknowledged: a server that rejects early data must not process it (RFC
// 9001, Section 4.6.2), so it cannot acknowledge it.
func TestRejectedEarlyDataIsAcknowledged(t *testing.T) {
	for _, hostile := range []bool{false, true} {
		r := newResumption(t)
		r.dial().Close(0, "")
		r.toClient.AcceptEarlyData = func([]byte) bool { return false }
		r.restart()
		r.early = func(c *Conn) {
			s, err := c.OpenStream(Uni)
			if err != nil {
				t.Fatal(err)
			}
			s.Write([]byte("early"))
		}
		c := r.dial()
		if c.Err() != nil || !c.HandshakeComplete() || c.EarlyDataAccepted() {
			t.Fatalf("early data accepted: %v, %v", c.EarlyDataAccepted(), c.Err())
		}
		server := r.server.last
		if hostile {
			server.spaces[spaceApp].recv.seen.Add(0, 1)
		}
		s, err := c.OpenStream(Uni)
		if err != nil {
			t.Fatal(err)
		}
		s.Write([]byte("again"))
		r.exchange()
		if want := map[bool]int64{false: -1, true: errProtocolViolation}[hostile]; errorCode(c.Err()) != want {
			t.Errorf("hostile %v: the connection ends with %v", hostile, c.Err())
		}
	}
}
