package webtransport

import (
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/conn/varint"
	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
)

// TestDrafts: there is a server of each draft. The test checks how the client asks it for a
// session.
func TestDrafts(t *testing.T) {
	for _, c := range []struct {
		name     string
		settings map[uint64]uint64
		protocol string
		header02 string
	}{
		{"02", map[uint64]uint64{settingEnabled02: 1}, "webtransport", "1"},
		{"07", map[uint64]uint64{settingMaxSessions07: 5}, "webtransport", ""},
		{"13", map[uint64]uint64{settingMaxSessions13: 1}, "webtransport", ""},
		{"15", map[uint64]uint64{settingEnabled15: 1}, "webtransport-h3", ""},
		{"02 and 15", map[uint64]uint64{settingEnabled02: 1, settingEnabled15: 1}, "webtransport-h3", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			only := func(w *world) { w.configured = func() { w.srv.H3Config.Settings = c.settings } }
			run(t, only, func(t *testing.T, w *world) {
				w.handler = func(rw http.ResponseWriter, r *http.Request) {
					require.Equal(t, c.protocol, r.Header.Get(":protocol"))
					require.Equal(t, c.header02, r.Header.Get("Sec-Webtransport-Http3-Draft02"))
					require.Equal(t, "yes", r.Header.Get("X-Test"))
					s, err := w.up.Upgrade(rw, r)
					require.NoError(t, err)
					go echo(s)
				}
				s, resp, err := w.d.Dial(w.ctx(), w.url, http.Header{"X-Test": {"yes"}})
				require.NoError(t, err)
				if c.header02 != "" {
					require.Equal(t, "draft02", resp.Header.Get("Sec-Webtransport-Http3-Draft"))
				}
				st, err := s.OpenStream(w.ctx(), conn.Bidi)
				require.NoError(t, err)
				io.WriteString(st, "hello")
				st.CloseWrite()
				b, err := io.ReadAll(st)
				require.NoError(t, err)
				require.Equal(t, "hello", string(b))
			})
		})
	}
}

// TestServerWithout: a server lacks something that WebTransport needs. The connection ends.
// RFC 9114, Section 6.2 [8].
func TestServerWithout(t *testing.T) {
	for name, change := range map[string]func(cfg *h3.Config){
		"any draft":        func(cfg *h3.Config) { cfg.Settings = nil },
		"datagrams":        func(cfg *h3.Config) { cfg.Datagrams = false },
		"extended CONNECT": func(cfg *h3.Config) { cfg.ExtendedConnect = false },
		"a valid setting":  func(cfg *h3.Config) { cfg.Settings[settingEnabled15] = 2 },
	} {
		t.Run(name, func(t *testing.T) {
			var ended chan error
			without := func(w *world) {
				ended = make(chan error, 1)
				w.configured = func() {
					change(w.srv.H3Config)
					extend := w.srv.Extend
					w.srv.Extend = func(c *loop.Conn, h *h3.Conn) h3http.Extension {
						context.AfterFunc(c.Context(), func() { ended <- context.Cause(c.Context()) })
						return extend(c, h)
					}
				}
			}
			run(t, without, func(t *testing.T, w *world) {
				_, _, err := w.d.Dial(w.ctx(), w.url, nil)
				require.ErrorIs(t, err, errRequirements)
				require.ErrorContains(t, <-ended, "closed by peer")
			})
		})
	}
}

// TestClientWithout: a server must not give a session to these clients.
func TestClientWithout(t *testing.T) {
	run(t, nil, func(t *testing.T, w *world) {
		r := w.raw(func(cfg *h3.Config) { cfg.Datagrams = false })
		require.Equal(t, 400, r.connect(protocolName).StatusCode)
		require.Equal(t, 400, r.connect("websocket").StatusCode)
		// nothing to say, once there are no drafts
		r = w.raw(func(cfg *h3.Config) { cfg.Settings = nil })
		require.Equal(t, 200, r.connect(protocolName).StatusCode)
		req, err := http.NewRequest("GET", w.url, nil)
		require.NoError(t, err)
		resp, err := r.tr.RoundTrip(req)
		require.NoError(t, err)
		require.Equal(t, 400, resp.StatusCode)
	})
	plain := func(w *world) { w.configured = func() { w.srv.Extend = nil } }
	run(t, plain, func(t *testing.T, w *world) {
		require.Equal(t, 501, w.raw(nil).connect(protocolName).StatusCode)
	})
}

