package conn

import (
	"crypto/tls"
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
	return c
}

// TestEarlyLimitsKept makes sure that the tests below fail for the reason that they name.
func TestEarlyLimitsKept(t *testing.T) {
	r := newResumption(t)
	r.dial().Close(0, "")
	r.restart()
	if c := r.dial(); c.Err() != nil || !c.EarlyDataAccepted() {
		t.Fatalf("early data was not accepted: %v", c.Err())
	}
}

// A server whose limits are below those of the session takes no early data.
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

// A server that takes early data and lowers a limit breaks the protocol.
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
