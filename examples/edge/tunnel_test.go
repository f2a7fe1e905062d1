package main

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/h3/masque"
	"github.com/lazoquic/lazo/internal/require"
)

// A clientTunnel is a tunnel as its client sees it.
type clientTunnel struct {
	io.Reader
	io.Writer
	closeWrite func() error
	abort      func()
}

// tunnel asks for a tunnel over one version of HTTP. It returns the status if there is none.
func (e *running) tunnel(proto, target string) (*clientTunnel, int) {
	e.t.Helper()
	if proto == "HTTP/1.1" {
		return e.tunnelHTTP1(target)
	}
	r, err := http.NewRequest("CONNECT", e.url("/"), nil)
	require.NoError(e.t, err)
	r.Host = target
	c := e.client(proto)
	if proto == "HTTP/3.0" {
		s, resp, err := c.Transport.(*h3http.Transport).Connect(r)
		require.NoError(e.t, err)
		if s == nil {
			resp.Body.Close()
			return nil, resp.StatusCode
		}
		return &clientTunnel{s, s, s.CloseWrite, func() { s.Cancel(0x10c) }}, resp.StatusCode
	}
	body, w := io.Pipe()
	r.Body = body
	resp, err := c.Transport.RoundTrip(r)
	require.NoError(e.t, err)
	if resp.StatusCode != 200 {
		resp.Body.Close()
		w.Close()
	}
	return &clientTunnel{resp.Body, w, w.Close, func() { resp.Body.Close() }}, resp.StatusCode
}

func (e *running) tunnelHTTP1(target string) (*clientTunnel, int) {
	e.t.Helper()
	tc := e.trust.Clone()
	tc.NextProtos = []string{"http/1.1"}
	c, err := tls.Dial("tcp", e.at, tc)
	require.NoError(e.t, err)
	e.t.Cleanup(func() { c.Close() })
	fmt.Fprintf(c, "CONNECT %s HTTP/1.1\r\nHost: %[1]s\r\n\r\n", target)
	in := bufio.NewReader(c)
	resp, err := http.ReadResponse(in, &http.Request{Method: "CONNECT"})
	require.NoError(e.t, err)
	abort := func() {
		c.NetConn().(*net.TCPConn).SetLinger(0) // Close sends RST
		c.NetConn().Close()
	}
	return &clientTunnel{in, c, c.CloseWrite, abort}, resp.StatusCode
}

// listenTCP serves each connection that comes to a port of loopback. Its end says how it ended.
func listenTCP(t *testing.T, serve func(c *net.TCPConn) error) (addr string, ended chan error) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { ln.Close() })
	ended = make(chan error, 10)
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				ended <- serve(c.(*net.TCPConn))
			}()
		}
	}()
	return ln.Addr().String(), ended
}

// echoAll sends back what comes, and then "bye".
func echoAll(c *net.TCPConn) error {
	if _, err := io.Copy(c, c); err != nil {
		return err
	}
	_, err := io.WriteString(c, "bye")
	return err
}

// within returns what comes from a channel.
func within[T any](t *testing.T, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(time.Minute):
		t.Fatal("nothing comes")
	}
	return v
}

// tunnelsTo is the configuration of a route for tunnels.
func tunnelsTo(targets ...string) string {
	return "routes: [{connect: " + list(targets...) + ", connect_udp: " + list(targets...) + "}]\n"
}

// TestConnect passes bytes both ways, and the end of the client, over each version of HTTP.
func TestConnect(t *testing.T) {
	addr, ended := listenTCP(t, echoAll)
	e := start(t, tunnelsTo("127.0.0.1:*"))
	for _, proto := range protocols {
		t.Run(proto, func(t *testing.T) {
			c, status := e.tunnel(proto, addr)
			require.Equal(t, 200, status)
			text := strings.Repeat("0123456789", 100_000)
			go func() {
				io.WriteString(c, text)
				c.closeWrite()
			}()
			b, err := io.ReadAll(c)
			require.NoError(t, err)
			require.True(t, text+"bye" == string(b))
			require.NoError(t, within(t, ended))
		})
	}
	require.Eventually(t, func() bool { return e.visitors.count() == 0 }, time.Minute, time.Millisecond)
}

// TestConnectBreaksOff checks that neither side takes a tunnel that breaks off for one that ends.
func TestConnectBreaksOff(t *testing.T) {
	broken, _ := listenTCP(t, func(c *net.TCPConn) error {
		io.ReadFull(c, make([]byte, 4))
		c.SetLinger(0) // Close sends RST
		return nil
	})
	patient, ended := listenTCP(t, echoAll)
	e := start(t, tunnelsTo("127.0.0.1:*"))
	for _, proto := range protocols {
		t.Run(proto, func(t *testing.T) {
			c, _ := e.tunnel(proto, broken)
			io.WriteString(c, "stop")
			_, err := io.ReadAll(c)
			// A client of TLS sees the end of TCP, and may take it for the end of the data.
			require.True(t, err != nil || proto == "HTTP/1.1")

			c, _ = e.tunnel(proto, patient)
			io.WriteString(c, "text")
			_, err = io.ReadFull(c, make([]byte, 4))
			require.NoError(t, err)
			c.abort()
			require.Error(t, within(t, ended))
		})
	}
	require.Eventually(t, func() bool { return e.visitors.count() == 0 }, time.Minute, time.Millisecond)
}

