package interop

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/internal/require"
)

// A byHand is an Endpoint on a net.UDPConn, with a loop written by hand. Only package conn is
// involved, so a failure here is a failure of conn.
type byHand struct {
	*conn.Endpoint
	sock   *net.UDPConn
	handle func(now time.Time, ev conn.Event) // on the loop's goroutine
	calls  chan func(now time.Time)
	done   chan struct{}
}

// newByHand runs an endpoint until the test ends.
func newByHand(t testing.TB, cfg conn.EndpointConfig, handle func(time.Time, conn.Event)) *byHand {
	t.Helper()
	cfg.Rand = rand.Reader
	e, err := conn.NewEndpoint(&cfg)
	require.NoError(t, err)
	h := &byHand{
		Endpoint: e,
		sock:     udpSocket(t),
		handle:   handle,
		calls:    make(chan func(time.Time), 16),
		done:     make(chan struct{}),
	}
	var wg sync.WaitGroup
	wg.Go(func() { h.run(t) })
	t.Cleanup(func() {
		close(h.done)
		h.sock.SetReadDeadline(time.Now())
		wg.Wait()
	})
	return h
}

// rand is what the endpoint draws from.
func (h *byHand) rand() io.Reader { return rand.Reader }

// do runs f on the loop's goroutine and does not wait.
func (h *byHand) do(f func(now time.Time)) {
	h.calls <- f
	h.sock.SetReadDeadline(time.Now())
}

// run is the loop. Calls wake it by a deadline in the past. It may overwrite that deadline, so it
// also wakes every few milliseconds.
func (h *byHand) run(t testing.TB) {
	defer h.Close()
	in, out := make([]byte, 65536), make([]byte, 65536)
	for {
		wake := time.Now().Add(10 * time.Millisecond)
		if at := h.Timeout(); !at.IsZero() && at.Before(wake) {
			wake = at
		}
		if soon := time.Now().Add(50 * time.Microsecond); wake.Before(soon) {
			wake = soon
		}
		h.sock.SetReadDeadline(wake)
		n, from, err := h.sock.ReadFromUDPAddrPort(in)
		now := time.Now()
		switch {
		case err == nil:
			h.Receive(now, conn.Datagram{Data: in[:n], Remote: from})
		case !errors.Is(err, os.ErrDeadlineExceeded):
			t.Errorf("read: %v", err)
			return
		}
		select {
		case f := <-h.calls:
			f(now)
		case <-h.done:
			return
		default:
		}
		h.HandleTimeout(now)
		for ev, ok := h.NextEvent(); ok; ev, ok = h.NextEvent() {
			h.handle(now, ev)
		}
		for b, ok := h.Transmit(now, out, 1); ok; b, ok = h.Transmit(now, out, 1) {
			if _, err := h.sock.WriteToUDPAddrPort(out[:b.N], b.Remote); err != nil {
				t.Errorf("write: %v", err)
			}
		}
	}
}

// echo sends back what it reads. It consumes only as much as could be written, so it needs no
// buffer.
func echo(s *conn.Stream) {
	for {
		b, err := s.Peek(1)
		if len(b) == 0 {
			if !errors.Is(err, conn.ErrWouldBlock) {
				s.CloseWrite()
				s.Release()
			}
			return
		}
		n, err := s.Write(b)
		s.Discard(n)
		if err != nil {
			return
		}
	}
}

// handleEcho is the application of a server.
func handleEcho(_ time.Time, ev conn.Event) {
	switch ev.Kind {
	case conn.EventStreamReadable, conn.EventStreamWritable:
		echo(ev.Stream)
	case conn.EventStreamReset, conn.EventStreamStopped:
		ev.Stream.Release()
	}
}

// An exchange sends the bytes of src on a stream and hashes the answer.
type exchange struct {
	src     io.Reader
	pending []byte
	buf     [16384]byte
	wrote   bool // FIN is written
	hash    hash.Hash
	ended   func(sum []byte, err error) // once
}

func newExchange(src io.Reader, ended func([]byte, error)) *exchange {
	return &exchange{src: src, hash: sha256.New(), ended: ended}
}

