package h3http

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"sync"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop/looptest"
)

// readSlowly reads r to its end, n bytes at a time, and waits before each.
func readSlowly(r io.Reader, n int, wait time.Duration) ([]byte, error) {
	var got []byte
	buf := make([]byte, n)
	for {
		time.Sleep(wait)
		k, err := r.Read(buf)
		got = append(got, buf[:k]...)
		if err == io.EOF {
			return got, nil
		}
		if err != nil {
			return got, err
		}
	}
}

// TestResponseOutlivesConnection: a client can read to its end everything that it has received of a
// response, however the connection ends meanwhile.
func TestResponseOutlivesConnection(t *testing.T) {
	const size = 200 << 10
	want := bytes.Repeat([]byte("x"), size)
	shutdown := func(p *pair) { // which says that all was delivered
		require.NoError(p.t, p.srv.Shutdown(p.request("GET", "/", nil).Context()))
	}
	ends := []struct {
		name   string
		header bool // Connection: close
		end    func(p *pair, n *looptest.Network)
	}{
		{"Shutdown", false, func(p *pair, _ *looptest.Network) { shutdown(p) }},
		{"Connection: close", true, func(*pair, *looptest.Network) {}},
		{"Close", false, func(p *pair, _ *looptest.Network) {
			time.Sleep(time.Second) // all has arrived
			require.NoError(p.t, p.srv.Close())
		}},
		{"Close of the Transport", false, func(p *pair, _ *looptest.Network) {
			time.Sleep(time.Second)
			require.NoError(p.t, p.tr.Close())
		}},
		{"idle timeout", false, func(p *pair, n *looptest.Network) {
			time.Sleep(time.Second)
			n.Connect("10.0.0.1:443", "10.0.0.2:5000", conntest.Link{Loss: 1})
		}},
	}
	readers := []struct {
		name  string
		delay time.Duration // before the first Read
		wait  time.Duration // before each
	}{
		{"late", 300 * time.Millisecond, 0},
		{"very late", 2 * time.Minute, 0},
		{"slow", 0, 400 * time.Millisecond}, // 10 seconds in all
	}
	for _, end := range ends {
		for _, reader := range readers {
			t.Run(end.name+", "+reader.name, func(t *testing.T) {
				simulate(t, conntest.Link{Delay: 10 * time.Millisecond}, func(t *testing.T, n *looptest.Network) {
					p := newSimPair(t, n, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						if end.header {
							w.Header().Set("Connection", "close")
						}
						w.Header().Set("Trailer", "X-End")
						w.Write(want)
						w.Header().Set("X-End", "yes")
					}))
					p.c.Timeout = 0
					resp, err := p.c.Get(p.url)
					require.NoError(t, err)
					ended := make(chan bool)
					go func() { end.end(p, n); close(ended) }()
					time.Sleep(reader.delay)
					got, err := readSlowly(resp.Body, 8<<10, reader.wait)
					require.NoError(t, err, "%d of %d bytes", len(got), size)
					require.True(t, bytes.Equal(want, got), "%d of %d bytes", len(got), size)
					require.Equal(t, "yes", resp.Trailer.Get("X-End"))
					resp.Body.Close()
					<-ended
				})
			})
		}
	}
}

