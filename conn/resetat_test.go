package conn_test

import (
	"errors"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
)

// A stream that is reset behind its first bytes delivers these, whatever is lost, and then the
// error (draft-ietf-quic-reliable-stream-reset, Section 4).
func TestResetAtDeliversItsPrefix(t *testing.T) {
	for seed := range uint64(20) {
		rnd := conntest.Seed(t, seed)
		n := simulate(t, seed)
		n.Default = conntest.Link{Delay: 10 * time.Millisecond, Loss: 0.2}
		server := n.Add("10.0.0.1:443", &conn.EndpointConfig{Server: conntest.ServerConfig(), Rand: rnd})
		client := n.Add("10.0.0.2:5000", &conn.EndpointConfig{Rand: rnd})
		var got []byte
		var end error
		server.OnEvent = func(_ time.Time, ev conn.Event) {
			if ev.Kind != conn.EventStreamReadable && ev.Kind != conn.EventStreamReset {
				return
			}
			for end == nil {
				b, err := ev.Stream.Peek(1)
				got = append(got, b...)
				ev.Stream.Discard(len(b))
				if err != nil && !errors.Is(err, conn.ErrWouldBlock) {
					end = err
					ev.Stream.Release()
				}
				if err != nil {
					return
				}
			}
		}
		c, err := client.Dial(n.Now(), conn.Target{Remote: server.Addr}, conntest.ClientConfig())
		if err != nil {
			t.Fatal(err)
		}
		n.RunUntil(10*time.Second, c.HandshakeComplete)
		s, err := c.OpenStream(conn.Uni)
		if err != nil {
			t.Fatal(err)
		}
		data := make([]byte, 20_000)
		for i := range data {
			data[i] = byte(i / 100)
		}
		s.Write(data)
		if err := s.ResetAt(7, 20_001); err == nil {
			t.Error("ResetAt beyond what was written works")
		}
		if err := s.ResetAt(7, 10_000); err != nil {
			t.Fatal(err)
		}
		s.Release()
		n.RunUntil(20*time.Second, func() bool { return end != nil })
		var se *conn.StreamError
		if !errors.As(end, &se) || se.Code != 7 || !se.Remote {
			t.Errorf("seed %d: the stream ends with %v", seed, end)
		}
		if len(got) < 10_000 || string(got) != string(data[:len(got)]) {
			t.Errorf("seed %d: %d bytes arrived, at least 10000 were promised", seed, len(got))
		}
	}
}

// TestResetAtWaitsForCredit: RESET_STREAM_AT promises no more bytes than the peer allows. When the
// peer allows more, the rest follows; it does not if the peer does not want it.
func TestResetAtWaitsForCredit(t *testing.T) {
	for _, test := range []struct {
		name         string
		stream, conn int64 // windows
		stop         bool
	}{
		{"stream limit", 5000, 100_000, false},
		{"connection limit", 100_000, 6000, false},
		{"not wanted", 5000, 100_000, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			n := simulate(t, 1)
			n.Default = conntest.Link{Delay: 10 * time.Millisecond}
			cfg := conntest.ServerConfig()
			cfg.InitialMaxStreamData, cfg.InitialMaxData = test.stream, test.conn
			server := n.Add("10.0.0.1:443", &conn.EndpointConfig{Server: cfg, Rand: conntest.Seed(t, 1)})
			client := n.Add("10.0.0.2:5000", &conn.EndpointConfig{Rand: conntest.Seed(t, 2)})
			got, end := 0, error(nil)
			server.OnEvent = func(_ time.Time, ev conn.Event) {
				switch {
				case ev.Kind != conn.EventStreamReadable && ev.Kind != conn.EventStreamReset:
					return
				case test.stop:
					ev.Stream.StopSending(9)
					return
				}
				for {
					b, err := ev.Stream.Peek(1)
					got += len(b)
					ev.Stream.Discard(len(b))
					if err != nil {
						if !errors.Is(err, conn.ErrWouldBlock) {
							end = err
							ev.Stream.Release()
						}
						return
					}
				}
			}
			client.OnEvent = func(_ time.Time, ev conn.Event) {
				if ev.Kind != conn.EventConnected {
					return
				}
				s, err := ev.Conn.OpenStream(conn.Uni)
				if err != nil {
					t.Fatal(err)
				}
				if k, err := s.Write(make([]byte, 12_000)); k != 12_000 || err != nil {
					t.Fatal(k, err)
				}
				if err := s.ResetAt(7, 9000); err != nil {
					t.Fatal(err)
				}
				s.Release()
			}
			c, err := client.Dial(n.Now(), conn.Target{Remote: server.Addr}, conntest.ClientConfig())
			if err != nil {
				t.Fatal(err)
			}
			n.RunFor(5 * time.Second)
			if c.Err() != nil {
				t.Errorf("the connection ended with %v", c.Err())
			}
			var se *conn.StreamError
			if !test.stop && (got != 9000 || !errors.As(end, &se) || se.Code != 7) {
				t.Errorf("%d bytes were read, and then %v", got, end)
			}
			if used := client.Stats().Buffered; used != 0 {
				t.Errorf("%d bytes are still held", used)
			}
		})
	}
}
