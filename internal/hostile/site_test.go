package hostile

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/h3/masque"
	"github.com/lazoquic/lazo/h3/webtransport"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/loop/looptest"
	"github.com/lazoquic/lazo/udpio"
)

// newSite returns a server with all that stands on HTTP/3. Beside the page it has sessions of
// WebTransport and tunnels of CONNECT-UDP.
func newSite() *h3http.Server {
	s := &h3http.Server{QUICConfig: quicConfig()}
	up := new(webtransport.Upgrader)
	up.Configure(s)
	proxy := &masque.Proxy{Dial: dialEcho, Allow: func(*http.Request, netip.AddrPort) bool { return true }}
	proxy.Configure(s)
	s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get(":protocol") == "connect-udp":
			proxy.ServeHTTP(w, r)
		case r.Method == http.MethodConnect:
			if s, err := up.Upgrade(w, r); err == nil && r.URL.Path != idlePath {
				go use(s)
			}
		default:
			servePage(w, r)
		}
	})
	return s
}

// idlePath is of sessions whose application takes nothing.
const idlePath = "/idle"

// use is the application of a session. It reads all that comes, and answers nothing.
func use(s *webtransport.Session) {
	ctx := s.Context()
	for _, dir := range []conn.Dir{conn.Bidi, conn.Uni} {
		go func() {
			for st, err := s.AcceptStream(ctx, dir); err == nil; st, err = s.AcceptStream(ctx, dir) {
				go func() {
					defer st.Close()
					io.Copy(io.Discard, st)
				}()
			}
		}()
	}
	b := make([]byte, 1500)
	for {
		if _, err := s.ReceiveDatagram(ctx, b); err != nil && ctx.Err() != nil {
			return
		}
	}
}

// dialEcho connects a tunnel to a target that sends back what it gets. It is not on the network, so
// that tunnels run in virtual time.
func dialEcho(context.Context, netip.AddrPort) (net.Conn, error) {
	socket, target := net.Pipe()
	go func() {
		defer target.Close()
		b := make([]byte, 1<<16)
		for {
			n, err := target.Read(b)
			if err != nil {
				return
			}
			// like a socket, it drops what nobody takes
			target.SetWriteDeadline(time.Now().Add(time.Millisecond))
			target.Write(b[:n])
		}
	}()
	return socket, nil
}

// A virtualSite is a site on a simulated network, in a bubble of testing/synctest.
type virtualSite struct {
	t     testing.TB
	n     *looptest.Network
	g     *loop.Group
	peers []loop.Backend
	ms    [1]udpio.Message
	meter *meter
}

const siteAddr = "10.0.0.1:443"

// inBubble runs f with a new site, in virtual time.
func inBubble(t *testing.T, edit func(*conn.EndpointConfig), f func(t *testing.T, s *virtualSite)) {
	synctest.Test(t, func(t *testing.T) {
		web := newSite()
		web.TLSConfig = conntest.ServerTLS()
		cfg := web.LoopConfig()
		if edit != nil {
			edit(&cfg.Endpoint)
		}
		s := &virtualSite{t: t, n: looptest.New(t, 1, conntest.Link{})}
		var err error
		s.g, err = loop.New(cfg, s.n.Listen(siteAddr))
		require.NoError(t, err)
		defer func() {
			require.NoError(t, web.Close())
			require.NoError(t, s.g.Close())
			time.Sleep(10 * time.Second) // what tunnels still relay
		}()
		f(t, s)
	})
}

func (s *virtualSite) port() uint16 {
	s.peers = append(s.peers, s.n.Listen(fmt.Sprint("10.0.0.2:", 1000+len(s.peers))))
	return uint16(len(s.peers) - 1)
}

// write returns when the site has done all that there is to do. So each datagram is the work of a
// turn of its own, and the same in each run.
func (s *virtualSite) write(b []byte, port uint16) {
	s.meter.start()
	defer s.meter.stop()
	_, err := s.peers[port].WriteBatch([]udpio.Message{{Buf: b, Remote: netip.MustParseAddrPort(siteAddr)}})
	require.NoError(s.t, err)
	synctest.Wait()
}

func (s *virtualSite) read(port uint16) ([]byte, bool) { return s.within(port, time.Second) }

func (s *virtualSite) poll(port uint16) ([]byte, bool) { return s.within(port, time.Nanosecond) }

func (s *virtualSite) within(port uint16, d time.Duration) (b []byte, ok bool) {
	n, err := s.peers[port].ReadBatch(s.ms[:], time.Now().Add(d))
	require.NoError(s.t, err)
	return s.ms[0].Buf, n > 0
}

func (s *virtualSite) count(m *meter) { s.meter = m }

func (s *virtualSite) held() int64 { return s.g.Stats().Held }

func (s *virtualSite) rest(t testing.TB, before int64) {
	waitForRest(t, s, before, func() int { return s.g.Stats().Conns }, time.Second)
}

// waitForRest waits until there are no connections, and then until no more is held than before.
// What an application has left unread counts until it is garbage.
func waitForRest(t testing.TB, s target, before int64, conns func() int, pause time.Duration) {
	require.Eventually(t, func() bool { return conns() == 0 }, 5*time.Minute, pause, "connections are left")
	require.Eventually(t, func() bool {
		if s.held() == before {
			return true
		}
		runtime.GC()
		return false
	}, time.Minute, pause, "something is left")
}
