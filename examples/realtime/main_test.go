package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/examples/realtime/internal/world"
	"github.com/lazoquic/lazo/h3/webtransport"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
)

// A program is one that run runs.
type program struct {
	t     *testing.T
	lines chan string
	stdin *io.PipeWriter
	stop  context.CancelFunc
	ended chan error
}

// start runs the program.
func start(t *testing.T, args ...string) *program {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	out, pw := io.Pipe()
	in, stdin := io.Pipe()
	p := &program{t: t, lines: make(chan string, 1000), stdin: stdin, stop: cancel, ended: make(chan error, 1)}
	go func() {
		err := run(ctx, args, in, pw)
		pw.Close()
		p.ended <- err
	}()
	go func() {
		defer close(p.lines)
		for scan := bufio.NewScanner(out); scan.Scan(); {
			p.lines <- scan.Text()
		}
	}()
	t.Cleanup(func() {
		cancel()
		in.Close()
		out.Close()
	})
	return p
}

// until waits for a line of output, and returns what the parentheses of expr match.
func (p *program) until(expr string) []string {
	p.t.Helper()
	re := regexp.MustCompile(expr)
	var seen []string
	for late := time.After(time.Minute); ; {
		select {
		case line, ok := <-p.lines:
			if !ok {
				p.t.Fatalf("the program has ended: %v\n%s", <-p.ended, strings.Join(seen, "\n"))
			}
			if m := re.FindStringSubmatch(line); m != nil {
				return m
			}
			seen = append(seen, line)
		case <-late:
			p.t.Fatalf("no line like %s:\n%s", expr, strings.Join(seen, "\n"))
		}
	}
}

// end ends the program as Ctrl-C does.
func (p *program) end() {
	p.t.Helper()
	p.stop()
	for range p.lines {
	}
	require.NoError(p.t, <-p.ended)
}

// serving starts a server on ports of its own, and returns where its page and the game are.
func serving(t *testing.T, args ...string) (p *program, page, addr string) {
	t.Helper()
	p = start(t, append([]string{"-addr", "127.0.0.1:0", "-page", "127.0.0.1:0", "-every", "50ms"}, args...)...)
	page = p.until(`open (http://[0-9.:]+/) `)[1]
	return p, page, p.until(`-connect ([0-9.:]+)$`)[1]
}

// TestPlay has bots and two players on the terminal, one of whom knows the certificate.
func TestPlay(t *testing.T) {
	cert := filepath.Join(t.TempDir(), "cert.pem")
	s, _, addr := serving(t, "-bots", "5", "-cert", cert)
	s.until(`server: 5 players`)
	s.until(`bots:   5 play, each sees [1-4]`)
	ann := start(t, "-connect", addr, "-ca", cert, "-name", "Ann", "-every", "50ms")
	bob := start(t, "-connect", addr, "-insecure", "-name", "Bob", "-every", "50ms")
	ann.until(`^\(sees [1-9].* round trip [1-9].* positions of others are p50 [1-9]`)
	bob.until(`^\(sees [1-9]`)
	io.WriteString(ann.stdin, "  hello\n")
	bob.until(`^Ann: hello$`)
	ann.until(`^Ann: hello$`)
	s.until(`1 lines of chat`)
	ann.end()
	s.until(`server: 6 players`)
	s.stop() // and Bob learns of it
	require.ErrorContains(t, <-bob.ended, "the server ends")
	s.end()
}

// TestPath checks that -loss and -delay do what they say.
func TestPath(t *testing.T) {
	s, _, _ := serving(t, "-bots", "20", "-loss", "20", "-delay", "15ms")
	s.until(`bots:   20 play, each sees .*; [0-9]+ snapshots, (1[5-9]|[2-9]\d)\.\d+ % missing`)
	s.until(`bots:   round trips p50 (3\d|[4-9]\d|\d{3})[.m]`)
	s.end()
}

// TestDuration checks that the program ends by itself, with a report.
func TestDuration(t *testing.T) {
	s, _, _ := serving(t, "-for", "1ms", "-every", "1h")
	s.until(`server: 0 players`)
	for range s.lines {
	}
	require.NoError(t, <-s.ended)
}

// TestBotsComeAgain checks that bots survive the end of their server.
func TestBotsComeAgain(t *testing.T) {
	s, _, addr := serving(t)
	b := start(t, "-connect", addr, "-insecure", "-bots", "3", "-every", "50ms")
	b.until(`bots:   3 play`)
	s.end()
	b.until(`bots:   0 play`)
	s = start(t, "-addr", addr, "-page", "127.0.0.1:0", "-every", "50ms")
	b.until(`bots:   3 play`)
	s.until(`server: 3 players`)
	b.end()
	s.until(`server: 0 players`)
	s.end()
}

