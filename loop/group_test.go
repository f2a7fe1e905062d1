package loop_test

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/udpio"
)

// TestGroupShutdown shuts down a server while a connection is in use. The connection goes on, and
// new ones are refused. Shutdown returns when the connection has ended.
func TestGroupShutdown(t *testing.T) {
	run(t, setup{link: near}, func(t *testing.T, w *world) {
		client, server := w.dial(nil)
		a, b := w.pair(client, server)
		done := make(chan error, 1)
		go func() { done <- w.server.Shutdown(w.ctx()) }()
		time.Sleep(time.Second)
		if _, err := w.server.Accept(w.ctx()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Accept returned %v", err)
		}
		_, err := w.client.Dial(w.ctx(), serverAddr, conntest.ClientConfig())
		var te *conn.TransportError
		if !errors.As(err, &te) || te.Code != 2 || !te.Remote { // CONNECTION_REFUSED
			t.Errorf("Dial returned %v", err)
		}
		if _, err := w.server.Dial(w.ctx(), clientAddr, conntest.ClientConfig()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Dial from the group that shuts down returned %v", err)
		}
		b.Write([]byte("still here"))
		b.CloseWrite()
		if got, err := io.ReadAll(a); string(got) != "still here" || err != nil {
			t.Errorf("read %q, %v", got, err)
		}
		select {
		case err := <-done:
			t.Errorf("Shutdown returned %v with a connection open", err)
		default:
		}
		client.Close(0, "")
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := w.server.Wait(); err != nil {
			t.Error(err)
		}
		if s := w.server.Stats(); s.Accepted != 1 || s.Refusals == 0 {
			t.Errorf("statistics after the end: %d accepted, %d refused", s.Accepted, s.Refusals)
		}
	})
}

// TestGroupShutdownOfUnaccepted closes connections that nobody has accepted.
func TestGroupShutdownOfUnaccepted(t *testing.T) {
	run(t, setup{link: near}, func(t *testing.T, w *world) {
		client := w.dialOnly(nil)
		time.Sleep(time.Second)
		if err := w.server.Shutdown(w.ctx()); err != nil {
			t.Error(err)
		}
		<-client.Context().Done()
		var ae *conn.ApplicationError
		if err := context.Cause(client.Context()); !errors.As(err, &ae) || ae.Code != 0 || !ae.Remote {
			t.Errorf("the client saw %v", err)
		}
	})
}

// TestGroupShutdownGivesUp closes the connections that are left with code 0.
func TestGroupShutdownGivesUp(t *testing.T) {
	run(t, setup{link: near}, func(t *testing.T, w *world) {
		client, server := w.dial(nil)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := w.server.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if err := context.Cause(server.Context()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("the server's connection: %v", err)
		}
		<-client.Context().Done()
		var ae *conn.ApplicationError
		if err := context.Cause(client.Context()); !errors.As(err, &ae) || ae.Code != 0 || !ae.Remote {
			t.Errorf("the client saw %v", err)
		}
	})
}

func TestGroupClose(t *testing.T) {
	run(t, setup{link: near}, func(t *testing.T, w *world) {
		client, server := w.dial(nil)
		a, _ := w.pair(client, server)
		read := make(chan error, 1)
		go func() { _, err := a.Read(make([]byte, 1)); read <- err }()
		time.Sleep(time.Second)
		l := client.Loop()
		if err := w.client.Close(); err != nil {
			t.Error(err)
		}
		if err := <-read; !errors.Is(err, net.ErrClosed) {
			t.Errorf("Read returned %v", err)
		}
		if l.Post(func(time.Time) {}) {
			t.Error("a stopped loop takes a Post")
		}
		if err := l.Do(w.ctx(), func(time.Time) {}); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Do returned %v", err)
		}
		if err := w.client.Wait(); err != nil {
			t.Error(err)
		}
		if err := w.client.Close(); err != nil {
			t.Error(err)
		}
		if err := w.client.Shutdown(w.ctx()); err != nil {
			t.Error(err)
		}
		if err := client.Close(1, ""); err != nil {
			t.Error(err)
		}
		a.Write([]byte("x"))
		a.SetPriority(conn.Priority{})
		a.Close()
		if client.Stats().PacketsSent == 0 || w.client.Stats().PacketsSent == 0 {
			t.Error("statistics are lost")
		}
		<-server.Context().Done()
	})
}

func TestPostAndDo(t *testing.T) {
	run(t, setup{}, func(t *testing.T, w *world) {
		l := w.client.Loops()[0]
		if l.Group() != w.client || w.client.LocalAddr().String() != clientAddr {
			t.Error("wrong group or address")
		}
		var order []int
		for i := range 100 {
			l.Post(func(time.Time) { order = append(order, i) })
		}
		if err := l.Do(w.ctx(), func(now time.Time) {
			if !now.Equal(time.Now()) {
				t.Errorf("Do ran at %v, not %v", now, time.Now())
			}
		}); err != nil {
			t.Error(err)
		}
		for i, v := range order {
			if i != v {
				t.Fatalf("posts ran in the order %v", order)
			}
		}
		if len(order) != 100 {
			t.Errorf("%d posts ran before a later Do, want 100", len(order))
		}

		// Do that gives up: f must not run afterwards.
		hold := make(chan struct{})
		l.Post(func(time.Time) { <-hold })
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := l.Do(ctx, func(time.Time) { t.Error("f ran after Do gave up") }); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Do returned %v", err)
		}
		close(hold)
		l.Do(w.ctx(), func(time.Time) {})
		if n := w.client.Stats().SlowTurns; n != 1 {
			t.Errorf("%d slow turns, want 1", n)
		}
	})
}

