package masque

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/internal/require"
)

func mustParse(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

// takeStream returns a handler that takes the stream of each request and passes it to f.
func takeStream(f func(s *h3http.Stream)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Capsule-Protocol", "?1")
		s, err := h3http.TakeStream(w)
		if err != nil {
			panic(err)
		}
		defer s.Close()
		f(s)
	})
}

// request sends a request to the proxy by hand. It returns the status and the Proxy-Status field.
func (p *pair) request(method, protocol, path string) (int, string) {
	p.t.Helper()
	r, err := http.NewRequestWithContext(p.t.Context(), method, p.url+path, nil)
	require.NoError(p.t, err)
	if protocol != "" {
		r.Header[":protocol"] = []string{protocol}
	}
	if method != http.MethodConnect {
		resp, err := p.client.Transport.RoundTrip(r)
		require.NoError(p.t, err)
		resp.Body.Close()
		return resp.StatusCode, resp.Header.Get("Proxy-Status")
	}
	s, resp, err := p.client.Transport.Connect(r)
	require.NoError(p.t, err)
	if s != nil {
		s.Close()
	} else {
		resp.Body.Close()
	}
	return resp.StatusCode, resp.Header.Get("Proxy-Status")
}

// RFC 9298, Section 3.1 [1, 2, 3]; RFC 9298, Section 3 [4]; RFC 9298, Section 3.4 [1, 2, 3, 4]; RFC
// 9298, Section 3.5 [1].
// RFC 9298, Section 3.1 [1, 2, 3]; RFC 9298, Section 3 [4]; RFC 9298, Section 3.4 [1, 2, 3, 4]; RFC
// 9298, Section 3.5 [1].
func TestRefusals(t *testing.T) {
	// An echo would do, but nothing is to arrive anywhere.
	l, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.LocalAddr().String())
	p := newPair(t, func(p *pair) {
		p.proxy.Lookup = func(ctx context.Context, host string) ([]netip.Addr, error) {
			switch host {
			case "local.test":
				return []netip.Addr{netip.MustParseAddr("::1"), netip.MustParseAddr("127.0.0.1")}, nil
			case "slow.test":
				return nil, &net.DNSError{IsTimeout: true}
			case "late.test":
				return nil, context.DeadlineExceeded
			case "broken.test":
				return nil, errors.New("SERVFAIL")
			}
			return nil, &net.DNSError{IsNotFound: true}
		}
		p.proxy.Allow = func(r *http.Request, target netip.AddrPort) bool { return target.Addr().Is4() }
	})
	prefix := "/.well-known/masque/udp/"
	for _, test := range []struct {
		method, protocol, path string
		status                 int
		proxyStatus            string
	}{
		{"CONNECT", "connect-udp", prefix + "local.test/" + port + "/", 200, `lazo;next-hop="127.0.0.1:` + port + `"`},
		{"CONNECT", "connect-udp", prefix + "127.0.0.1/" + port + "/", 200, `lazo;next-hop="127.0.0.1:` + port + `"`},
		{"CONNECT", "connect-udp", prefix + "%3A%3Affff%3A127.0.0.1/" + port + "/", 200, `lazo;next-hop="127.0.0.1:` + port + `"`},
		{"CONNECT", "connect-udp", prefix + "%3A%3A1/" + port + "/", 502, `lazo;error=destination_ip_prohibited;details="this proxy does not reach the target"`},
		{"CONNECT", "connect-udp", prefix + "none.test/1/", 502, `lazo;error=dns_error;details="no such host"`},
		{"CONNECT", "connect-udp", prefix + "broken.test/1/", 502, "lazo;error=dns_error"},
		{"CONNECT", "connect-udp", prefix + "slow.test/1/", 504, "lazo;error=dns_timeout"},
		{"CONNECT", "connect-udp", prefix + "late.test/1/", 504, "lazo;error=dns_timeout"},
		{"CONNECT", "connect-udp", prefix + "local.test/0/", 400, `lazo;error=http_request_error;details="invalid target"`},
		{"CONNECT", "connect-udp", prefix + "local.test/65536/", 400, `lazo;error=http_request_error;details="invalid target"`},
		{"CONNECT", "connect-udp", prefix + "local.test/x/", 400, `lazo;error=http_request_error;details="invalid target"`},
		{"CONNECT", "connect-udp", prefix + "local.test/%2B1/", 400, `lazo;error=http_request_error;details="invalid target"`},
		{"CONNECT", "connect-udp", prefix + "local.test//", 400, `lazo;error=http_request_error;details="invalid target"`},
		{"CONNECT", "connect-udp", prefix + "/1/", 400, `lazo;error=http_request_error;details="invalid target"`},
		{"CONNECT", "connect-udp", prefix + "fe80%3A%3A1%25lo/1/", 400, `lazo;error=http_request_error;details="invalid target"`},
		{"CONNECT", "connect-udp", prefix + "a%2Fb/1/", 400, `lazo;error=http_request_error;details="invalid target"`},
		{"CONNECT", "connect-udp", prefix + "a%0Ab/1/", 400, `lazo;error=http_request_error;details="invalid target"`},
		{"CONNECT", "connect-udp", "/other", 404, `lazo;error=http_request_error;details="the path is not of the template"`},
		{"CONNECT", "connect-udp", prefix + "local.test/1", 404, `lazo;error=http_request_error;details="the path is not of the template"`},
		// RFC 9220, Section 3 [1].
		{"CONNECT", "connect-ip", prefix + "local.test/1/", 501, `lazo;error=http_request_error;details="the protocol is not connect-udp over HTTP/3"`},
		{"CONNECT", "", "", 501, `lazo;error=http_request_error;details="the protocol is not connect-udp over HTTP/3"`},
		{"GET", "", prefix + "local.test/1/", 405, `lazo;error=http_request_error;details="the method is not CONNECT"`},
	} {
		status, proxyStatus := p.request(test.method, test.protocol, test.path)
		require.Equal(t, test.status, status, test.path)
		require.Equal(t, test.proxyStatus, proxyStatus, test.path)
	}
	require.EqualValues(t, 3, p.proxy.Stats().Opened)
	require.EqualValues(t, 19, p.proxy.Stats().Refused)
}

