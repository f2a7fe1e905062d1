package conntest_test

import (
	"crypto/rand"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
)

// A client sends a line to a server, 40 ms away. A test passes its own t, draws
// from conntest.Seed instead of rand.Reader, and needs neither exampleT nor done.
func Example() {
	t := new(exampleT)
	defer t.done()

	n := conntest.New(t, 1)
	n.Default = conntest.Link{Delay: 20 * time.Millisecond, Rate: 10e6}
	server := n.Add("10.0.0.1:443", &conn.EndpointConfig{Server: conntest.ServerConfig(), Rand: rand.Reader})
	client := n.Add("10.0.0.2:5000", &conn.EndpointConfig{Rand: rand.Reader})
	start := n.Now()

	client.OnEvent = func(now time.Time, ev conn.Event) {
		if ev.Kind != conn.EventConnected {
			return
		}
		fmt.Printf("connected after %v\n", now.Sub(start).Round(10*time.Millisecond))
		s, err := ev.Conn.OpenStream(conn.Uni)
		if err != nil {
			t.Fatalf("OpenStream: %v", err)
		}
		fmt.Fprint(s, "hello")
		s.CloseWrite()
		s.Release()
	}
	done := false
	server.OnEvent = func(now time.Time, ev conn.Event) {
		if ev.Kind != conn.EventStreamReadable {
			return
		}
		b := make([]byte, 100)
		k, err := ev.Stream.Read(b)
		fmt.Printf("server reads %q after %v\n", b[:k], now.Sub(start).Round(10*time.Millisecond))
		if _, err = ev.Stream.Read(b); err == io.EOF {
			done = true
			ev.Stream.Release()
		}
	}

	if _, err := client.Dial(n.Now(), conn.Target{Remote: server.Addr}, conntest.ClientConfig()); err != nil {
		t.Fatalf("Dial: %v", err)
	}
	n.RunUntil(time.Second, func() bool { return done })

	// Output:
	// connected after 40ms
	// server reads "hello" after 60ms
}

// exampleT stands for the *testing.T that an example does not have.
type exampleT struct {
	testing.TB
	cleanups []func()
}

func (t *exampleT) Helper()                           {}
func (t *exampleT) Name() string                      { return "Example" }
func (t *exampleT) Failed() bool                      { return false }
func (t *exampleT) Cleanup(f func())                  { t.cleanups = append(t.cleanups, f) }
func (t *exampleT) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

func (t *exampleT) done() {
	for _, f := range t.cleanups {
		f()
	}
}