// TestWakesAreCoalesced: many goroutines post at once. The loop wakes up fewer times.
func TestWakesAreCoalesced(t *testing.T) {
	run(t, setup{}, func(t *testing.T, w *world) {
		l := w.client.Loops()[0]
		before := w.client.Stats().Wakes
		hold := make(chan struct{})
		l.Post(func(time.Time) { <-hold })
		time.Sleep(time.Millisecond)
		var ran atomic.Int64
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() { l.Post(func(time.Time) { ran.Add(1) }) })
		}
		wg.Wait()
		close(hold)
		l.Do(w.ctx(), func(time.Time) {})
		if ran.Load() != 100 {
			t.Errorf("%d of 100 posts ran", ran.Load())
		}
		if n := w.client.Stats().Wakes - before; n > 4 {
			t.Errorf("%d wake-ups for a busy loop", n)
		}
	})
}

func TestDialErrors(t *testing.T) {
	run(t, setup{link: near}, func(t *testing.T, w *world) {
		tests := []struct {
			name, address string
			cfg           func(*conn.Config)
			want          func(err error) bool
		}{
			{"no port", "10.0.0.1", nil, func(err error) bool { var e *net.AddrError; return errors.As(err, &e) }},
			{"other family", "[::1]:443", nil, func(err error) bool { return err != nil }},
			{"nobody there", "10.0.0.7:443", nil, func(err error) bool { return errors.Is(err, conn.ErrHandshakeTimeout) && isTimeout(err) }},
			{"wrong name", serverAddr, func(c *conn.Config) { c.TLS.ServerName = "example.org" }, func(err error) bool {
				var e *conn.TransportError
				return errors.As(err, &e) && !e.Remote && e.Code>>8 == 1 // CRYPTO_ERROR
			}},
			{"no TLS", serverAddr, func(c *conn.Config) { c.TLS = nil }, func(err error) bool { return err != nil }},
			{"ALPN", serverAddr, func(c *conn.Config) { c.TLS.NextProtos = []string{"other"} }, func(err error) bool {
				var e *conn.TransportError
				return errors.As(err, &e) && e.Remote
			}},
		}
		for _, tt := range tests {
			cfg := conntest.ClientConfig()
			if tt.cfg != nil {
				tt.cfg(cfg)
			}
			if c, err := w.client.Dial(w.ctx(), tt.address, cfg); c != nil || !tt.want(err) {
				t.Errorf("%s: %v, %v", tt.name, c, err)
			}
		}
		if _, err := w.client.Dial(w.ctx(), serverAddr, nil); err == nil {
			t.Error("no configuration: no error")
		}
	})
}

// TestServerName takes the name from the address. Without a name TLS refuses to start.
func TestServerName(t *testing.T) {
	run(t, setup{link: near}, func(t *testing.T, w *world) {
		w.dialOnly(func(c *conn.Config) { c.TLS.ServerName = "" })
	})
}

// deaf is a Backend that fails when told to.
type deaf struct {
	loop.Backend
	err atomic.Pointer[error]
}

func (d *deaf) ReadBatch(ms []udpio.Message, deadline time.Time) (int, error) {
	n, err := d.Backend.ReadBatch(ms, deadline)
	if e := d.err.Load(); e != nil {
		return 0, *e
	}
	return n, err
}

func TestBackendFails(t *testing.T) {
	var backends []*deaf
	wrap := func(b loop.Backend) loop.Backend {
		d := &deaf{Backend: b}
		backends = append(backends, d)
		return d
	}
	run(t, setup{link: near, wrap: wrap}, func(t *testing.T, w *world) {
		client, _ := w.dial(nil)
		broken := errors.New("the cable is cut")
		backends[1].err.Store(&broken)
		backends[1].Wake()
		if err := w.client.Wait(); err != broken {
			t.Errorf("Wait returned %v", err)
		}
		if _, err := client.OpenStream(w.ctx(), conn.Bidi); !errors.Is(err, net.ErrClosed) {
			t.Errorf("OpenStream returned %v", err)
		}
	})
}

// TestNewFails: if New fails, it closes the backends.
func TestNewFails(t *testing.T) {
	if _, err := loop.New(nil); err == nil {
		t.Error("a Group without a Backend")
	}
	bad := &loop.Config{Endpoint: conn.EndpointConfig{Server: &conn.Config{}}} // no TLS
	b := &closing{}
	if _, err := loop.New(bad, b); err == nil || !b.closed {
		t.Errorf("New returned %v, closed the backend: %v", err, b.closed)
	}
}

type closing struct {
	loop.Backend
	closed bool
}

func (c *closing) Caps() udpio.Caps { return udpio.Caps{} }
func (c *closing) Wake()            {}
func (c *closing) Close() error     { c.closed = true; return nil }