// TestClientLeavesEarly: a client that gives up while its tunnel opens gets no answer, and nobody
// is blamed for that, whether Dial heeds its context or not.
func TestClientLeavesEarly(t *testing.T) {
	for _, heeds := range []bool{false, true} {
		var log bytes.Buffer // that nothing is written to
		asked, left := make(chan struct{}), make(chan struct{})
		p := newPair(t, func(p *pair) {
			p.server.Logger = slog.New(slog.NewTextHandler(&log, nil))
			p.proxy.Dial = func(ctx context.Context, target netip.AddrPort) (net.Conn, error) {
				close(asked)
				<-ctx.Done()
				if heeds {
					return nil, ctx.Err()
				}
				return net.Dial("udp", target.String())
			}
			p.server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				defer close(left)
				p.proxy.ServeHTTP(w, r)
			})
		})
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			<-asked
			cancel()
		}()
		_, err := p.client.Dial(ctx, newEcho(t))
		require.ErrorIs(t, err, context.Canceled)
		<-left
		require.Equal(t, "", log.String())
		require.Zero(t, p.proxy.Stats().Refused)
	}
}

// TestTarget lets a rule decide by the name that the client gave.
func TestTarget(t *testing.T) {
	p := newPair(t, func(p *pair) {
		p.proxy.Lookup = func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
		}
		p.proxy.Allow = func(r *http.Request, target netip.AddrPort) bool {
			host, port, ok := p.proxy.Target(r)
			return ok && host == "good.test" && port == 53
		}
	})
	for path, want := range map[string]int{"good.test/53/": 200, "bad.test/53/": 502, "good.test/54/": 502} {
		status, _ := p.request("CONNECT", "connect-udp", "/.well-known/masque/udp/"+path)
		require.Equal(t, want, status, path)
	}
	r, err := http.NewRequest("GET", "https://a/.well-known/masque/udp/a/1/", nil)
	require.NoError(t, err)
	_, _, ok := p.proxy.Target(r)
	require.False(t, ok)
}