// TestOrigin: pages of the same host are admitted, or those for which CheckOrigin is true.
func TestOrigin(t *testing.T) {
	for _, c := range []struct {
		origin string
		check  func(*http.Request) bool
		want   int
	}{
		{"", nil, 200},
		{"https://10.0.0.1", nil, 200},
		{"https://10.0.0.1:443", nil, 200},
		{"https://10.0.0.1:444", nil, 403},
		{"http://10.0.0.1", nil, 403},
		{"https://10.0.0.1.evil.test", nil, 403},
		{"https://evil.test", nil, 403},
		{"null", nil, 403},
		{"://", nil, 403},
		{"https://evil.test", func(r *http.Request) bool { return r.Header.Get("Origin") == "https://evil.test" }, 200},
		{"https://10.0.0.1", func(*http.Request) bool { return false }, 403},
		{"", func(*http.Request) bool { return false }, 200},
	} {
		run(t, func(w *world) { w.up.CheckOrigin = c.check }, func(t *testing.T, w *world) {
			h := make(http.Header)
			if c.origin != "" {
				h.Set("Origin", c.origin)
			}
			_, resp, err := w.d.Dial(w.ctx(), w.url, h)
			require.NotNil(t, resp)
			require.Equal(t, c.want, resp.StatusCode, "%q", c.origin)
			require.Equal(t, c.want == 200, err == nil)
			b, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			require.Equal(t, c.want == 403, string(b) == "Forbidden\n")
		})
	}
}

