package netns

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/udpio"
)

const (
	// writeBufferEnv is the size of the socket's send buffer, in bytes.
	writeBufferEnv = "LAZO_NETNS_WRITE_BUFFER"
	// dialsEnv has the process dial during the fault, which takes descriptors.
	dialsEnv = "LAZO_NETNS_DIALS"
	// diskEnv is the size of a disk for qlogs, in bytes.
	diskEnv = "LAZO_NETNS_DISK"
	// clockEnv has the process watch its clocks.
	clockEnv = "LAZO_NETNS_CLOCK"
	// visitsEnv has a client take more commands than one while it downloads.
	visitsEnv = "LAZO_NETNS_VISITS"
)

// supplied is how much is downloaded, in bytes.
const supplied = 4 << 20

func supplies() io.Reader { return io.LimitReader(rand.NewChaCha8([32]byte{3}), supplied) }

// A watched socket says on standard output what refuses its messages, once for each reason.
type watched struct {
	*udpio.Socket
	mu   sync.Mutex
	seen map[syscall.Errno]bool
}

func (w *watched) WriteBatch(ms []udpio.Message) (int, error) {
	n, err := w.Socket.WriteBatch(ms)
	if w.met(err); err == nil && n < len(ms) {
		w.met(unix.EAGAIN)
	}
	return n, err
}

func (w *watched) ReadBatch(ms []udpio.Message, deadline time.Time) (int, error) {
	n, err := w.Socket.ReadBatch(ms, deadline)
	for i := range ms[:n] {
		w.met(ms[i].Err)
	}
	return n, err
}

func (w *watched) met(err error) {
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.seen[errno] {
		w.seen[errno] = true
		fmt.Println("met", unix.ErrnoName(errno))
	}
}

// watch opens a socket.
func watch(local string) (*watched, error) {
	size, _ := strconv.Atoi(os.Getenv(writeBufferEnv)) // 0 is the default
	socket, err := udpio.Listen("udp", local, &udpio.Config{WriteBuffer: size, ReceiveErrors: true})
	return &watched{Socket: socket, seen: make(map[syscall.Errno]bool)}, err
}

// config completes a configuration. It waits as long for a peer as TCP does for one that is
// frozen. A reader that waits soon makes the sender wait.
func (w *watched) config(c *conn.Config) (*conn.Config, error) {
	if os.Getenv(clockEnv) != "" {
		go watchClocks()
	}
	c.MaxIdleTimeout = 5 * time.Minute
	c.KeepAlive = time.Second // who has sent all there is credit for meets a fault, too
	c.MaxStreamData = 256 << 10
	size := os.Getenv(diskEnv)
	if size == "" {
		return c, nil
	}
	// `ip netns exec` gives a process mounts of its own: this one ends with it
	const dir = "/mnt"
	if err := unix.Mount("lazo", dir, "tmpfs", 0, "size="+size); err != nil {
		return nil, fmt.Errorf("mount a tmpfs: %w", err)
	}
	c.QLog = loop.QLogDirReport(dir, w.met)
	return c, nil
}

// supply sends the supplies on the first stream of each connection.
func supply(ctx context.Context) error {
	w, err := watch("0.0.0.0:4433")
	if err != nil {
		return err
	}
	cfg, err := w.config(conntest.ServerConfig())
	if err != nil {
		return err
	}
	g, err := loop.New(&loop.Config{Endpoint: conn.EndpointConfig{Server: cfg}}, w)
	if err != nil {
		return err
	}
	defer g.Close()
	fmt.Println("ready")
	if os.Getenv(dialsEnv) != "" {
		go dials(ctx, w, "127.0.0.1:4433")
	}
	for {
		c, err := g.Accept(ctx)
		if err != nil {
			return err
		}
		go func() {
			s, err := c.AcceptStream(ctx)
			if err == nil {
				_, err = io.Copy(s, supplies())
			}
			if err == nil {
				s.CloseWrite()
			}
		}()
	}
}