// TestDefaultReachesPublicAddressesOnly: a name does not help to reach other addresses.
func TestDefaultReachesPublicAddressesOnly(t *testing.T) {
	p := newPair(t, func(p *pair) {
		p.proxy.Allow = nil
		p.proxy.Lookup = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1"), netip.MustParseAddr("::ffff:10.0.0.1")}, nil
		}
	})
	for _, target := range []string{"127.0.0.1:53", "[::1]:53", "169.254.169.254:80", "[::ffff:127.0.0.1]:53", "evil.test:53"} {
		_, err := p.client.Dial(t.Context(), target)
		var refused *RefusedError
		require.ErrorAs(t, err, &refused, target)
		require.Equal(t, 502, refused.StatusCode)
		require.Contains(t, refused.ProxyStatus, "error=destination_ip_prohibited")
		require.EqualError(t, err, "masque: the proxy refused with status 502: "+refused.ProxyStatus)
	}
}

func TestPublic(t *testing.T) {
	for addr, public := range map[string]bool{
		"1.1.1.1": true, "8.8.8.8": true, "100.128.0.1": true, "172.32.0.1": true, "192.1.0.1": true,
		"2606:4700::1": true, "2a00::1": true, "64:ff9b::1.1.1.1": true, "2002:101:101::1": true, "::ffff:1.1.1.1": true,

		"0.0.0.0": false, "0.1.2.3": false, "10.1.2.3": false, "100.64.0.1": false, "127.0.0.1": false, "127.9.9.9": false,
		"169.254.169.254": false, "172.16.0.1": false, "172.31.255.255": false, "192.0.0.8": false, "192.0.2.1": false,
		"192.168.1.1": false, "198.18.0.1": false, "198.19.0.1": false, "224.0.0.1": false, "240.0.0.1": false,
		"255.255.255.255": false, "::": false, "::1": false, "::ffff:127.0.0.1": false, "::ffff:10.0.0.1": false,
		"::127.0.0.1": false, "fe80::1": false, "fe80::1%lo": false, "fec0::1": false, "fc00::1": false, "fd12::1": false,
		"ff02::1": false, "2001:db8::1": false, "2001::1": false, "64:ff9b::10.0.0.1": false, "64:ff9b::127.0.0.1": false,
		"64:ff9b:1::1": false, "2002:7f00:1::1": false, "2002:a00:1::": false, "100::1": false, "4000::1": false,
	} {
		require.Equal(t, public, Public(netip.MustParseAddr(addr)), addr)
	}
	require.False(t, Public(netip.Addr{}))
}

func TestMaxTunnels(t *testing.T) {
	p := newPair(t, func(p *pair) { p.proxy.MaxTunnels, p.proxy.MaxTunnelsPerConn = 2, 2 })
	target := newEcho(t)
	p.dial(target)
	c := p.dial(target)
	_, err := p.client.Dial(t.Context(), target)
	var refused *RefusedError
	require.ErrorAs(t, err, &refused)
	require.Equal(t, RefusedError{503, "lazo;error=connection_limit_reached"}, *refused)
	c.Close()
	require.Eventually(t, func() bool {
		c, err := p.client.Dial(t.Context(), target)
		if err == nil {
			c.Close()
		}
		return err == nil
	}, soon, time.Millisecond)
}

// TestMaxTunnelsPerConn: one connection cannot take all tunnels.
func TestMaxTunnelsPerConn(t *testing.T) {
	for _, c := range []struct{ limit, connLimit, want int }{
		{limit: 4, want: 2}, {limit: 5, want: 3}, {limit: 1, want: 1},
		{limit: 4, connLimit: 1, want: 1}, {limit: -1, connLimit: 3, want: 3},
	} {
		p := newPair(t, func(p *pair) { p.proxy.MaxTunnels, p.proxy.MaxTunnelsPerConn = c.limit, c.connLimit })
		target := newEcho(t)
		for range c.want {
			p.dial(target)
		}
		_, err := p.client.Dial(t.Context(), target)
		require.Equal(t, &RefusedError{503, "lazo;error=connection_limit_reached"}, err, c)
		if c.want == c.limit {
			continue
		}
		// Somebody else still gets one.
		tr := &h3http.Transport{TLSClientConfig: conntest.ClientTLS()}
		other := &Client{Transport: tr, Proxy: p.url}
		tunnel, err := other.Dial(t.Context(), target)
		require.NoError(t, err, c)
		exchange(t, tunnel, []byte("x"))
		tunnel.Close()
		require.NoError(t, tr.Close())
		p.client.Transport.Close()
		p.proxy.Close()
		require.Eventually(t, func() bool {
			p.proxy.mu.Lock()
			defer p.proxy.mu.Unlock()
			return p.proxy.places.taken == 0 && len(p.proxy.places.byConn) == 0
		}, soon, time.Millisecond)
	}
}

