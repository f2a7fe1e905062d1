package h3http

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/dgram"
	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/loop/looptest"
)

// stallingClient makes a client that takes few bytes, and keeps its connection alive.
func stallingClient(p *pair) {
	slowReader(p)
	p.tr.QUICConfig.KeepAlive = 10 * time.Second
}

// endless writes until it fails. It sends the error to result.
func endless(result chan<- error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		var err error
		for err == nil {
			_, err = w.Write(make([]byte, 8<<10))
		}
		result <- fmt.Errorf("after %v: %w, %w", time.Since(start).Truncate(time.Second), err, r.Context().Err())
	})
}

// TestStallTimeout gives up responses that clients do not take, or take too slowly.
func TestStallTimeout(t *testing.T) {
	for _, slow := range []struct {
		name string
		read int // bytes in 20 seconds
	}{{"nothing", 0}, {"a trickle", 2000}} {
		t.Run(slow.name, func(t *testing.T) {
			simulate(t, shortLink, func(t *testing.T, n *looptest.Network) {
				result := make(chan error, 1)
				p := newSimPair(t, n, endless(result), stallingClient)
				start := time.Now()
				resp, err := p.c.Get(p.url)
				require.NoError(t, err)
				for len(result) == 0 {
					time.Sleep(20 * time.Second)
					io.CopyN(io.Discard, resp.Body, int64(slow.read))
				}
				err = <-result
				require.ErrorIs(t, err, os.ErrDeadlineExceeded)
				// In the first minute the client may have taken what found room in its windows.
				require.GreaterOrEqual(t, time.Since(start), time.Minute)
				require.LessOrEqual(t, time.Since(start), 2*time.Minute+20*time.Second)
				require.ErrorContains(t, err, "context canceled")
				_, err = io.Copy(io.Discard, resp.Body)
				requireStreamError(t, err, h3.ExcessiveLoad)
				resp.Body.Close()
				time.Sleep(time.Second)
				st := p.srv.Stats()
				require.EqualValues(t, 1, st.Stalled)
				require.Equal(t, 1, st.Conns, "the connection lives")
				require.Zero(t, st.Open)
			})
		})
	}
}

// TestSlowClientOfLongResponse: a client takes enough in each minute, though the stream reports
// room only when half of what it holds was sent.
func TestSlowClientOfLongResponse(t *testing.T) {
	simulate(t, shortLink, func(t *testing.T, n *looptest.Network) {
		const size = 2 << 20
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write(make([]byte, size)) })
		p := newSimPair(t, n, h, func(p *pair) {
			p.tr.QUICConfig = &conn.Config{InitialMaxStreamData: 32 << 10, MaxStreamData: 32 << 10, KeepAlive: 10 * time.Second}
			p.srv.QUICConfig = &conn.Config{UnsentBytes: 1 << 20}
		})
		resp, err := p.c.Get(p.url)
		require.NoError(t, err)
		for range 10 {
			time.Sleep(50 * time.Second)
			_, err = io.CopyN(io.Discard, resp.Body, 80<<10)
			require.NoError(t, err)
		}
		rest, err := io.Copy(io.Discard, resp.Body)
		require.NoError(t, err)
		require.EqualValues(t, size-800<<10, rest)
		require.NoError(t, resp.Body.Close())
	})
}

// TestSlowClientIsServed: a client is slow, but takes enough. It gets everything.
func TestSlowClientIsServed(t *testing.T) {
	simulate(t, shortLink, func(t *testing.T, n *looptest.Network) {
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write(make([]byte, 1<<20)) })
		p := newSimPair(t, n, h, stallingClient)
		resp, err := p.c.Get(p.url)
		require.NoError(t, err)
		total := int64(0)
		for err == nil {
			var k int64
			k, err = io.CopyN(io.Discard, resp.Body, 40_000)
			total += k
			time.Sleep(10 * time.Second)
		}
		require.Equal(t, io.EOF, err)
		require.EqualValues(t, 1<<20, total)
		resp.Body.Close()

		// A handler may write nothing for any length of time, too.
		p.srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.(http.Flusher).Flush()
			time.Sleep(10 * time.Minute)
			io.WriteString(w, "at last")
		})
		resp, err = p.c.Get(p.url)
		require.NoError(t, err)
		b, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Equal(t, "at last", string(b))
		require.Zero(t, p.srv.Stats().Stalled)
	})
}