// TestPage checks what the page is told, and that only the page may play.
func TestPage(t *testing.T) {
	s, page, addr := serving(t)
	for path, want := range map[string]string{"": "<canvas", "page.js": "new WebTransport("} {
		require.Contains(t, string(get(t, page+path)), want)
	}
	var where struct{ URL, Hash string }
	require.NoError(t, json.Unmarshal(get(t, page+"server"), &where))
	require.Equal(t, "https://"+addr+"/play", where.URL)
	hash, err := base64.StdEncoding.DecodeString(where.Hash)
	require.NoError(t, err)
	require.Len(t, hash, 32)
	d := &webtransport.Dialer{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer d.Close()
	_, _, err = d.Dial(t.Context(), where.URL, http.Header{"Origin": {"https://elsewhere.test"}})
	require.Error(t, err)
	_, _, err = d.Dial(t.Context(), where.URL, http.Header{"Origin": {strings.TrimSuffix(page, "/")}})
	require.NoError(t, err)
	d.Close()
	s.end()
}

func get(t *testing.T, url string) []byte {
	t.Helper()
	resp, err := http.Get(url)
	require.NoError(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, 200, resp.StatusCode)
	return b
}

// TestVisitor plays over WebTransport, beside a player who speaks QUIC without HTTP.
func TestVisitor(t *testing.T) {
	s, _, addr := serving(t)
	ann := start(t, "-connect", addr, "-insecure", "-name", "Ann", "-every", "50ms")
	ann.until(`round trip [1-9]`)
	d := &webtransport.Dialer{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer d.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	wt, _, err := d.Dial(ctx, "https://"+addr+"/play", nil)
	require.NoError(t, err)
	streams := map[world.Kind]*webtransport.Stream{}
	for kind := world.Signalling; kind <= world.Inventory; kind++ {
		st, err := wt.OpenStream(ctx, conn.Bidi)
		require.NoError(t, err)
		st.SetReadDeadline(time.Now().Add(time.Minute))
		_, err = st.Write([]byte{byte(kind)})
		require.NoError(t, err)
		streams[kind] = st
	}
	message := func(kind world.Kind) world.Message {
		t.Helper()
		var in world.Messages
		b := make([]byte, 1)
		for {
			_, err := io.ReadFull(streams[kind], b)
			require.NoError(t, err)
			got, err := in.Read(b)
			require.NoError(t, err)
			if len(got) > 0 {
				return got[0]
			}
		}
	}
	streams[world.Signalling].Write(world.AppendMessage(nil, world.Message{Name: "Bob"}))
	require.NotNil(t, message(world.Signalling).Welcome)
	require.NotEmpty(t, message(world.Inventory).Coins)

	c := world.NewClient(time.Now())
	for b := make([]byte, 1500); c.Stats().Seen == 0 || c.Stats().RTT == 0; {
		require.NoError(t, wt.SendDatagram(ctx, c.Position(time.Now(), world.Size/2, world.Size/2, nil), 0))
		n, err := wt.ReceiveDatagram(ctx, b)
		require.NoError(t, err)
		c.Datagram(time.Now(), b[:n])
	}
	ann.until(`^\(sees 1 others`)
	streams[world.Chat].Write(world.AppendMessage(nil, world.Message{Text: "hello"}))
	ann.until(`^Bob: hello$`)
	require.Equal(t, "hello", message(world.Chat).Text)
	io.WriteString(ann.stdin, "hi\n")
	require.Equal(t, world.Message{From: 1, Name: "Ann", Text: "hi"}, message(world.Chat))

	// Who breaks a rule has to go.
	streams[world.Inventory].Write(world.AppendMessage(nil, world.Message{Name: "?"}))
	<-wt.Context().Done()
	end, ok := context.Cause(wt.Context()).(*webtransport.SessionError)
	require.True(t, ok)
	require.Equal(t, uint32(codeProtocol), end.Code)
	ann.until(`^\(sees 0 others`)
	ann.end()
	s.end()
}

// TestHostileInline breaks rules without HTTP.
func TestHostileInline(t *testing.T) {
	s, _, addr := serving(t)
	for name, f := range map[string]func(context.Context, *loop.Conn){
		"a unidirectional stream": func(ctx context.Context, c *loop.Conn) {
			st, err := c.OpenStream(ctx, conn.Uni)
			require.NoError(t, err)
			st.Write([]byte("hello"))
		},
		"a stream of kind 77": func(ctx context.Context, c *loop.Conn) {
			st, err := c.OpenStream(ctx, conn.Bidi)
			require.NoError(t, err)
			st.Write([]byte("Mhello"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			tc := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{protocol}}
			c, err := loop.Dial(ctx, addr, &conn.Config{TLS: tc})
			require.NoError(t, err)
			f(ctx, c)
			_, err = c.AcceptStream(ctx)
			var end *conn.ApplicationError
			require.ErrorAs(t, err, &end)
			require.Equal(t, uint64(codeProtocol), end.Code)
			require.Contains(t, end.Reason, name)
		})
	}
	s.end()
}