func TestProxyByNameAndTemplate(t *testing.T) {
	p := newPair(t, func(p *pair) {
		p.proxy.Template = "/p{?target_host,target_port}"
		p.proxy.Name = `a "proxy"`
		p.proxy.Lookup = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
		}
	})
	p.client.Proxy = p.url + "/p{?target_host,target_port}"
	target := newEcho(t)
	_, port, _ := net.SplitHostPort(target)
	c := p.dial("origin.test:" + port)
	require.Equal(t, target, c.RemoteAddr().String(), "the next hop")
	exchange(t, c, []byte("x"))
	p.client.Proxy = p.url
	_, err := p.client.Dial(t.Context(), target)
	var refused *RefusedError
	require.ErrorAs(t, err, &refused)
	require.Equal(t, RefusedError{404, `"a \"proxy\"";error=http_request_error;details="the path is not of the template"`}, *refused)

	p = newPair(t, func(p *pair) {
		p.proxy.Template, p.proxy.Logger = "nonsense", slog.New(slog.DiscardHandler)
	})
	_, err = p.client.Dial(t.Context(), target)
	require.ErrorAs(t, err, &refused)
	require.Equal(t, 500, refused.StatusCode)
}

// TestFieldsOfContent: messages with capsules do not describe their content (RFC 9297,
// Section 3.2).
// RFC 9297, Section 3.2 [4, 5, 6]; RFC 9298, Section 3.5 [3].
func TestFieldsOfContent(t *testing.T) {
	p := newPair(t)
	u, err := p.client.expand(newEcho(t))
	require.NoError(t, err)
	r, err := http.NewRequest(http.MethodConnect, u, nil)
	require.NoError(t, err)
	r.Header[":protocol"] = []string{"connect-udp"}
	s, resp, err := p.client.Transport.Connect(r)
	require.NoError(t, err)
	require.False(t, describesContent(resp.Header), "%v", resp.Header)
	s.Close()
	r.Header.Set("Content-Type", "text/plain")
	_, resp, err = p.client.Transport.Connect(r)
	require.NoError(t, err)
	require.Equal(t, http.StatusBadRequest, resp.StatusCode)
	resp.Body.Close()

	for _, bad := range []struct {
		status int
		field  string
	}{{204, ""}, {206, ""}, {200, "Content-Type"}} {
		p := newPair(t, func(p *pair) {
			p.server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if bad.field != "" {
					w.Header().Set(bad.field, "x")
				}
				w.WriteHeader(bad.status)
				if s, err := h3http.TakeStream(w); err == nil {
					defer s.Close()
					s.Read(make([]byte, 1)) // until the client cancels
				}
			})
		})
		_, err := p.client.Dial(t.Context(), "1.1.1.1:53")
		require.ErrorContains(t, err, "is not one with capsules")
	}
}

// RFC 9297, Section 3.4 [4].
func TestHeaderOfTheClient(t *testing.T) {
	p := newPair(t, func(p *pair) {
		p.client.Header = http.Header{"Proxy-Authorization": {"Bearer x"}}
		p.server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Proxy-Authorization") != "Bearer x" || r.Header.Get("Capsule-Protocol") != "?1" {
				http.Error(w, "who are you?", http.StatusProxyAuthRequired)
				return
			}
			p.proxy.ServeHTTP(w, r)
		})
	})
	exchange(t, p.dial(newEcho(t)), []byte("x"))
	p.client.Header = nil
	_, err := p.client.Dial(t.Context(), newEcho(t))
	// RFC 9298, Section 3.1 [10]; RFC 9298, Section 3.5 [3].
	require.EqualError(t, err, "masque: the proxy refused with status 407")
}