// TestDeliveryTimeout: a response whose handler has returned does not wait for ever either. Its
// memory is freed.
func TestDeliveryTimeout(t *testing.T) {
	simulate(t, shortLink, func(t *testing.T, n *looptest.Network) {
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write(make([]byte, 300<<10)) })
		p := newSimPair(t, n, h, stallingClient)
		resp, err := p.c.Get(p.url)
		require.NoError(t, err)
		time.Sleep(4*time.Minute + 50*time.Second)
		require.Equal(t, 1, p.srv.Stats().Open)
		time.Sleep(20 * time.Second)
		st := p.srv.Stats()
		require.Zero(t, st.Open)
		require.EqualValues(t, 1, st.Stalled)
		_, err = io.Copy(io.Discard, resp.Body)
		requireStreamError(t, err, h3.ExcessiveLoad)
		resp.Body.Close()
	})
}

// TestNoStallTimeout waits as long as the client likes.
func TestNoStallTimeout(t *testing.T) {
	simulate(t, shortLink, func(t *testing.T, n *looptest.Network) {
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write(make([]byte, 1<<20)) })
		p := newSimPair(t, n, h, stallingClient, func(p *pair) { p.srv.StallTimeout, p.srv.DeliveryTimeout = -1, -1 })
		resp, err := p.c.Get(p.url)
		require.NoError(t, err)
		time.Sleep(time.Hour)
		b, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Len(t, b, 1<<20)
	})
}

// TestServerStats: the counters include connections that have ended.
func TestServerStats(t *testing.T) {
	simulate(t, shortLink, func(t *testing.T, n *looptest.Network) {
		p := newSimPair(t, n, http.NotFoundHandler())
		require.Equal(t, Stats{}, p.srv.Stats())
		for range 3 {
			p.get("/")
		}
		time.Sleep(time.Second)
		require.Equal(t, Stats{Stats: h3.Stats{Requests: 3}, Conns: 1, Responses: [6]uint64{4: 3}}, p.srv.Stats())
		p.tr.CloseIdleConnections()
		time.Sleep(time.Second)
		p.get("/")
		time.Sleep(time.Second)
		require.Equal(t, Stats{Stats: h3.Stats{Requests: 4}, Conns: 1, Responses: [6]uint64{4: 4}}, p.srv.Stats())
	})
}

// TestTransportStats: the counters of a Transport include connections that have ended.
// Informational responses do not count.
func TestTransportStats(t *testing.T) {
	simulate(t, shortLink, func(t *testing.T, n *looptest.Network) {
		p := newSimPair(t, n, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusEarlyHints)
			switch r.URL.Path {
			case "/none":
				http.NotFound(w, r)
			case "/reset":
				http.NewResponseController(w).Flush()
				time.Sleep(time.Second)
				panic(http.ErrAbortHandler)
			}
		}))
		require.Equal(t, Stats{}, p.tr.Stats())
		for range 3 {
			p.get("/")
		}
		p.get("/none")
		time.Sleep(time.Second)
		require.Equal(t, Stats{Stats: h3.Stats{Requests: 4}, Conns: 1, Responses: [6]uint64{2: 3, 4: 1}}, p.tr.Stats())
		p.tr.CloseIdleConnections()
		time.Sleep(time.Second)
		require.Equal(t, Stats{Stats: h3.Stats{Requests: 4}, Responses: [6]uint64{2: 3, 4: 1}}, p.tr.Stats())
		resp, err := p.c.Get(p.url + "/reset")
		require.NoError(t, err)
		require.Equal(t, Stats{Stats: h3.Stats{Requests: 5, Open: 1}, Conns: 1, Responses: [6]uint64{2: 4, 4: 1}}, p.tr.Stats())
		_, err = io.ReadAll(resp.Body)
		require.Error(t, err)
		time.Sleep(time.Second)
		require.Equal(t, Stats{Stats: h3.Stats{Requests: 5, Canceled: 1}, Conns: 1, Responses: [6]uint64{2: 4, 4: 1}}, p.tr.Stats())
	})
}

// TestMissedDeadlines counts missed deadlines of reading and of writing.
func TestMissedDeadlines(t *testing.T) {
	simulate(t, shortLink, func(t *testing.T, n *looptest.Network) {
		results := make(chan error, 2)
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, err := io.ReadAll(r.Body)
			results <- err
			for err = nil; err == nil; {
				_, err = w.Write(make([]byte, 8<<10))
			}
			results <- err
		})
		p := newSimPair(t, n, h, stallingClient, func(p *pair) {
			p.srv.ReadTimeout, p.srv.WriteTimeout = 2*time.Second, 5*time.Second
		})
		pr, pw := io.Pipe()
		defer pw.Close()
		resp, err := p.c.Post(p.url, "", pr)
		require.NoError(t, err)
		defer resp.Body.Close()
		require.ErrorIs(t, <-results, os.ErrDeadlineExceeded)
		require.ErrorIs(t, <-results, os.ErrDeadlineExceeded)
		st := p.srv.Stats()
		require.EqualValues(t, 1, st.ReadTimeouts)
		require.EqualValues(t, 1, st.WriteTimeouts)
		require.Zero(t, st.Stalled)
	})
}