// advance goes on where the last call stopped.
func (x *exchange) advance(s *conn.Stream) {
	if err := x.write(s); err != nil {
		x.finish(s, err)
		return
	}
	for {
		b, err := s.Peek(1)
		x.hash.Write(b)
		s.Discard(len(b))
		switch {
		case len(b) > 0:
		case errors.Is(err, conn.ErrWouldBlock):
			return
		case err == io.EOF:
			x.finish(s, nil)
			return
		default:
			x.finish(s, err)
			return
		}
	}
}

func (x *exchange) write(s *conn.Stream) error {
	for !x.wrote {
		if len(x.pending) == 0 {
			n, err := x.src.Read(x.buf[:])
			x.pending = x.buf[:n]
			if n == 0 && err == io.EOF {
				x.wrote = true
				return s.CloseWrite()
			}
		}
		n, err := s.Write(x.pending)
		x.pending = x.pending[n:]
		if errors.Is(err, conn.ErrWouldBlock) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (x *exchange) finish(s *conn.Stream, err error) {
	x.ended(x.hash.Sum(nil), err)
	s.Release()
}

func TestByHandServer(t *testing.T) {
	for _, test := range []struct {
		name  string
		admit conn.Admission
		size  int64
	}{
		{"Small", conn.AdmissionAccept, 1000},
		{"Retry", conn.AdmissionRetry, 1 << 20},
		{"Large", conn.AdmissionAccept, 20 << 20},
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx := testContext(t)
			server, client := tlsConfigs(t, alpn)
			h := newByHand(t, conn.EndpointConfig{
				Server: &conn.Config{TLS: server},
				Admit: func(i conn.AdmissionRequest) conn.Admission {
					return test.admit
				},
			}, handleEcho)
			c, err := foreignTransport(t).Dial(ctx, h.sock.LocalAddr(), client, foreignConfig())
			require.NoError(t, err)
			foreignExchange(ctx, t, c, 1, test.size)
			require.NoError(t, c.CloseWithError(0, ""))
		})
	}
}

func TestByHandClient(t *testing.T) {
	for _, test := range []struct {
		name  string
		retry bool
		size  int64
	}{
		{"Small", false, 1000},
		{"Retry", true, 1 << 20},
		{"Large", false, 20 << 20},
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx := testContext(t)
			server, client := tlsConfigs(t, alpn)
			tr := foreignTransport(t)
			tr.VerifySourceAddress = func(net.Addr) bool { return test.retry }
			addr := foreignServer(t, tr, server, foreignEcho)
			got, err := byHandExchange(ctx, t, addr, &conn.Config{TLS: client}, 2, test.size)
			require.NoError(t, err)
			require.True(t, bytes.Equal(payloadSum(2, test.size), got), "bytes differ")
		})
	}
}

// byHandExchange dials addr, sends payload(seed, size) on a stream and returns the sum of the
// answer.
func byHandExchange(ctx context.Context, t testing.TB, addr net.Addr, cfg *conn.Config, seed byte, size int64) (got []byte, err error) {
	t.Helper()
	ended := make(chan struct{})
	end := sync.OnceFunc(func() { close(ended) })
	h := newByHand(t, conn.EndpointConfig{}, func(_ time.Time, ev conn.Event) {
		switch ev.Kind {
		case conn.EventConnected:
			s, openErr := ev.Conn.OpenStream(conn.Bidi)
			if openErr != nil {
				err = openErr
				end()
				return
			}
			x := newExchange(payload(seed, size), func(b []byte, e error) {
				got, err = b, e
				end()
			})
			s.UserData = x
			x.advance(s)
		case conn.EventStreamReadable, conn.EventStreamWritable:
			ev.Stream.UserData.(*exchange).advance(ev.Stream)
		case conn.EventClosed:
			err = ev.Err
			end()
		}
	})
	h.do(func(now time.Time) {
		to := conn.Target{Remote: addr.(*net.UDPAddr).AddrPort()}
		if _, dialErr := h.Dial(now, to, cfg); dialErr != nil {
			err = dialErr
			end()
		}
	})
	select {
	case <-ended:
	case <-ctx.Done():
		require.NoError(t, ctx.Err())
	}
	return got, err
}