// RFC 9298, Section 2 [2, 4, 8, 9]; RFC 9298, Section 3 [1, 2, 4]; RFC 9298, Section 3.4 [5].
func TestClientConfiguration(t *testing.T) {
	for _, test := range []struct{ proxy, target, url string }{
		{"https://p.test", "a.test:443", "https://p.test/.well-known/masque/udp/a.test/443/"},
		{"https://p.test/", "a.test:443", "https://p.test/.well-known/masque/udp/a.test/443/"},
		{"https://p.test:4443", "[2001:db8::42]:443", "https://p.test:4443/.well-known/masque/udp/2001%3Adb8%3A%3A42/443/"},
		{"https://p.test/m/{target_host}/{target_port}/", "1.2.3.4:5", "https://p.test/m/1.2.3.4/5/"},
		{"https://p.test/m?h={target_host}&p={target_port}", "a:5", "https://p.test/m?h=a&p=5"},
		{"https://p.test/m{?target_host,target_port}", "a:5", "https://p.test/m?target_host=a&target_port=5"},
		{"http://p.test", "a:5", ""},
		{"p.test", "a:5", ""},
		{"https:///{target_host}/{target_port}/", "a:5", ""},
		{"https://p.test/{target_host}/", "a:5", ""},
		{"https://p.test", "a", ""},
		{"https://p.test", "a:0", ""},
		{"https://p.test", "a:http", ""},
		{"https://p.test", ":5", ""},
		{"https://p.test", "[fe80::1%eth0]:5", ""},
		{"https://p.test", "a b:5", ""},
	} {
		u, err := (&Client{Proxy: test.proxy}).expand(test.target)
		require.Equal(t, test.url, u, "%s to %s", test.proxy, test.target)
		require.Equal(t, test.url == "", err != nil)
	}
}

// TestProxyOnAnotherServer: over TCP the handler cannot work, and says so.
// RFC 9298, Section 6 [6].
func TestProxyOnAnotherServer(t *testing.T) {
	p := new(Proxy)
	w := &recorder{header: make(http.Header)}
	r, _ := http.NewRequest("CONNECT", "https://p.test/.well-known/masque/udp/1.1.1.1/53/", nil)
	r.Header[":protocol"] = []string{"connect-udp"}
	p.ServeHTTP(w, r) // HTTP/1.1
	require.Equal(t, http.StatusNotImplemented, w.status)
	r.ProtoMajor = 3
	p.ServeHTTP(w, r)
	require.Equal(t, http.StatusNotImplemented, w.status)
	require.Empty(t, w.header.Get("Capsule-Protocol")) // RFC 9297, Section 3.4 [3]
	require.Zero(t, p.Stats().Opened)
	require.Zero(t, p.places.taken)
}

type recorder struct {
	header http.Header
	status int
}

func (r *recorder) Header() http.Header               { return r.header }
func (r *recorder) WriteHeader(status int)            { r.status = status }
func (r *recorder) Write(b []byte) (int, error)       { return len(b), nil }
func (r *recorder) WriteString(s string) (int, error) { return io.Discard.Write([]byte(s)) }

// TestChain: a proxy whose sockets are tunnels of another proxy.
func TestChain(t *testing.T) {
	last := newPair(t)
	first := newPair(t, func(p *pair) {
		p.proxy.Dial = func(ctx context.Context, target netip.AddrPort) (net.Conn, error) {
			return last.client.Dial(ctx, target.String())
		}
	})
	c := first.dial(newEcho(t))
	exchange(t, c, []byte("hello"))
	require.EqualValues(t, 1, last.proxy.Stats().Received)

	last.proxy.Close() // as if the last socket were of no use any more
	_, err := c.Read(make([]byte, 1))
	var reset *conn.StreamError
	require.ErrorAs(t, err, &reset)
	require.Equal(t, h3.ConnectError, h3.ErrorCode(reset.Code))

	_, err = first.client.Dial(t.Context(), "127.0.0.1:9") // the last proxy is closed
	var refused *RefusedError
	require.ErrorAs(t, err, &refused)
	require.Equal(t, http.StatusBadGateway, refused.StatusCode)
}
