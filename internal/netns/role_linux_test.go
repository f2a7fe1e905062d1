package netns

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/udpio"
)

// roleEnv says what a process of a test is to be.
const roleEnv = "LAZO_NETNS_ROLE"

// size is what the client downloads, in bytes.
const size = 100 << 20

// TestRole is the body of the processes in the namespaces. Without roleEnv it does nothing.
func TestRole(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	if os.Getenv(clockEnv) != "" {
		ctx = t.Context() // the hour that is to come would end the other one
	}
	var err error
	switch role := os.Getenv(roleEnv); role {
	case "":
		return // not in a namespace: TestAddressChange and others start the roles
	case "server":
		err = serve(ctx)
	case "walk-server":
		err = serveWalker()
	case "walk":
		err = walk(ctx)
	case "fail":
		err = fail(ctx)
	case "supply":
		err = supply(ctx)
	case "fetch":
		err = fetch(ctx)
	default:
		err = download(ctx, role == "migrate")
	}
	if err != nil {
		t.Fatal(err)
	}
}

// content is what the server sends.
func content() io.Reader { return io.LimitReader(rand.NewChaCha8([32]byte{1}), size) }

// serve sends the content on the first stream of the first connection, and reports how often that
// moved.
func serve(ctx context.Context) error {
	g, err := loop.Listen("udp", "0.0.0.0:4433", 1, &loop.Config{Endpoint: conn.EndpointConfig{Server: conntest.ServerConfig()}})
	if err != nil {
		return err
	}
	defer g.Close()
	fmt.Println("ready")
	c, err := g.Accept(ctx)
	if err != nil {
		return err
	}
	s, err := c.AcceptStream(ctx)
	if err != nil {
		return err
	}
	if _, err := io.Copy(s, content()); err != nil {
		return err
	}
	if err := s.CloseWrite(); err != nil {
		return err
	}
	<-c.Context().Done()
	fmt.Println("changes", c.Stats().PathChanges)
	return nil
}

// download reads the content. It says when a part of it has come, and then waits for a line on its
// standard input: the address has changed. With migrate it moves to another socket there, or else
// it does not know.
func download(ctx context.Context, migrate bool) error {
	local := "0.0.0.0:0"
	if migrate {
		local = clientAddr + ":0"
	}
	socket, err := udpio.Listen("udp", local, nil)
	if err != nil {
		return err
	}
	g, err := loop.New(nil, socket)
	if err != nil {
		return err
	}
	defer g.Close()
	cfg := conntest.ClientConfig()
	// who only receives must say something, or the server does not learn the new address
	cfg.KeepAlive = time.Second
	c, err := g.Dial(ctx, serverAddr+":4433", cfg)
	if err != nil {
		return err
	}
	h := sha256.New()
	s, err := fetchPart(ctx, c, h, size/5)
	if err != nil {
		return err
	}
	moved := make(chan error, 1)
	go func() {
		_, err := bufio.NewReader(os.Stdin).ReadString('\n')
		if err == nil && migrate {
			err = move(ctx, c, socket)
		}
		moved <- err
	}()
	if _, err := io.Copy(h, s); err != nil {
		return err
	}
	if err := <-moved; err != nil {
		return err
	}
	fmt.Println("sum", hex.EncodeToString(h.Sum(nil)))
	return c.Close(0, "")
}

// fetchPart asks for everything on a stream, writes the first n bytes to w, and says so.
func fetchPart(ctx context.Context, c *loop.Conn, w io.Writer, n int64) (*loop.Stream, error) {
	s, err := c.OpenStream(ctx, conn.Bidi)
	if err != nil {
		return nil, err
	}
	if err := s.CloseWrite(); err != nil {
		return nil, err
	}
	if _, err := io.CopyN(w, s, n); err != nil {
		return nil, err
	}
	fmt.Println("part")
	return s, nil
}

// move moves the connection to a socket on the other address.
func move(ctx context.Context, c *loop.Conn, socket *udpio.Socket) error {
	first := socket.LocalAddr()
	other, err := socket.AddLocal("udp", otherAddr+":0")
	if err != nil {
		return err
	}
	if err := c.Migrate(ctx, other); err != nil {
		return err
	}
	return socket.RemoveLocal(first)
}
