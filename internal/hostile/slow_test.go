package hostile

import (
	"testing"
	"time"

	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/internal/require"
)

// Slow clients, 20 of each kind.
const slowClients = 20

// slowServer is a site with short limits of time. Only those of silence, and of connections without
// a request, are longer: on a busy machine nobody has a turn for seconds, and clients must not lose
// their connections for that.
func slowServer(t *testing.T) *realServer {
	s := newSite()
	s.QUICConfig.MaxIdleTimeout, s.IdleTimeout = 8*time.Second, 8*time.Second
	s.ReadHeaderTimeout, s.ReadTimeout, s.StallTimeout = time.Second, time.Second, time.Second
	return startServer(t, s, nil)
}

// A slowClient sends a request in pieces.
type slowClient struct {
	*peer
	id   uint64
	rest func() []byte // the next piece; empty if there is none
}

// over reports whether the server has ended the request.
func (c *slowClient) over() bool {
	st := c.of(c.id)
	return c.seen.closed || st.reset || st.stopped
}

// slow makes clients that send pieces in turn, until an honest client has visited often enough.
func slow(t *testing.T, s *realServer, begin func(p *peer) *slowClient) (clients []*slowClient) {
	endure(t, s, func(more func() bool) {
		for range slowClients {
			p := helloOther(t, s, params(param(paramDatagrams, varint(minDatagram))), "")
			p.connect()
			clients = append(clients, begin(p))
		}
		for more() {
			for _, c := range clients {
				c.settle()
				if b := c.rest(); len(b) > 0 && !c.over() {
					c.extend(c.id, b, false)
					c.forget()
				}
			}
		}
	})
	return clients
}

// bytewise returns the bytes of b one by one, but for the last.
func bytewise(b []byte) func() []byte {
	return func() []byte {
		if len(b) <= 1 {
			return nil
		}
		piece := b[:1]
		b = b[1:]
		return piece
	}
}

// lose waits until the clients have lost their requests with a code. Then they leave.
func lose(t *testing.T, clients []*slowClient, code h3.ErrorCode) {
	for _, c := range clients {
		c.wait("the end of its request", c.over)
		if st := c.of(c.id); st.reset {
			require.Equal(t, code, h3.ErrorCode(st.resetCode))
		} else {
			require.Equal(t, code, h3.ErrorCode(st.stopCode))
		}
		c.leave()
	}
}

// TestSlowHeaders: clients that send a header section byte by byte, and never all of it, lose their
// requests. An honest client is served all along, and what slow ones took is given back.
func TestSlowHeaders(t *testing.T) {
	s := slowServer(t)
	before := s.held()
	clients := slow(t, s, func(p *peer) *slowClient {
		p.ask()
		whole := request("GET")
		return &slowClient{p, p.stream(bidi, whole[:1], false), bytewise(whole[1:])}
	})
	lose(t, clients, h3.RequestIncomplete)
	require.EqualValues(t, slowClients, s.web.Stats().HeaderTimeouts)
	s.rest(t, before)
}

// TestSlowBodies is the same of bodies, whose bytes come in DATA frames of their own.
func TestSlowBodies(t *testing.T) {
	s := slowServer(t)
	before := s.held()
	clients := slow(t, s, func(p *peer) *slowClient {
		p.ask()
		id := p.stream(bidi, request("POST", field{Name: "content-length", Value: "1000000"}), false)
		return &slowClient{p, id, func() []byte { return h3Frame(frameData, 1) }}
	})
	lose(t, clients, h3.NoError)
	s.rest(t, before)
}

// TestSlowCapsules: a session and a tunnel have no limit of time. They last while bytes of a
// capsule come, and take no more memory for it. When a client falls silent, or leaves, they end.
func TestSlowCapsules(t *testing.T) {
	for name, connect := range map[string][]byte{"session": sessionRequest("/"), "tunnel": tunnelRequest()} {
		t.Run(name, func(t *testing.T) {
			s := slowServer(t)
			before := s.held()
			clients := slow(t, s, func(p *peer) *slowClient {
				p.join(connect)
				begun := varints(capsuleUnknown, 1<<30)
				return &slowClient{p, p.request, func() []byte {
					piece := byte(0)
					if len(begun) > 0 {
						piece, begun = begun[0], begun[1:]
					}
					return h3Frame(frameData, piece)
				}}
			})
			for _, c := range clients {
				require.False(t, c.over(), "code %#x %q", c.seen.code, c.seen.reason)
			}
			require.Positive(t, s.g.Stats().Conns)
			t.Logf("%d bytes held for each client", (s.held()-before)/slowClients)
			require.Less(t, s.held()-before, int64(slowClients)*(100<<10))
			for _, c := range clients[1:] {
				c.leave()
			}
			s.rest(t, before)
		})
	}
}

// TestSilentClients: clients that fall silent in the middle of a request lose their connections,
// whatever they never do: send the body, acknowledge, read, or close. An honest client is served
// all along.
func TestSilentClients(t *testing.T) {
	s := slowServer(t)
	before := s.held()
	endure(t, s, func(more func() bool) {
		var p *peer
		for i := range slowClients {
			p = hello(t, s)
			switch i % 4 {
			case 0: // no body
				p.begin()
				p.stream(bidi, request("POST", field{Name: "content-length", Value: "10"}), false)
			case 1: // no ACK
				p.begin()
				p.mute = true
				p.stream(bidi, request("GET"), true)
			case 2: // no credit for the response
				p = helloOther(t, s, paramsWithout(0x05, param(0x05, varint(0))), "")
				p.connect()
				p.stream(uni, settings(), false)
				p.stream(bidi, request("GET"), true)
			case 3: // no goodbye
				p.begin()
			}
			p.settle()
		}
		for more() {
			s.poll(p.port) // and no reply
		}
	})
	s.rest(t, before)
	require.Zero(t, s.g.Stats().Conns)
}
