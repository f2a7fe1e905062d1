package h3http

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/loop/looptest"
	"github.com/lazoquic/lazo/udpio"
)

// TestMultipath: a client has two networks, which fail in turn. A response and a stream of extended
// CONNECT, such as a WebSocket's, go on.
func TestMultipath(t *testing.T) {
	const size = 4 << 20
	alive := conntest.Link{Delay: 10 * time.Millisecond, Rate: 20e6, Queue: 50_000}
	dead := conntest.Link{Filter: func(*conntest.Packet) bool { return false }}
	simulate(t, alive, func(t *testing.T, n *looptest.Network) {
		p := newSimPair(t, n, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodConnect {
				echo(w)
				return
			}
			w.Write(make([]byte, size))
		}), withConnect, func(p *pair) {
			p.srv.QUICConfig = &conn.Config{MaxPaths: 4}
			p.tr.Multipath = loop.Multipath{MaxPaths: 4, Watch: twoInterfaces}
		})
		chat, _, err := p.tr.Connect(p.connectRequest("/", "websocket"))
		require.NoError(t, err)
		resp, err := p.c.Get(p.url)
		require.NoError(t, err)
		read := make(chan int64)
		go func() {
			k, err := io.Copy(io.Discard, resp.Body)
			require.NoError(t, err)
			read <- k
		}()
		c := ConnOf(resp.Request)
		for i := range 6 {
			time.Sleep(200 * time.Millisecond)
			local, link := []string{"10.0.0.2:5000", "10.1.0.2:5000"}[i/2%2], alive
			if i%2 == 0 {
				link = dead
			}
			n.Connect(local, "10.0.0.1:443", link)
			n.Connect("10.0.0.1:443", local, link)
			line := fmt.Sprintf("message %d\n", i)
			_, err := io.WriteString(chat, line)
			require.NoError(t, err)
			got := make([]byte, len(line))
			_, err = io.ReadFull(chat, got)
			require.NoError(t, err)
			require.Equal(t, line, string(got))
		}
		require.EqualValues(t, size, <-read)
		paths := c.Paths()
		require.Len(t, paths, 2)
		for _, path := range paths {
			require.Greater(t, path.BytesReceived, uint64(size/8), "both carried data: %+v", paths)
		}
		require.EqualValues(t, 1, p.srv.Stats().Conns)
	})
}

// TestMultipathIsNotThere: neither a server without multipath nor a host that cannot tell of its
// interfaces keeps requests from being made.
func TestMultipathIsNotThere(t *testing.T) {
	fails := func(context.Context, netip.Addr, func([]udpio.Interface)) error { return http.ErrNotSupported }
	for name, change := range map[string]func(p *pair){
		"server": func(p *pair) { p.tr.Multipath.Watch = twoInterfaces },
		"host": func(p *pair) {
			p.srv.QUICConfig = &conn.Config{MaxPaths: 4}
			p.tr.Multipath.Watch = fails
		},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, conntest.Link{Delay: time.Millisecond}, func(t *testing.T, n *looptest.Network) {
				p := newSimPair(t, n, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					io.WriteString(w, "hello")
				}), change, func(p *pair) { p.tr.Multipath.MaxPaths, p.tr.Logger = 4, p.log.logger() })
				resp, err := p.c.Get(p.url)
				require.NoError(t, err)
				got, err := io.ReadAll(resp.Body)
				require.NoError(t, err)
				require.Equal(t, "hello", string(got))
				time.Sleep(time.Second)
				require.Len(t, ConnOf(resp.Request).Paths(), 1)
				require.Contains(t, p.log.String(), "connection has one path")
			})
		})
	}
}

// twoInterfaces is a Watch for the Transport of a simulated pair.
func twoInterfaces(ctx context.Context, _ netip.Addr, report func([]udpio.Interface)) error {
	report([]udpio.Interface{
		{Name: "wlan0", Index: 2, Addr: netip.MustParseAddr("10.0.0.2"), Preferred: true},
		{Name: "wwan0", Index: 3, Addr: netip.MustParseAddr("10.1.0.2")},
	})
	<-ctx.Done()
	return ctx.Err()
}

// echo takes over the stream of a request and sends back what comes.
func echo(w http.ResponseWriter) {
	s, err := TakeStream(w)
	if err != nil {
		panic(err)
	}
	defer s.Close()
	io.Copy(s, s)
}
