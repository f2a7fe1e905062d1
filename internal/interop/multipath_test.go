package interop

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/udpio"
)

// transferSize is how much goes each way, in bytes.
const transferSize = 4_000_000

// noq returns a command of the program peers/noq, which speaks multipath by noq, a QUIC in Rust. It
// is killed when the test ends.
func noq(t *testing.T, ctx context.Context, args ...string) *exec.Cmd {
	t.Helper()
	program := os.Getenv("LAZO_NOQ")
	if program == "" {
		t.Skip("LAZO_NOQ does not name the program of peers/noq")
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stderr = os.Stderr
	return cmd
}

// A pathServer is a server with multipath of another implementation, and a connection of Lazo to
// it. Its answers are those of the programs in peers.
type pathServer struct {
	t   *testing.T
	ctx context.Context
	c   *loop.Conn
}

// serve starts a server that prints "ready" and its address, and connects to it.
func serve(t *testing.T, ctx context.Context, cmd *exec.Cmd) *pathServer {
	t.Helper()
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	addr := strings.TrimPrefix(strings.TrimSpace(line), "ready ")
	c, err := loop.Dial(ctx, addr, &conn.Config{
		MaxPaths: 4,
		TLS:      &tls.Config{InsecureSkipVerify: true, ServerName: "localhost", NextProtos: []string{"mp"}},
	})
	require.NoError(t, err)
	t.Cleanup(func() { c.Close(0, "") })
	require.True(t, c.Multipath())
	return &pathServer{t, ctx, c}
}

// ask sends a request and returns the answer.
func (s *pathServer) ask(request string) string {
	s.t.Helper()
	st, err := s.c.OpenStream(s.ctx, conn.Bidi)
	require.NoError(s.t, err)
	_, err = io.WriteString(st, request)
	require.NoError(s.t, err)
	require.NoError(s.t, st.CloseWrite())
	b, err := io.ReadAll(st)
	require.NoError(s.t, err)
	return string(b)
}

// transfer downloads and uploads.
func (s *pathServer) transfer() {
	s.t.Helper()
	require.Len(s.t, s.ask(fmt.Sprint("get ", transferSize)), transferSize)
	require.Equal(s.t, strconv.Itoa(transferSize), s.ask(strings.Repeat("y", transferSize)))
}

// carried returns how many bytes went on a path, each way.
func (s *pathServer) carried(id conn.PathID) (sent, received uint64) {
	s.t.Helper()
	for _, p := range s.c.Paths() {
		if p.ID == id {
			return p.BytesSent, p.BytesReceived
		}
	}
	s.t.Fatalf("path %d is not open", id)
	return 0, 0
}

// until tries until it succeeds. A transfer may take a backup for a moment, where the other path
// seems to be dead: a host that is busy with something else answers late.
func (s *pathServer) until(try func() bool) {
	s.t.Helper()
	for !try() {
		require.NoError(s.t, s.ctx.Err())
	}
}

// add opens a path from an address.
func (s *pathServer) add(addr string) conn.PathID {
	s.t.Helper()
	id, err := s.c.AddPath(s.ctx, udpio.Interface{Addr: netip.MustParseAddr(addr)})
	require.NoError(s.t, err)
	return id
}

// exercise opens paths, uses each of them, updates keys, abandons paths and has them abandoned, and
// opens others in their place. updated and abandoned are what the server answers if it did so.
func (s *pathServer) exercise(updated, abandoned string) {
	t := s.t
	t.Helper()
	second := s.add("127.0.0.2")
	s.transfer()
	for _, way := range []struct{ use, spare conn.PathID }{{second, 0}, {0, second}} {
		require.NoError(t, s.c.SetPathBackup(way.spare, true))
		require.NoError(t, s.c.SetPathBackup(way.use, false))
		s.until(func() bool {
			before, _ := s.carried(way.use)
			s.transfer()
			sent, _ := s.carried(way.use)
			return sent-before > transferSize
		})
	}
	require.NoError(t, s.c.SetPathBackup(second, false))

	var err error
	require.NoError(t, s.c.Do(s.ctx, func(_ time.Time, c *conn.Conn) { err = c.UpdateKeys() }))
	require.NoError(t, err)
	s.transfer()
	require.Equal(t, updated, s.ask("keys"))
	s.transfer()
	require.EqualValues(t, 2, s.c.Stats().KeyUpdates)

	require.NoError(t, s.c.DropPath(0))
	s.transfer()
	third := s.add("127.0.0.3")
	require.Equal(t, abandoned, s.ask(fmt.Sprint("abandon ", second)))
	s.transfer()
	require.Len(t, s.c.Paths(), 1)
	for i := range 8 { // more than may be open at once
		id := s.add(fmt.Sprint("127.0.0.", 4+i))
		s.transfer()
		require.NoError(t, s.c.DropPath(id))
	}
	s.transfer()
	require.Equal(t, third, s.c.Paths()[0].ID)
	require.NoError(t, s.c.Close(0, "done"))
}

// TestNoqServer: a client of Lazo uses paths to noq.
func TestNoqServer(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	serve(t, ctx, noq(t, ctx, "server", "127.0.0.1:0")).exercise("ok", "Some(Ok(()))")
}

// TestNoqClient: noq opens paths to a server of Lazo.
func TestNoqClient(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out := use(t, ctx, noq(t, ctx, "client"))
	for _, want := range []string{
		"multipath true\n", "opened PathId(1)\n", fmt.Sprintf("echoed %d\n", transferSize), "close Some(Ok(()))\n", "done\n",
	} {
		require.Contains(t, out, want)
	}
	require.Equal(t, 3, strings.Count(out, fmt.Sprintf("got %d\n", transferSize)), out)
}

// use runs a client of another implementation against a server of Lazo, and returns what it
// printed. The arguments of the command end with the address of the server, another address of the
// client, and how much to transfer.
func use(t *testing.T, ctx context.Context, cmd *exec.Cmd) string {
	t.Helper()
	serverTLS, _ := tlsConfigs(t, "mp")
	g, err := loop.Listen("udp", "127.0.0.1:0", 1, &loop.Config{Endpoint: conn.EndpointConfig{
		Server: &conn.Config{TLS: serverTLS, MaxPaths: 4},
	}})
	require.NoError(t, err)
	defer g.Close()
	cmd.Args = append(cmd.Args, g.LocalAddr().String(), "127.0.0.2", strconv.Itoa(transferSize))
	ended := make(chan error, 1)
	go func() { ended <- answer(ctx, g) }()
	out, err := cmd.Output()
	require.NoError(t, err, string(out))
	require.NoError(t, <-ended)
	return string(out)
}

// answer answers the first connection as the servers in peers do, until it closes. The first
// path was abandoned then, and the second has carried data.
func answer(ctx context.Context, g *loop.Group) error {
	c, err := g.Accept(ctx)
	if err != nil {
		return err
	}
	var last []conn.PathStats
	for {
		s, err := c.AcceptStream(ctx)
		if err != nil {
			break
		}
		request, err := io.ReadAll(s)
		if err != nil {
			return err
		}
		last = c.Paths() // the client may close once it has the answer
		answer := []byte(strconv.Itoa(len(request)))
		if size, ok := strings.CutPrefix(string(request), "get "); ok {
			n, err := strconv.Atoi(strings.TrimSpace(size))
			if err != nil {
				return err
			}
			answer = make([]byte, n)
		}
		if _, err := s.Write(answer); err != nil {
			return err
		}
		s.CloseWrite()
	}
	if c.Stats().KeyUpdates == 0 || len(last) != 1 || last[0].ID != 1 || last[0].BytesSent < transferSize/2 {
		return fmt.Errorf("key updates: %d, paths: %+v", c.Stats().KeyUpdates, last)
	}
	return nil
}