// TestProtocols negotiates the protocol of the session.
func TestProtocols(t *testing.T) {
	for _, c := range []struct {
		client, server []string
		want           string
	}{
		{nil, nil, ""},
		{[]string{"a"}, nil, ""},
		{nil, []string{"a"}, ""},
		{[]string{"a", "b"}, []string{"b", "a"}, "a"},
		{[]string{"x", `quo"te\`}, []string{`quo"te\`}, `quo"te\`},
		{[]string{"x"}, []string{"y"}, ""},
	} {
		change := func(w *world) { w.d.Protocols, w.up.Protocols = c.client, c.server }
		run(t, change, func(t *testing.T, w *world) {
			client, server := w.dial()
			require.Equal(t, c.want, client.Protocol())
			require.Equal(t, c.want, server.Protocol())
		})
	}
	run(t, func(w *world) { w.d.Protocols = []string{"é"} }, func(t *testing.T, w *world) {
		_, _, err := w.d.Dial(w.ctx(), w.url, nil)
		require.Error(t, err)
	})
}

// TestWrongProtocol: a server chooses a protocol that was not offered, and loses the session.
func TestWrongProtocol(t *testing.T) {
	run(t, func(w *world) { w.d.Protocols = []string{"a"} }, func(t *testing.T, w *world) {
		w.handler = func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("WT-Protocol", `"b"`)
			s, err := w.up.Upgrade(rw, r)
			require.NoError(t, err)
			w.sessions <- s
		}
		_, _, err := w.d.Dial(w.ctx(), w.url, nil)
		require.ErrorContains(t, err, `"b"`)
		s := <-w.sessions
		<-s.Context().Done()
		require.Equal(t, &SessionError{Code: ALPNError, Remote: true}, context.Cause(s.Context()))
	})
}

// TestWrongProtocolInTime: the context of Dial also bounds how long it waits for such a server.
func TestWrongProtocolInTime(t *testing.T) {
	run(t, func(w *world) { w.d.Protocols = []string{"a"} }, func(t *testing.T, w *world) {
		w.handler = func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("WT-Protocol", `"b"`)
			s, err := h3http.TakeStream(rw)
			require.NoError(t, err)
			<-s.Context().Done() // it does not answer the end of the session
			s.Close()
		}
		ctx, cancel := context.WithTimeout(w.ctx(), time.Second)
		defer cancel()
		begin := time.Now()
		_, _, err := w.d.Dial(ctx, w.url, nil)
		require.ErrorContains(t, err, `"b"`)
		require.LessOrEqual(t, time.Since(begin), 1100*time.Millisecond)
	})
}

// TestMaxSessions limits the sessions on one connection. Since draft 13 the limit is one without
// flow control, and a request for another session is reset (draft-ietf-webtrans-http3-15, Section
// 5.1).
func TestMaxSessions(t *testing.T) {
	for _, c := range []struct {
		setting  uint64
		protocol string
		want     int
	}{
		{settingEnabled02, protocolName14, 3},
		{settingMaxSessions07, protocolName14, 3},
		{settingMaxSessions13, protocolName14, 1},
		{settingEnabled15, protocolName, 1},
	} {
		run(t, func(w *world) { w.up.MaxSessions = 3 }, func(t *testing.T, w *world) {
			r := w.raw(func(cfg *h3.Config) { cfg.Settings = map[uint64]uint64{c.setting: 1} })
			for range c.want {
				require.Equal(t, 200, r.connect(c.protocol).StatusCode)
			}
			if c.want > 1 {
				require.Equal(t, 429, r.connect(c.protocol).StatusCode)
			} else {
				_, _, err := r.tr.Connect(r.request(c.protocol))
				var reset *conn.StreamError
				require.ErrorAs(t, err, &reset)
				require.Equal(t, h3.RequestRejected, h3.ErrorCode(reset.Code))
			}
			for range c.want {
				s := <-w.sessions
				require.NoError(t, s.Close())
			}
			require.Equal(t, 200, r.connect(c.protocol).StatusCode)
		})
	}
}

// TestSessionsShareConnection keeps the streams of several sessions apart.
func TestSessionsShareConnection(t *testing.T) {
	run(t, nil, func(t *testing.T, w *world) {
		r := w.raw(func(cfg *h3.Config) { cfg.Settings = map[uint64]uint64{settingEnabled02: 1} })
		var servers []*Session
		var ids []conn.StreamID
		for range 5 {
			require.Equal(t, 200, r.connect(protocolName14).StatusCode)
			ids = append(ids, r.stream.ID())
			servers = append(servers, <-w.sessions)
		}
		for i := range servers {
			st := r.open(conn.Uni, append(header(typeUni, ids[i]), byte(i))...)
			st.CloseWrite()
			require.NoError(t, servers[4-i].SendDatagram(w.ctx(), nil, 0))
		}
		for i, s := range servers {
			st, err := s.AcceptStream(w.ctx(), conn.Uni)
			require.NoError(t, err)
			b, err := io.ReadAll(st)
			require.NoError(t, err)
			require.Equal(t, []byte{byte(i)}, b)
		}
	})
}

// TestNoSettings: a client that does not send its settings gets no session.
func TestNoSettings(t *testing.T) {
	run(t, nil, func(t *testing.T, w *world) {
		cfg := conntest.ClientConfig()
		cfg.TLS.NextProtos = []string{"h3"}
		c, err := w.group.Dial(w.ctx(), "10.0.0.1:443", cfg)
		require.NoError(t, err)
		st, err := c.OpenStream(w.ctx(), conn.Bidi)
		require.NoError(t, err)
		st.Write(connectRequest())
		began := time.Now()
		b := make([]byte, 1000)
		n, err := st.Read(b)
		require.NoError(t, err)
		require.Positive(t, n) // a header section with status 400
		require.Equal(t, settingsTime, time.Since(began).Truncate(time.Second))
		require.Empty(t, w.sessions)
		c.Close(0, "")
	})
}

// connectRequest returns a HEADERS frame that asks for a session.
func connectRequest() []byte {
	section := []byte{0, 0} // no dynamic table
	for _, f := range [][2]string{
		{":method", "CONNECT"}, {":protocol", protocolName}, {":scheme", "https"}, {":authority", "10.0.0.1"}, {":path", "/"},
	} {
		// a literal field line without Huffman coding (RFC 9204, Section 4.5.6)
		for i, s := range f {
			prefix := []int{7, 127}[i]
			if len(s) < prefix {
				section = append(section, byte(len(s))|byte(0x20*(1-i)))
			} else {
				section = append(section, byte(prefix)|byte(0x20*(1-i)), byte(len(s)-prefix))
			}
			section = append(section, s...)
		}
	}
	return append(varint.Append([]byte{1}, uint64(len(section))), section...)
}

// TestResumption: a session is never early data, whether the server takes early data or not.
func TestResumption(t *testing.T) {
	early := func(w *world) {
		w.srv.QUICConfig = &conn.Config{Enable0RTT: true}
		w.d.QUICConfig = &conn.Config{Enable0RTT: true}
		w.d.TLSClientConfig.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	}
	run(t, early, func(t *testing.T, w *world) {
		for i := range 4 {
			if i == 2 { // tickets that promise other settings are worth nothing
				w.srv.H3Config.Settings[settingMaxSessions13] = 2
			}
			c, s := w.dial()
			go echo(s)
			require.Equal(t, i > 0, c.Conn().TLS().DidResume)
			st, err := c.OpenStream(w.ctx(), conn.Bidi)
			require.NoError(t, err)
			io.WriteString(st, "hello")
			st.CloseWrite()
			b, err := io.ReadAll(st)
			require.NoError(t, err)
			require.Equal(t, "hello", string(b))
			require.NoError(t, c.Close())
			w.wait()
		}
	})
}

// TestFieldsOfContent: messages with capsules have no fields that describe content, and responses
// with some statuses have no capsules (RFC 9297, Section 3.2).
func TestFieldsOfContent(t *testing.T) {
	run(t, nil, func(t *testing.T, w *world) {
		upgrade := w.handler
		w.handler = func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Content-Type", "text/plain")
			upgrade(rw, r)
		}
		r := w.raw(nil)
		require.Equal(t, 400, r.connect(protocolName, "Content-Type", "text/plain").StatusCode)
		resp := r.connect(protocolName)
		require.Equal(t, 200, resp.StatusCode)
		require.Empty(t, resp.Header["Content-Type"])

		for _, bad := range []struct {
			status int
			field  string
		}{{204, ""}, {205, ""}, {206, ""}, {200, "Content-Type"}, {200, "Content-Length"}} {
			w.handler = func(rw http.ResponseWriter, r *http.Request) {
				if bad.field != "" {
					rw.Header().Set(bad.field, "1")
				}
				rw.WriteHeader(bad.status)
				s, err := h3http.TakeStream(rw)
				require.NoError(t, err)
				defer s.Close()
				s.Read(make([]byte, 1)) // until the client cancels
			}
			_, _, err := w.d.Dial(w.ctx(), w.url, nil)
			require.ErrorContains(t, err, "is not one with capsules")
		}
	})
}

// TestNoDatagramParameter: a client has the setting for datagrams, but not the transport parameter
// (draft-ietf-webtrans-http3-15, Section 3.1).
func TestNoDatagramParameter(t *testing.T) {
	run(t, nil, func(t *testing.T, w *world) {
		statuses := w.statuses()
		for size, want := range map[int64]int{1000: 200, 0: 400} {
			cfg := conntest.ClientConfig()
			cfg.TLS.NextProtos = []string{"h3"}
			cfg.MaxDatagramFrameSize = size
			c := w.handshake(cfg)
			require.Equal(t, want, <-statuses)
			c.Close(0, "")
		}
	})
}

// statuses returns a channel with the status of each request that the handler has answered.
func (w *world) statuses() <-chan int {
	statuses := make(chan int, 1)
	upgrade := w.handler
	w.handler = func(rw http.ResponseWriter, r *http.Request) {
		status := &statusWriter{rw, 200}
		upgrade(status, r)
		statuses <- status.code
	}
	return statuses
}

// handshake connects, sends the setting for datagrams, and asks for a session.
func (w *world) handshake(cfg *conn.Config) *loop.Conn {
	w.Helper()
	c, err := w.group.Dial(w.ctx(), "10.0.0.1:443", cfg)
	require.NoError(w, err)
	control, err := c.OpenStream(w.ctx(), conn.Uni)
	require.NoError(w, err)
	control.Write([]byte{0, 4, 2, h3.SettingDatagrams, 1})
	st, err := c.OpenStream(w.ctx(), conn.Bidi)
	require.NoError(w, err)
	st.Write(connectRequest())
	return c
}

// TestEarlyRequest: a request that may be a replay gets no session.
func TestEarlyRequest(t *testing.T) {
	early := func(w *world) { w.srv.QUICConfig = &conn.Config{Enable0RTT: true} }
	run(t, early, func(t *testing.T, w *world) {
		cfg := conntest.ClientConfig()
		cfg.TLS.NextProtos = []string{"h3"}
		cfg.TLS.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		cfg.Enable0RTT = true
		cfg.MaxDatagramFrameSize = 1000
		statuses := w.statuses()
		for _, want := range []int{200, http.StatusTooEarly} {
			c := w.handshake(cfg)
			require.Equal(t, want, <-statuses)
			w.wait()
			c.Close(0, "")
		}
	})
}

// A statusWriter notes the status of a response.
type statusWriter struct {
	http.ResponseWriter
	code int
}

func (w *statusWriter) WriteHeader(code int) { w.code = code; w.ResponseWriter.WriteHeader(code) }

func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// TestDialFails: Dial fails for other reasons.
func TestDialFails(t *testing.T) {
	run(t, nil, func(t *testing.T, w *world) {
		for _, url := range []string{"http://10.0.0.1/", "https:///", "%"} {
			_, _, err := w.d.Dial(w.ctx(), url, nil)
			require.Error(t, err, url)
		}
		w.handler = func(rw http.ResponseWriter, r *http.Request) {
			http.Redirect(rw, r, "/elsewhere", http.StatusFound)
		}
		_, resp, err := w.d.Dial(w.ctx(), w.url, nil)
		require.Error(t, err)
		require.Equal(t, "/elsewhere", resp.Header.Get("Location"))

		w.handler = func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
		ctx, cancel := context.WithTimeout(w.ctx(), time.Second)
		defer cancel()
		_, _, err = w.d.Dial(ctx, w.url, nil)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.NoError(t, w.d.Close())
		_, _, err = w.d.Dial(w.ctx(), w.url, nil)
		require.Error(t, err)
	})
}