// TestTunnelOutlivesConnection: so can a server, of a tunnel and of the body of a request.
func TestTunnelOutlivesConnection(t *testing.T) {
	const size = 200 << 10
	want := bytes.Repeat([]byte("x"), size)
	for _, end := range []string{"Close of the Transport", "idle timeout"} {
		for _, method := range []string{"CONNECT", "POST"} {
			t.Run(end+", "+method, func(t *testing.T) {
				simulate(t, conntest.Link{Delay: 10 * time.Millisecond}, func(t *testing.T, n *looptest.Network) {
					type result struct {
						got []byte
						err error
					}
					done := make(chan result, 1)
					p := newSimPair(t, n, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						body := io.Reader(r.Body)
						if r.Method == "CONNECT" {
							s, err := TakeStream(w)
							require.NoError(t, err)
							defer s.Close()
							body = s
						}
						time.Sleep(3 * time.Minute)
						got, err := io.ReadAll(body)
						done <- result{got, err}
					}), withConnect)
					p.c.Timeout = 0
					if method == "CONNECT" {
						s, _, err := p.tr.Connect(p.connectRequest("/", "tunnel"))
						require.NoError(t, err)
						_, err = s.Write(want)
						require.NoError(t, err)
						require.NoError(t, s.CloseWrite())
					} else {
						go p.c.Post(p.url, "", bytes.NewReader(want))
					}
					time.Sleep(time.Second) // all has arrived
					if end == "idle timeout" {
						n.Connect("10.0.0.1:443", "10.0.0.2:5000", conntest.Link{Loss: 1})
					} else {
						require.NoError(t, p.tr.Close())
					}
					r := <-done
					require.NoError(t, r.err, "%d of %d bytes", len(r.got), size)
					require.True(t, bytes.Equal(want, r.got), "%d of %d bytes", len(r.got), size)
				})
			})
		}
	}
}

// TestLeavingConnectionDelivers: a client closes a leaving connection only after the server has
// acknowledged everything that was written.
func TestLeavingConnectionDelivers(t *testing.T) {
	const size = 300 << 10
	tests := []struct {
		name  string
		leave func(p *pair)
	}{
		{"GOAWAY", func(p *pair) { p.srv.Shutdown(context.Background()) }},
		{"CloseIdleConnections", func(p *pair) {
			for range 1000 {
				p.tr.CloseIdleConnections()
				time.Sleep(time.Millisecond)
			}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			simulate(t, conntest.Link{Delay: 10 * time.Millisecond, Rate: 20e6}, func(t *testing.T, n *looptest.Network) {
				done := make(chan int64, 1)
				p := newSimPair(t, n, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					s, err := TakeStream(w)
					require.NoError(t, err)
					s.CloseWrite()
					got, err := io.Copy(io.Discard, s)
					require.NoError(t, err, "%d of %d bytes", got, size)
					s.Close()
					done <- got
				}), withConnect)
				s, resp, err := p.tr.Connect(p.connectRequest("/", "tunnel"))
				require.NoError(t, err)
				c := ConnOf(resp.Request)
				_, err = io.Copy(io.Discard, s) // the server has ended its side
				require.NoError(t, err)
				var leaving sync.WaitGroup
				defer leaving.Wait()
				leaving.Go(func() { tt.leave(p) })
				time.Sleep(100 * time.Millisecond)
				_, err = s.Write(make([]byte, size))
				require.NoError(t, err)
				require.NoError(t, s.Close())
				require.EqualValues(t, size, <-done)
				begin := time.Now()
				<-c.Context().Done()
				require.Less(t, time.Since(begin), time.Second) // the client has closed it
				var closed *conn.ApplicationError
				require.ErrorAs(t, context.Cause(c.Context()), &closed)
				require.False(t, closed.Remote)
			})
		})
	}
}

// TestClientClosesFirst: a server that goes away lets the client close the connection. If the
// client does not, the server closes it after some seconds.
func TestClientClosesFirst(t *testing.T) {
	simulate(t, conntest.Link{Delay: 10 * time.Millisecond}, func(t *testing.T, n *looptest.Network) {
		p := newSimPair(t, n, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "x") }), withConnect)
		resp, body := p.do(p.request("GET", "/", nil))
		require.Equal(t, "x", body)
		c := ConnOf(resp.Request)
		begin := time.Now()
		require.NoError(t, p.srv.Shutdown(context.Background()))
		require.Less(t, time.Since(begin), time.Second)
		var closed *conn.ApplicationError
		require.ErrorAs(t, context.Cause(c.Context()), &closed)
		require.False(t, closed.Remote)
	})
	simulate(t, conntest.Link{Delay: 10 * time.Millisecond}, func(t *testing.T, n *looptest.Network) {
		p := newSimPair(t, n, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "x") }), withConnect)
		s, _, err := p.tr.Connect(p.connectRequest("/", "held")) // never closed
		require.NoError(t, err)
		begin := time.Now()
		require.NoError(t, p.srv.Shutdown(context.Background()))
		require.InDelta(t, 3*time.Second, time.Since(begin), float64(time.Second))
		require.NoError(t, s.Close())
	})
}

