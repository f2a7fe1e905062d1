package hostile

import (
	"testing"
	"time"

	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/internal/require"
)

// Slow clients, 20 of each kind.
const slowClients = 20

// slowServer is a server with short limits of time.
func slowServer(t *testing.T) *realServer {
	quic := quicConfig()
	quic.MaxIdleTimeout = 3 * time.Second
	return startServer(t, &h3http.Server{
		QUICConfig: quic, ReadHeaderTimeout: time.Second, ReadTimeout: time.Second, StallTimeout: time.Second, IdleTimeout: time.Second,
	}, nil)
}

// slow makes clients that do something and then wait for the end of their requests, with a code.
func slow(t *testing.T, s *realServer, code h3.ErrorCode, do func(p *peer, i int) (id uint64)) {
	var peers []*peer
	var ids []uint64
	for i := range slowClients {
		p := hello(t, s)
		p.begin()
		ids = append(ids, do(p, i))
		p.forget()
		peers = append(peers, p)
	}
	for i, p := range peers {
		st := p.of(ids[i])
		p.wait("the end of its request", func() bool { return st.reset || st.stopped })
		if st.reset {
			require.Equal(t, code, h3.ErrorCode(st.resetCode))
		} else {
			require.Equal(t, code, h3.ErrorCode(st.stopCode))
		}
	}
}

// TestSlowClients: clients that begin something and do not go on lose their requests, and at last
// their connections. Honest clients are served all along. What slow ones took is given back.
func TestSlowClients(t *testing.T) {
	s := slowServer(t)
	before := s.held()
	whole := request("GET")
	slow(t, s, h3.RequestIncomplete, func(p *peer, i int) uint64 { // some bytes of a header section
		return p.stream(bidi, whole[:1+i%(len(whole)-1)], false)
	})
	honest := hello(t, s)
	honest.begin()
	honest.leave()
	require.EqualValues(t, slowClients, s.web.Stats().HeaderTimeouts)
	s.rest(t, before)
}

// TestSilentClients: clients that fall silent in the middle of a request lose their connections,
// whatever they never do: send the body, acknowledge, read, or close.
func TestSilentClients(t *testing.T) {
	s := slowServer(t)
	before := s.held()
	for i := range slowClients {
		p := hello(t, s)
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
	honest := hello(t, s)
	honest.begin()
	honest.leave()
	s.rest(t, before)
	require.Zero(t, s.g.Stats().Conns)
}