// fetch reads the supplies. It says when a part of them has come, and goes on when it has read a
// line.
func fetch(ctx context.Context) error {
	w, err := watch("0.0.0.0:0")
	if err != nil {
		return err
	}
	g, err := loop.New(nil, w)
	if err != nil {
		return err
	}
	defer g.Close()
	cfg, err := w.config(conntest.ClientConfig())
	if err != nil {
		return err
	}
	c, err := g.Dial(ctx, serverAddr+":4433", cfg)
	if err != nil {
		return err
	}
	h := sha256.New()
	s, err := fetchPart(ctx, c, h, supplied/4)
	if err != nil {
		return err
	}
	commands := bufio.NewReader(os.Stdin)
	if _, err := commands.ReadString('\n'); err != nil {
		return err
	}
	if os.Getenv(visitsEnv) != "" {
		return fetchAndVisit(ctx, g, c, s, h, commands)
	}
	dialed := make(chan error, 1)
	if os.Getenv(dialsEnv) != "" {
		go func() { dialed <- dials(ctx, w, serverAddr+":4433") }()
	} else {
		dialed <- nil
	}
	if _, err := io.Copy(h, s); err != nil {
		return err
	}
	if err := <-dialed; err != nil {
		return err
	}
	fmt.Println("sum", hex.EncodeToString(h.Sum(nil)))
	return c.Close(0, "")
}

// fetchAndVisit reads the rest of the supplies, and meanwhile opens other connections when it is
// told to. If the connection ends because it was idle for too long, or because the peer has
// forgotten it for that reason, all is read anew on another one.
func fetchAndVisit(ctx context.Context, g *loop.Group, c *loop.Conn, s *loop.Stream, h hash.Hash, commands *bufio.Reader) error {
	fetched := make(chan error, 1)
	go func() {
		_, err := io.Copy(h, s)
		if errors.Is(err, conn.ErrIdleTimeout) || errors.Is(err, conn.ErrStatelessReset) {
			fmt.Println("ended:", err)
			h.Reset()
			err = again(ctx, g, c, h)
		}
		fetched <- err
	}()
	cfg := conntest.ClientConfig()
	cache := new(loop.SessionCache)
	cfg.TLS.ClientSessionCache, cfg.Tokens = cache, cache
	for {
		command, err := commands.ReadString('\n')
		if err != nil {
			return err
		}
		if command == "sum\n" {
			break
		}
		v, err := g.Dial(ctx, serverAddr+":4433", cfg)
		if err != nil {
			return err
		}
		part := make([]byte, 100_000)
		s, err := v.OpenStream(ctx, conn.Bidi)
		if err == nil {
			s.CloseWrite()
			_, err = io.ReadFull(s, part)
		}
		if err != nil {
			return err
		}
		want := make([]byte, len(part))
		io.ReadFull(supplies(), want)
		if !bytes.Equal(part, want) {
			return errors.New("a visit got other bytes")
		}
		fmt.Println("visited, resumed:", v.TLS().DidResume)
		v.Close(0, "")
	}
	if err := <-fetched; err != nil {
		return err
	}
	fmt.Println("sum", hex.EncodeToString(h.Sum(nil)))
	return g.Close()
}

// again reads all supplies on another connection than c, which has ended.
func again(ctx context.Context, g *loop.Group, c *loop.Conn, h hash.Hash) error {
	<-c.Context().Done()
	c, err := g.Dial(ctx, serverAddr+":4433", conntest.ClientConfig())
	if err != nil {
		return err
	}
	s, err := fetchPart(ctx, c, h, supplied/4)
	if err == nil {
		_, err = io.Copy(h, s)
	}
	return err
}

// dials dials until that fails for want of descriptors, and then until it works.
func dials(ctx context.Context, w *watched, addr string) error {
	failed := false
	for {
		c, err := loop.Dial(ctx, addr, conntest.ClientConfig())
		if err == nil {
			c.Close(0, "")
		} else if !errors.Is(err, unix.EMFILE) {
			return err
		}
		w.met(err)
		if failed && err == nil {
			fmt.Println("dials")
			return nil
		}
		failed = failed || err != nil
		time.Sleep(10 * time.Millisecond)
	}
}
