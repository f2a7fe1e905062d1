package handover_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/loop/handover"
)

// TestMain runs a server instead of the tests if the environment says so.
func TestMain(m *testing.M) {
	if path := os.Getenv("HANDOVER_TEST_PATH"); path != "" {
		if err := serve(path, os.Getenv("HANDOVER_TEST_NAME")); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

const loops = 2

// patient lets cfg bear a machine that has much else to do.
func patient(cfg *conn.Config) *conn.Config {
	cfg.HandshakeTimeout, cfg.MaxIdleTimeout = 2*time.Minute, 2*time.Minute
	return cfg
}

// serve is the program of which the tests start one after the other.
func serve(path, name string) error {
	ctx := context.Background()
	h, err := handover.Open(ctx, &handover.Config{Path: path})
	if err != nil {
		return err
	}
	defer h.Close()
	ln, err := h.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	cfg := &loop.Config{Endpoint: conn.EndpointConfig{Server: patient(conntest.ServerConfig())}}
	g, err := h.Group("udp", "127.0.0.1:0", loops, cfg)
	if err != nil {
		return err
	}
	defer g.Close()
	fmt.Println("open", g.LocalAddr(), ln.Addr())
	if strings.HasPrefix(name, "unready") {
		select {} // until it is killed
	}
	if err := h.Ready(ctx); err != nil {
		return err
	}
	fmt.Println("ready")
	go func() {
		for c, err := ln.Accept(); err == nil; c, err = ln.Accept() {
			io.WriteString(c, name)
			c.Close()
		}
	}()
	go send(g, name)
	<-h.Superseded()
	fmt.Println("superseded")
	ln.Close()
	if err := g.Shutdown(ctx); err != nil {
		return err
	}
	fmt.Println("ended", g.Stats().Accepted, h.Stats().Returned)
	return nil
}

// send answers each stream of each connection with the name of the process, and bytes that are
// drawn from the first byte of the request, as many kilobytes as the rest of it says.
func send(g *loop.Group, name string) {
	for {
		c, err := g.Accept(context.Background())
		if err != nil {
			return
		}
		go func() {
			s, err := c.AcceptStream(context.Background())
			if err != nil {
				return
			}
			defer s.Close()
			var seed byte
			var size int
			if _, err := fmt.Fscanf(s, "%d %d\n", &seed, &size); err != nil {
				return
			}
			fmt.Fprintln(s, name)
			io.CopyN(s, rand.NewChaCha8([32]byte{seed}), int64(size))
		}()
	}
}

// A process is a server that runs.
type process struct {
	t        *testing.T
	cmd      *exec.Cmd
	udp, tcp string
	lines    *bufio.Scanner
}

// start starts a server and waits until its sockets are open.
func start(t *testing.T, path, name string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(os.Args[0])}
	p.cmd.Env = append(os.Environ(), "HANDOVER_TEST_PATH="+path, "HANDOVER_TEST_NAME="+name)
	p.cmd.Stderr = os.Stderr
	out, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		p.cmd.Wait()
	})
	p.lines = bufio.NewScanner(out)
	_, err = fmt.Sscan(p.await("open "), &p.udp, &p.tcp)
	require.NoError(t, err)
	return p
}

// await returns the rest of the next line, which must begin with a word.
func (p *process) await(word string) string {
	p.t.Helper()
	if !p.lines.Scan() {
		p.t.Fatalf("the process ended instead of %q", word)
	}
	rest, ok := strings.CutPrefix(p.lines.Text(), word)
	if !ok {
		p.t.Fatalf("%q instead of %q", p.lines.Text(), word)
	}
	return rest
}

// kill ends the process as a crash would.
func (p *process) kill() {
	p.cmd.Process.Kill()
	p.cmd.Wait()
}

const downloadSize = 400_000

// fetch downloads and compares. quarter is called before each quarter but the first.
func fetch(g *loop.Group, addr string, seed byte, size int, quarter func(i int)) (name string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	c, err := g.Dial(ctx, addr, patient(conntest.ClientConfig()))
	if err != nil {
		return "", fmt.Errorf("dial: %w", err)
	}
	defer c.Close(0, "")
	s, err := c.OpenStream(ctx, conn.Bidi)
	if err != nil {
		return "", err
	}
	fmt.Fprintf(s, "%d %d\n", seed, size)
	s.CloseWrite()
	r := bufio.NewReader(s)
	if name, err = r.ReadString('\n'); err != nil {
		return "", err
	}
	got, want := sha256.New(), sha256.New()
	io.CopyN(want, rand.NewChaCha8([32]byte{seed}), int64(size))
	for i := range 4 {
		if i > 0 {
			quarter(i)
		}
		if _, err := io.CopyN(got, r, int64(size/4)); err != nil {
			return name, fmt.Errorf("quarter %d: %w", i, err)
		}
	}
	if _, err := r.ReadByte(); err != io.EOF || string(got.Sum(nil)) != string(want.Sum(nil)) {
		return name, fmt.Errorf("the bytes differ, or the end: %v", err)
	}
	return strings.TrimSpace(name), nil
}

// A fleet is downloads that go through restarts together.
type fleet struct {
	*testing.T
	g      *loop.Group
	addr   string
	parked [4]chan struct{} // a token for each download that waits for the test
	gates  [4]chan struct{} // closed when downloads may go on
	done   sync.WaitGroup
}

