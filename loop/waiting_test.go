package loop_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/loop"
)

// TestWaitingForItself: a method that would wait for the loop panics on the loop's own goroutine.
// The message names the method. Methods that need not wait do not panic.
func TestWaitingForItself(t *testing.T) {
	run(t, setup{link: near}, func(t *testing.T, w *world) {
		c, server := w.dial(nil)
		s := w.open(c, conn.Bidi)
		g, l, ctx := w.client, c.Loop(), context.Background()
		for name, f := range map[string]func(){
			"Do":              func() { l.Do(ctx, func(time.Time) {}) },
			"Conn.Close":      func() { c.Close(0, "") },
			"Conn.Shutdown":   func() { c.Shutdown(ctx, 0, "") },
			"Conn.TLS":        func() { c.TLS() },
			"Conn.Stats":      func() { c.Stats() },
			"OpenStream":      func() { c.OpenStream(ctx, conn.Bidi) },
			"AcceptStream":    func() { c.AcceptStream(ctx) },
			"ServeStreams":    func() { c.ServeStreams(ctx, func(*loop.Stream) {}) },
			"ReceiveDatagram": func() { c.ReceiveDatagram(ctx, nil) },
			"Stream.Read":     func() { s.Read(make([]byte, 1)) },
			"Stream.Write":    func() { s.Write(make([]byte, 1<<20)) },
			"Stream.ResetAt":  func() { s.ResetAt(1, 0) },
			"Group.Dial":      func() { g.Dial(ctx, serverAddr, conntest.ClientConfig()) },
			"Group.Accept":    func() { g.Accept(ctx) },
			"Group.Stats":     func() { g.Stats() },
			"Group.Wait":      func() { g.Wait() },
			"Group.Close":     func() { g.Close() },
			"Group.Shutdown":  func() { g.Shutdown(ctx) },
		} {
			for _, depth := range []int{0, 100} {
				var panicked any
				done := make(chan struct{})
				l.Post(func(time.Time) {
					defer close(done)
					defer func() { panicked = recover() }()
					deep(depth, f)
				})
				<-done
				if !strings.HasPrefix(fmt.Sprint(panicked), "loop: "+name+" was called on the goroutine of the Loop") {
					t.Errorf("%s, %d calls deep: %v", name, depth, panicked)
				}
			}
		}
		// The loop of the server is another one.
		err := l.Do(ctx, func(time.Time) {
			s.Write([]byte("fits"))
			s.CloseWrite()
			if err := server.Do(ctx, func(time.Time, *conn.Conn) {}); err != nil {
				t.Error(err)
			}
		})
		if err != nil {
			t.Error(err)
		}
	})
}

// deep calls f after n calls.
func deep(n int, f func()) {
	if n == 0 {
		f()
		return
	}
	deep(n-1, f)
}

// TestListenIncomplete: a server with a configuration that could serve nobody does not start.
func TestListenIncomplete(t *testing.T) {
	noLeaks(t)
	bare := conntest.ServerConfig()
	bare.TLS = bare.TLS.Clone()
	bare.TLS.Certificates = nil
	for want, cfg := range map[string]*loop.Config{
		"without Config.Endpoint.Server": {},
		"no certificate":                 {Endpoint: conn.EndpointConfig{Server: bare}},
	} {
		if g, err := loop.Listen("udp", "127.0.0.1:0", 2, cfg); g != nil || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if g, err := loop.Open("udp", "127.0.0.1:0", 1, serverConfig(nil)); g != nil || err == nil {
		t.Error("Open takes the configuration of a server")
	}
	g, err := loop.Open("udp", "127.0.0.1:0", 2, &loop.Config{})
	if err != nil {
		t.Fatal(err)
	}
	g.Close()
}
