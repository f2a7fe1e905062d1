// Command byhand is an echo server over QUIC whose loop is written by hand, on a net.UDPConn and
// package conn alone. It shows what package loop does. It lacks the parts that make package loop
// fast: batches, segmentation offload, and sleeping in less than a millisecond.
//
//	byhand -addr 127.0.0.1:4434 -alpn echo
package main

import (
	"cmp"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/examples/internal/envlog"
	"github.com/lazoquic/lazo/examples/internal/selfsigned"
	"github.com/lazoquic/lazo/examples/internal/usage"
	"github.com/lazoquic/lazo/loop"
)

func main() {
	usage.Exit("byhand", run(os.Args[1:]))
}

func run(args []string) error {
	var fs flag.FlagSet
	addr := fs.String("addr", "127.0.0.1:4434", "UDP `address` to serve on")
	alpn := fs.String("alpn", "echo", "application `protocol` (ALPN) to accept")
	if err := usage.Parse(&fs, args, os.Stdout, "usage: byhand [flags]"); err != nil {
		return err
	}
	err := cmp.Or(usage.NoArguments(&fs), usage.Address("addr", *addr), usage.Some("alpn", *alpn))
	if err != nil {
		return err
	}
	laddr, err := net.ResolveUDPAddr("udp", *addr)
	if err != nil {
		return err
	}
	sock, err := net.ListenUDP("udp", laddr)
	if err != nil {
		return err
	}
	e, err := newEndpoint(*alpn)
	if err != nil {
		return err
	}
	fmt.Printf("echo on %v, ALPN %q\n", sock.LocalAddr(), *alpn)
	return serve(sock, e)
}

// newEndpoint makes the state machine. All it needs is a certificate and randomness.
func newEndpoint(alpn string) (*conn.Endpoint, error) {
	cert, err := selfsigned.Certificate()
	if err != nil {
		return nil, err
	}
	cfg := &conn.Config{TLS: &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{alpn}}}
	// QLOGDIR and SSLKEYLOGFILE. The file of keys stays open as long as the program runs.
	if _, err := envlog.Attach(cfg.TLS, cfg, slog.Default()); err != nil {
		return nil, err
	}
	return conn.NewEndpoint(&conn.EndpointConfig{Rand: rand.Reader, Server: cfg})
}

// serve is the loop: datagrams and the time go in, events and datagrams come out. One
// goroutine does it all, so there is no lock anywhere. It ends with the socket.
func serve(sock *net.UDPConn, e *conn.Endpoint) error {
	defer e.Close()
	in, out := make([]byte, 65536), make([]byte, 65536)
	// Peers can provoke lines, so they are limited. Nothing else here is of package loop.
	logger := slog.New(loop.LimitLog(slog.Default().Handler()))
	for {
		// 1. Sleep until a datagram comes or a timer is due.
		sock.SetReadDeadline(deadline(e.Timeout()))
		n, from, err := sock.ReadFromUDPAddrPort(in)
		now := time.Now() // read once a turn: time is a parameter like any other
		switch {
		case err == nil:
			// 2. Feed it. It counts and drops datagrams that are not QUIC, or not for this
			// endpoint.
			e.Receive(now, conn.Datagram{Data: in[:n], Remote: from})
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return err
		}
		e.HandleTimeout(now)

		// 3. React to what happened. Events are edge-triggered: see echo.
		for ev, ok := e.NextEvent(); ok; ev, ok = e.NextEvent() {
			switch ev.Kind {
			case conn.EventStreamReadable, conn.EventStreamWritable:
				echo(ev.Stream)
			case conn.EventStreamReset, conn.EventStreamStopped:
				ev.Stream.Release() // the peer gave up, and so does this side
			case conn.EventClosed:
				logger.Info("a connection has ended", "id", ev.Conn.ID(), "err", ev.Err)
			}
		}

		// 4. Send what there is to send now. It goes one segment at a time, because
		// this socket does not use GSO.
		for b, ok := e.Transmit(now, out, 1); ok; b, ok = e.Transmit(now, out, 1) {
			if _, err := sock.WriteToUDPAddrPort(out[:b.N], b.Remote); err != nil {
				logger.Warn("cannot send", "err", err) // QUIC recovers from a lost datagram
			}
		}
	}
}

// deadline returns the time until which to wait for a datagram, given the next timer. The zero Time
// means for ever. With a deadline in the past the socket would not be read at all, and a busy
// sender would never see its acknowledgements.
func deadline(timer time.Time) time.Time {
	if soon := time.Now().Add(50 * time.Microsecond); !timer.IsZero() && timer.Before(soon) {
		return soon
	}
	return timer
}

// echo writes the data of a stream back to it. It needs no buffer. Data that cannot be written now
// is not consumed. It stays in the stream and takes up its flow control window, which makes the
// peer wait.
func echo(s *conn.Stream) {
	for {
		b, err := s.Peek(1)
		if len(b) == 0 {
			if !errors.Is(err, conn.ErrWouldBlock) { // io.EOF
				s.CloseWrite()
				s.Release() // what was written still arrives
			}
			return // EventStreamReadable follows if there is more to come
		}
		n, err := s.Write(b)
		s.Discard(n)
		if err != nil {
			return // EventStreamWritable follows
		}
	}
}