// TestDatagramsOutliveConnection: datagrams that came before the end of the connection can still
// be received, also if the client had not taken the stream over by then.
func TestDatagramsOutliveConnection(t *testing.T) {
	for _, late := range []bool{false, true} {
		simulate(t, conntest.Link{Delay: 10 * time.Millisecond}, func(t *testing.T, n *looptest.Network) {
			p := newSimPair(t, n, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(http.StatusEarlyHints)
				s, err := TakeStream(w)
				require.NoError(t, err)
				for i := range 10 {
					require.NoError(t, s.SendDatagram(t.Context(), []byte{byte(i)}, 0))
				}
				<-r.Context().Done()
				s.Close()
			}), withConnect)
			r := p.connectRequest("/", "datagrams")
			if late {
				r = r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
					Got1xxResponse: func(int, textproto.MIMEHeader) error {
						time.Sleep(2 * time.Second)
						return nil
					},
				}))
			}
			time.AfterFunc(time.Second, func() { p.srv.Close() })
			s, _, err := p.tr.Connect(r)
			require.NoError(t, err)
			time.Sleep(2 * time.Second)
			b := make([]byte, 10)
			for i := range 10 {
				k, err := s.ReceiveDatagram(t.Context(), b)
				require.NoError(t, err)
				require.Equal(t, []byte{byte(i)}, b[:k])
			}
			_, err = s.ReceiveDatagram(t.Context(), b)
			var closed *conn.ApplicationError
			require.ErrorAs(t, err, &closed)
			s.Close()
		})
	}
}

// TestDatagramsEndWithTheirDirection: datagrams come for as long as the peer sends, whether it
// receives or not, and end when both directions have, whoever has ended them.
func TestDatagramsEndWithTheirDirection(t *testing.T) {
	simulate(t, conntest.Link{Delay: 10 * time.Millisecond}, func(t *testing.T, n *looptest.Network) {
		p := newSimPair(t, n, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s, err := TakeStream(w)
			require.NoError(t, err)
			s.StopSending(h3.RequestCancelled)
			time.Sleep(time.Second)
			require.NoError(t, s.SendDatagram(t.Context(), []byte("x"), 0))
			if r.URL.Path == "/fin" {
				require.NoError(t, s.CloseWrite())
			}
			<-r.Context().Done()
			s.Close()
		}), withConnect)
		for _, path := range []string{"/fin", "/"} {
			s, _, err := p.tr.Connect(p.connectRequest(path, "datagrams"))
			require.NoError(t, err)
			b := make([]byte, 10)
			k, err := s.ReceiveDatagram(t.Context(), b)
			require.NoError(t, err)
			require.Equal(t, "x", string(b[:k]))
			if path == "/" {
				s.StopSending(h3.NoError)
				s.Reset(h3.NoError)
			}
			_, err = s.ReceiveDatagram(t.Context(), b)
			require.Error(t, err)
			s.Close()
		}
	})
	simulate(t, conntest.Link{Delay: 10 * time.Millisecond}, func(t *testing.T, n *looptest.Network) {
		p := newSimPair(t, n, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s, err := TakeStream(w)
			require.NoError(t, err)
			require.NoError(t, s.CloseWrite())
			s.Read(make([]byte, 1))
			s.Close()
		}), withConnect)
		s, _, err := p.tr.Connect(p.connectRequest("/", "datagrams"))
		require.NoError(t, err)
		defer s.Close()
		time.AfterFunc(time.Second, func() { s.CloseWrite() })
		_, err = s.ReceiveDatagram(t.Context(), make([]byte, 1)) // waits all the while
		require.Equal(t, io.EOF, err)
	})
}