func newFleet(t *testing.T, addr string) *fleet {
	g, err := loop.Open("udp", "127.0.0.1:0", loops, nil)
	require.NoError(t, err)
	t.Cleanup(func() { g.Close() })
	f := &fleet{T: t, g: g, addr: addr}
	for i := range f.gates {
		f.parked[i], f.gates[i] = make(chan struct{}, 1000), make(chan struct{})
	}
	return f
}

// launch begins n downloads, which must come from the process of the name.
func (f *fleet) launch(n int, name string) {
	dialing := make(chan struct{}, 8) // more at once would only wait for each other
	for i := range n {
		dialing <- struct{}{}
		begun := sync.OnceFunc(func() { <-dialing })
		f.done.Go(func() {
			got, err := fetch(f.g, f.addr, byte(i), downloadSize, func(q int) {
				begun()
				f.parked[q] <- struct{}{}
				<-f.gates[q]
			})
			begun()
			if err != nil || got != name {
				f.Errorf("download %d of %s: from %q: %v", i, name, got, err)
			}
		})
	}
}

// park waits until n downloads are at the beginning of quarter q.
func (f *fleet) park(q, n int) {
	f.Helper()
	limit := time.After(3 * time.Minute)
	for range n {
		select {
		case <-f.parked[q]:
		case <-limit:
			f.Fatalf("downloads have not come to quarter %d", q)
		}
	}
}

// TestRestarts: 200 connections are in the middle of downloads during three restarts in a row, with
// all four processes alive. Meanwhile new clients come all the time. Nobody loses anything.
func TestRestarts(t *testing.T) {
	const many, few = 200, 20
	path := filepath.Join(t.TempDir(), "handover")
	first := start(t, path, "p0")
	first.await("ready")
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.ModeSocket|0o600, info.Mode())

	f := newFleet(t, first.udp)
	f.launch(many, "p0")
	stop := make(chan struct{})
	came := f.visit(stop)
	processes := []*process{first}
	for q := 1; q <= 3; q++ {
		f.park(q, many)
		close(f.gates[q]) // so all of them receive during the restart
		name := fmt.Sprintf("p%d", q)
		p := start(t, path, name)
		require.Equal(t, first.udp, p.udp)
		require.Equal(t, first.tcp, p.tcp)
		p.await("ready")
		processes[q-1].await("superseded")
		processes = append(processes, p)
		conn, err := net.Dial("tcp", p.tcp)
		require.NoError(t, err)
		got, err := io.ReadAll(conn)
		require.NoError(t, err)
		require.Contains(t, []string{name, fmt.Sprintf("p%d", q-1)}, string(got))
		if q < 3 {
			f.later(few, name)
		}
	}
	close(f.gates[0])
	close(stop)
	f.done.Wait()
	for name, n := range came() {
		t.Logf("%d visits to %s", n, name)
	}
	for i, p := range processes[:3] {
		var accepted, returned int
		_, err := fmt.Sscan(p.await("ended"), &accepted, &returned)
		require.NoError(t, err)
		require.NoError(t, p.cmd.Wait())
		t.Logf("p%d: %d connections, %d messages forwarded to it", i, accepted, returned)
		require.True(t, returned > 0)
	}
}

// later begins downloads that are in progress until the end: each waits at its second quarter.
func (f *fleet) later(n int, name string) {
	begun := make(chan struct{}, n)
	for i := range n {
		f.done.Go(func() {
			got, err := fetch(f.g, f.addr, byte(i), downloadSize, func(k int) {
				if k == 1 {
					begun <- struct{}{}
					<-f.gates[0]
				}
			})
			if err != nil || got != name {
				f.Errorf("late download %d of %s: from %q: %v", i, name, got, err)
			}
		})
	}
	for range n {
		select {
		case <-begun:
		case <-time.After(3 * time.Minute):
			f.Fatalf("late downloads of %s do not begin", name)
		}
	}
}

// visit has clients come one after the other, four at a time, until stop is closed. The result
// counts them by the process that has served them.
func (f *fleet) visit(stop <-chan struct{}) (counts func() map[string]int) {
	var mu sync.Mutex
	came := make(map[string]int)
	for range 4 {
		f.done.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				name, err := fetch(f.g, f.addr, 7, 4000, func(int) {})
				if err != nil {
					f.Errorf("visit to %q: %v", name, err)
					return
				}
				mu.Lock()
				came[name]++
				mu.Unlock()
			}
		})
	}
	return func() map[string]int { return came }
}

// TestSuccessorDies: one that is killed before it is ready changes nothing. When one is killed that
// reads, its predecessor reads again, and keeps its connections. The next one can follow.
func TestSuccessorDies(t *testing.T) {
	const many = 20
	path := filepath.Join(t.TempDir(), "handover")
	first := start(t, path, "p0")
	first.await("ready")
	f := newFleet(t, first.udp)
	f.launch(many, "p0")

	f.park(1, many)
	start(t, path, "unready").kill()
	name, err := fetch(f.g, f.addr, 1, 4000, func(int) {})
	require.NoError(t, err)
	require.Equal(t, "p0", name)
	close(f.gates[1])

	f.park(2, many)
	second := start(t, path, "p1")
	second.await("ready")
	first.await("superseded")
	second.kill()
	close(f.gates[2])
	f.park(3, many) // the first process reads again

	third := start(t, path, "p2")
	third.await("ready")
	close(f.gates[3])
	name, err = fetch(f.g, f.addr, 1, 4000, func(int) {})
	require.NoError(t, err)
	require.Equal(t, "p2", name)
	f.done.Wait()
	first.await("ended")
	require.NoError(t, first.cmd.Wait())
}