// TestDroppedDatagrams counts datagrams that a handler does not read.
func TestDroppedDatagrams(t *testing.T) {
	const size, count = 1000, 700
	simulate(t, shortLink, func(t *testing.T, n *looptest.Network) {
		done, received := make(chan struct{}), make(chan dgram.Stats, 1)
		p := newSimPair(t, n, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s, err := TakeStream(w)
			if err != nil {
				panic(err)
			}
			defer s.Close()
			<-done
			received <- s.DatagramStats()
		}), withConnect)
		s, _, err := p.tr.Connect(p.connectRequest("/", "sink"))
		require.NoError(t, err)
		for range count {
			require.NoError(t, s.SendDatagram(t.Context(), make([]byte, size), 0))
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Second)
		dropped := p.srv.Stats().Dropped
		require.Positive(t, dropped)
		kept := (count - int(dropped)) * (size + datagramCost)
		require.LessOrEqual(t, kept, maxReceived)
		require.Greater(t, kept, maxReceived*3/4)
		require.Equal(t, dgram.Stats{Sent: count, SentBytes: count * size}, s.DatagramStats())
		close(done)
		require.Equal(t, dgram.Stats{Received: count, ReceivedBytes: count * size, Dropped: dropped}, <-received)
		s.Close()
	})
}

// TestDatagramBurst: what turns of a loop bring is there when the reader comes to it, in order.
func TestDatagramBurst(t *testing.T) {
	const count = 400
	simulate(t, shortLink, func(t *testing.T, n *looptest.Network) {
		done := make(chan struct{})
		p := newSimPair(t, n, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s, err := TakeStream(w)
			if err != nil {
				panic(err)
			}
			defer close(done)
			defer s.Close()
			time.Sleep(time.Minute / 2)
			b := make([]byte, 2000)
			for i := range count {
				k, err := s.ReceiveDatagram(t.Context(), b)
				require.NoError(t, err)
				require.Equal(t, strconv.Itoa(i), strings.TrimRight(string(b[:k]), "\x00"))
			}
			require.Zero(t, s.DatagramStats().Dropped)
		}), withConnect)
		s, _, err := p.tr.Connect(p.connectRequest("/", "sink"))
		require.NoError(t, err)
		for i := range count {
			b := make([]byte, 1000)
			copy(b, strconv.Itoa(i))
			require.NoError(t, s.SendDatagram(t.Context(), b, 0))
		}
		<-done
		s.Close()
	})
}

// TestTinyUnsentBytes: a stream that takes less than a frame needs would stall.
func TestTinyUnsentBytes(t *testing.T) {
	for unsent := 1; unsent <= 4; unsent++ {
		simulate(t, shortLink, func(t *testing.T, n *looptest.Network) {
			p := newSimPair(t, n, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				io.Copy(w, r.Body)
			}), func(p *pair) {
				p.srv.QUICConfig = &conn.Config{UnsentBytes: unsent}
				p.tr.QUICConfig = &conn.Config{UnsentBytes: unsent}
			})
			body := strings.Repeat("0123456789", 100)
			resp, err := p.c.Post(p.url, "text/plain", strings.NewReader(body))
			require.NoError(t, err)
			b, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			require.Equal(t, body, string(b))
		})
	}
}

// TestDialReturnsTwice: a Dial function returns a connection that requests to another host use.
// Those go on, and requests to the second host fail until it returns a connection of their own.
func TestDialReturnsTwice(t *testing.T) {
	simulate(t, shortLink, func(t *testing.T, n *looptest.Network) {
		p := newSimPair(t, n, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Host) }))
		dial, made := p.tr.Dial, (*loop.Conn)(nil)
		keep := true
		p.tr.Dial = func(ctx context.Context, addr string, cfg *conn.Config) (*loop.Conn, error) {
			if made != nil && keep {
				return made, nil
			}
			var err error
			made, err = dial(ctx, "10.0.0.1:443", cfg)
			return made, err
		}
		get := func(host string) (string, error) {
			resp, err := p.c.Get("https://" + host)
			if err != nil {
				return "", err
			}
			b, err := io.ReadAll(resp.Body)
			return string(b), err
		}
		for range 3 {
			b, err := get("10.0.0.1")
			require.NoError(t, err)
			require.Equal(t, "10.0.0.1", b)
			_, err = get("localhost")
			require.ErrorIs(t, err, errDialedTwice)
		}
		keep = false
		b, err := get("localhost")
		require.NoError(t, err)
		require.Equal(t, "localhost", b)
	})
}
