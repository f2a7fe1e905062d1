package h3http

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/loop/looptest"
)

// faulty is a Handler with all the mistakes that end up in a log.
var faulty = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/panic":
		panic("a fault")
	case "/twice":
		w.WriteHeader(200)
		w.WriteHeader(200)
	case "/short":
		w.Header().Set("Content-Length", "5")
		w.Write([]byte("x"))
	case "/length":
		w.Header().Set("Content-Length", "x")
	case "/101":
		w.WriteHeader(http.StatusSwitchingProtocols)
	}
})

// provoke asks for a path. The answer does not matter.
func (p *pair) provoke(path string) {
	if resp, err := p.c.Get(p.url + path); err == nil {
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
}

// TestFloodOfMistakes: clients that provoke mistakes of handlers fill no disk. The log gets 10
// lines of each kind in 10 seconds, and then the number of lines that were left out.
func TestFloodOfMistakes(t *testing.T) {
	simulate(t, shortLink, func(t *testing.T, n *looptest.Network) {
		p := newSimPair(t, n, faulty)
		const each = 200
		for range each {
			p.provoke("/panic")
			p.provoke("/short")
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		text := p.log.String()
		for _, what := range []string{"h3http: panic in a handler", "h3http: response is shorter than its Content-Length"} {
			lines, told := 0, 0
			for line := range strings.Lines(text) {
				var count int
				switch _, rest, left := strings.Cut(line, " count="); {
				case !strings.Contains(line, what):
				case left:
					_, err := fmt.Sscan(rest, &count)
					require.NoError(t, err)
					told += count
				default:
					lines++
				}
			}
			// The flood takes some seconds of virtual time, so it may span two windows or three.
			if lines < 10 || lines > 30 || lines+told != each {
				t.Errorf("%q: %d lines, and word of %d more", what, lines, told)
			}
		}
	})
}

// TestNothingToGlobalLoggers: without a Logger, nothing that a client can do is written to the
// default loggers of packages slog and log.
func TestNothingToGlobalLoggers(t *testing.T) {
	recorded := new(logBuffer)
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(recorded, nil)))
	defer func() {
		slog.SetDefault(before)
		log.SetOutput(os.Stderr) // SetDefault has changed it, too
		log.SetFlags(log.LstdFlags)
	}()
	log.Print("the recorder works")
	require.Contains(t, recorded.String(), "the recorder works")
	was := recorded.String()

	p := newPair(t, faulty, func(p *pair) { p.srv.Logger = nil })
	for _, path := range []string{"/panic", "/twice", "/short", "/length", "/101", "/;;%zz", strings.Repeat("/x", 5000)} {
		p.provoke(path)
	}
	p.srv.overTCP().ErrorLog.Print("a TLS handshake failed")
	breakRules(t, strings.TrimPrefix(p.url, "https://"))
	require.Equal(t, was, recorded.String())
}

// breakRules is a client that keeps no rule of HTTP/3, nor of QUIC.
func breakRules(t *testing.T, addr string) {
	noise, err := net.Dial("udp", addr)
	require.NoError(t, err)
	defer noise.Close()
	for i := range 100 {
		noise.Write(bytes.Repeat([]byte{byte(0xc0 + i%64)}, 20+13*i))
	}
	g, err := loop.Open("udp", "127.0.0.1:0", 1, nil)
	require.NoError(t, err)
	defer g.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for i := range byte(8) {
		c, err := g.Dial(ctx, addr, &conn.Config{TLS: h3Client()})
		require.NoError(t, err)
		s, err := c.OpenStream(ctx, conn.Uni)
		require.NoError(t, err)
		// a control stream that begins with something else than settings, or one that is unknown
		s.Write([]byte{i, 0x40 + i, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
		s.CloseWrite()
		c.Close(uint64(i)<<40, "\n\"broken\"\x00")
		<-c.Context().Done()
	}
}

func h3Client() *tls.Config {
	tc := clientConfig()
	tc.ServerName = "localhost"
	tc.NextProtos = []string{"h3"}
	return tc
}
