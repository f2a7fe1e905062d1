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

// A noqServer is noq as a server, and a connection of Lazo to it.
type noqServer struct {
	t   *testing.T
	ctx context.Context
	c   *loop.Conn
}

// ask sends a request and returns the answer.
func (s *noqServer) ask(request string) string {
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
func (s *noqServer) transfer() {
	s.t.Helper()
	require.Len(s.t, s.ask(fmt.Sprint("get ", transferSize)), transferSize)
	require.Equal(s.t, strconv.Itoa(transferSize), s.ask(strings.Repeat("y", transferSize)))
}

// sent returns how many bytes went on a path.
func (s *noqServer) sent(id conn.PathID) uint64 {
	s.t.Helper()
	for _, p := range s.c.Paths() {
		if p.ID == id {
			return p.BytesSent
		}
	}
	s.t.Fatalf("path %d is not open", id)
	return 0
}

// add opens a path from an address.
func (s *noqServer) add(addr string) conn.PathID {
	s.t.Helper()
	id, err := s.c.AddPath(s.ctx, udpio.Interface{Addr: netip.MustParseAddr(addr)})
	require.NoError(s.t, err)
	return id
}

// TestNoqServer: a client of Lazo opens paths to noq, uses each of them, updates keys, abandons
// paths and has them abandoned, and opens others in their place.
func TestNoqServer(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := noq(t, ctx, "server", "127.0.0.1:0")
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
	defer c.Close(0, "")
	require.True(t, c.Multipath())
	s := &noqServer{t, ctx, c}
	second := s.add("127.0.0.2")
	s.transfer()
	for _, way := range []struct{ use, spare conn.PathID }{{second, 0}, {0, second}} {
		require.NoError(t, c.SetPathBackup(way.spare, true))
		require.NoError(t, c.SetPathBackup(way.use, false))
		before := s.sent(way.use)
		s.transfer()
		require.Greater(t, s.sent(way.use)-before, uint64(transferSize), "path %d was to carry it", way.use)
	}
	require.NoError(t, c.SetPathBackup(second, false))

	require.NoError(t, c.Do(ctx, func(_ time.Time, c *conn.Conn) { err = c.UpdateKeys() }))
	require.NoError(t, err)
	s.transfer()
	require.Equal(t, "ok", s.ask("keys"))
	s.transfer()
	require.EqualValues(t, 2, c.Stats().KeyUpdates)

	require.NoError(t, c.DropPath(0))
	s.transfer()
	third := s.add("127.0.0.3")
	require.Equal(t, "Some(Ok(()))", s.ask(fmt.Sprint("abandon ", second)))
	s.transfer()
	require.Len(t, c.Paths(), 1)
	for i := range 8 { // more than may be open at once
		id := s.add(fmt.Sprint("127.0.0.", 4+i))
		s.transfer()
		require.NoError(t, c.DropPath(id))
	}
	s.transfer()
	require.Equal(t, third, c.Paths()[0].ID)
	require.NoError(t, c.Close(0, "done"))
}

// TestNoqClient: noq opens paths to a server of Lazo.
func TestNoqClient(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := noq(t, ctx)
	serverTLS, _ := tlsConfigs(t, "mp")
	g, err := loop.Listen("udp", "127.0.0.1:0", 1, &loop.Config{Endpoint: conn.EndpointConfig{
		Server: &conn.Config{TLS: serverTLS, MaxPaths: 4},
	}})
	require.NoError(t, err)
	defer g.Close()
	cmd.Args = append(cmd.Args, "client", g.LocalAddr().String(), "127.0.0.2", strconv.Itoa(transferSize))
	ended := make(chan error, 1)
	go func() { ended <- answer(ctx, g) }()
	out, err := cmd.Output()
	require.NoError(t, err, string(out))
	require.NoError(t, <-ended)
	for _, want := range []string{
		"multipath true\n", "opened PathId(1)\n", fmt.Sprintf("echoed %d\n", transferSize), "close Some(Ok(()))\n", "done\n",
	} {
		require.Contains(t, string(out), want)
	}
	require.Equal(t, 3, strings.Count(string(out), fmt.Sprintf("got %d\n", transferSize)), string(out))
}

// answer answers the first connection as the server of peers/noq does, until it closes. The first
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
		last = c.Paths()
	}
	if c.Stats().KeyUpdates == 0 || len(last) != 1 || last[0].ID != 1 || last[0].BytesSent < transferSize/2 {
		return fmt.Errorf("key updates: %d, paths: %+v", c.Stats().KeyUpdates, last)
	}
	return nil
}
