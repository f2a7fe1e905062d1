package looptest_test

import (
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/loop/looptest"
)

// TestTenthOfASecond is a test as users write them: a second on the network takes no time.
func TestTenthOfASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := looptest.New(t, 1, conntest.Link{Delay: 25 * time.Millisecond})
		server, err := loop.New(&loop.Config{
			Endpoint: conn.EndpointConfig{Server: conntest.ServerConfig()},
		}, n.Listen("10.0.0.1:443"))
		if err != nil {
			t.Fatal(err)
		}
		defer server.Close()
		client, err := loop.New(nil, n.Listen("10.0.0.2:5000"))
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()

		go func() {
			c, err := server.Accept(t.Context())
			if err != nil {
				return
			}
			s, err := c.AcceptStream(t.Context())
			if err != nil {
				return
			}
			io.Copy(s, s)
			s.Close()
		}()
		start := time.Now()
		c, err := client.Dial(t.Context(), "10.0.0.1:443", conntest.ClientConfig())
		if err != nil {
			t.Fatal(err)
		}
		s, err := c.OpenStream(t.Context(), conn.Bidi)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(s, "hello")
		s.CloseWrite()
		if b, err := io.ReadAll(s); string(b) != "hello" || err != nil {
			t.Errorf("read %q, %v", b, err)
		}
		if d := time.Since(start); d != 100*time.Millisecond {
			t.Errorf("a handshake and an echo took %v, want two round trips", d)
		}
	})
}