// TestConnectIdle ends a tunnel through which nothing passes.
func TestConnectIdle(t *testing.T) {
	addr, ended := listenTCP(t, echoAll)
	e := start(t, "timeouts: {tunnel: 10ms}\n"+tunnelsTo("127.0.0.1:*"))
	for _, proto := range protocols {
		c, status := e.tunnel(proto, addr)
		require.Equal(t, 200, status)
		require.Error(t, within(t, ended), proto)
		io.Copy(io.Discard, c) // ends
	}
	require.Eventually(t, func() bool { return e.visitors.count() == 0 }, time.Minute, time.Millisecond)
}

// TestTunnelsRefused checks which tunnels are refused, and that other requests go on.
func TestTunnelsRefused(t *testing.T) {
	addr, _ := listenTCP(t, echoAll)
	_, port, _ := net.SplitHostPort(addr)
	ln, err := net.Listen("tcp", "127.0.0.2:0")
	require.NoError(t, err)
	closed := ln.Addr().String()
	ln.Close()
	e := start(t, fmt.Sprintf("pools: {p: {backends: [%q]}}\n", serveTest(t, saying("reached")))+`routes:
  - {pool: p}
  - {connect: ["*:*", "127.0.0.2:*"]}
`)
	none := start(t, onePool(serveTest(t, saying("reached"))))
	for _, proto := range protocols {
		for target, want := range map[string]int{
			addr:                403, // private
			"localhost:" + port: 403, // a name for it
			"[::ffff:7f00:1]:1": 403,
			closed:              502,
			"nowhere":           400,
			"a:0":               400,
		} {
			_, status := e.tunnel(proto, target)
			require.Equal(t, want, status, proto, target)
		}
		_, status := none.tunnel(proto, addr)
		require.Equal(t, 501, status)
		_, body := e.get(e.client(proto), "/")
		require.Equal(t, "reached", body)
	}
	for _, fields := range []string{"Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n"} {
		got := exchange(t, e, "CONNECT "+closed+" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"+fields+"\r\n5\r\nhello\r\n0\r\n\r\n")
		require.True(t, strings.HasPrefix(got[0], "400"), got[0])
	}
}

// TestConnectByTransport has the client of net/http use the edge as its proxy, to a server that it
// speaks TLS with.
func TestConnectByTransport(t *testing.T) {
	behind := start(t, onePool(serveTest(t, saying("end to end"))))
	e := start(t, tunnelsTo("127.0.0.1:*"))
	tr := &http.Transport{
		Proxy:           http.ProxyURL(&url.URL{Scheme: "https", Host: e.at}),
		TLSClientConfig: e.trust.Clone(),
	}
	cert, err := os.ReadFile(filepath.Join(filepath.Dir(behind.file), "cert.pem"))
	require.NoError(t, err)
	tr.TLSClientConfig.RootCAs.AppendCertsFromPEM(cert)
	defer tr.CloseIdleConnections()
	_, body := behind.get(&http.Client{Transport: tr, Timeout: time.Minute}, "/")
	require.Equal(t, "end to end", body)
}

// TestConnectUDP sends datagrams through the edge to a target that is allowed, and is refused
// others. The access log has the target.
func TestConnectUDP(t *testing.T) {
	target, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	defer target.Close()
	go func() {
		b := make([]byte, 2000)
		for {
			n, from, err := target.ReadFrom(b)
			if err != nil {
				return
			}
			target.WriteTo(b[:n], from)
		}
	}()
	addr := target.LocalAddr().String()
	ask := func(e *running) (*masque.Conn, error) {
		tr := &h3http.Transport{TLSClientConfig: e.trust.Clone()}
		e.t.Cleanup(func() { tr.Close() })
		return (&masque.Client{Transport: tr, Proxy: "https://" + e.at}).Dial(t.Context(), addr)
	}
	var log logBuffer
	e := startLogging(t, tunnelsTo("127.0.0.0/8:*"), &log)
	c, err := ask(e)
	require.NoError(t, err)
	b := make([]byte, 2000)
	for _, size := range []int{1, 1000} {
		c.SetDeadline(time.Now().Add(time.Minute))
		_, err = c.Write(b[:size])
		require.NoError(t, err)
		n, err := c.Read(b)
		require.NoError(t, err)
		require.Equal(t, size, n)
	}
	c.Close()
	require.Eventually(t, func() bool { return len(log.requests(t)) == 1 }, time.Minute, time.Millisecond)
	require.Equal(t, addr, log.requests(t)[0]["backend"].(string))

	for text, status := range map[string]int{tunnelsTo("*:*"): 403, tunnelsTo("127.0.0.2:*", "a:*"): 403, onePool("http://a"): 501} {
		_, err := ask(start(t, text))
		refused, ok := err.(*masque.RefusedError)
		require.True(t, ok, err)
		require.Equal(t, status, refused.StatusCode)
	}
}
