package runner

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/internal/netrelay"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
	"github.com/quic-go/quic-go"
)

// earlyPackets returns the 0-RTT packets of a trace, and whether the server of the last connection
// accepted early data.
func (r *run) earlyPackets(tr *trace) (packets []*packet, accepted bool) {
	r.Helper()
	require.Len(r, tr.sessions, 2)
	h, ok := tr.sessions[1].encryptedExtensions()
	require.True(r, ok)
	return tr.of(netrelay.Up, conn.Packet0RTT), h.has(extEarlyData)
}

// requests counts the packets among these that carry a stream.
func requests(packets []*packet) (n int) {
	for _, p := range packets {
		if slices.ContainsFunc(p.frames, frame.isStream) {
			n++
		}
	}
	return n
}

// remember makes a first connection, which brings a session ticket.
func (r *run) remember(ctx context.Context, name string) {
	r.Helper()
	cache := newTicketCache()
	r.clientTLS.ClientSessionCache = cache
	c := r.connect(ctx, clientConfig{early: true})
	require.NoError(r, r.files.check(ctx, c, name))
	require.NoError(r, cache.wait(ctx))
	require.NoError(r, c.close())
}

// TestEarlyDataToQUICGo sends early data to quic-go, which accepts it the first time and rejects it
// otherwise.
func TestEarlyDataToQUICGo(t *testing.T) {
	for _, accept := range []bool{true, false} {
		t.Run(map[bool]string{true: "Accepted", false: "Rejected"}[accept], func(t *testing.T) {
			ctx, r := feature(t, toQUICGo)
			var now atomic.Bool
			now.Store(true)
			cfg := r.serverConfig()
			cfg.early = true
			l := quicGo{}.listen(t, cfg, func(cfg *quic.Config) {
				cfg.GetConfigForClient = func(*quic.ClientInfo) (*quic.Config, error) {
					c := cfg.Clone()
					c.Allow0RTT = now.Load()
					return c, nil
				}
			})
			r.relayTo(addrPort(l.Addr()), far())
			name := r.files.add(1 * kb)
			accepted := make(chan *quic.Conn, 2)
			go func() {
				for {
					c, err := l.Accept(ctx)
					if err != nil {
						return
					}
					accepted <- c
					go serveQUICGoConn(c, &r.files)
				}
			}()
			r.remember(ctx, name)
			<-accepted

			now.Store(accept)
			cc := r.clientConfig()
			cc.early = true
			c, err := lazo{}.connect(ctx, cc)
			require.NoError(t, err)
			r.getAgain(ctx, lazoClient{c}, name, accept)
			server := <-accepted
			<-server.HandshakeComplete()
			require.Equal(t, accept, server.ConnectionState().Used0RTT)
			require.True(t, server.ConnectionState().TLS.DidResume)
			require.NoError(t, c.Close(0, ""))
			packets, extension := r.earlyPackets(r.closedTrace(2))
			require.Equal(t, accept, extension)
			require.NotZero(t, requests(packets), "0-RTT packets with the request")
		})
	}
}

// getAgain gets a file with early data. If accept is false, that must fail because early data is
// rejected, and then the second try must succeed.
func (r *run) getAgain(ctx context.Context, c client, name string, accept bool) {
	r.Helper()
	err := r.files.check(ctx, c, name)
	if accept {
		require.NoError(r, err)
		return
	}
	require.ErrorIs(r, err, conn.ErrEarlyDataRejected)
	require.NoError(r, r.files.check(ctx, c, name))
}

// TestEarlyDataFromQUICGo accepts early data of quic-go, or rejects it.
func TestEarlyDataFromQUICGo(t *testing.T) {
	for _, accept := range []bool{true, false} {
		t.Run(map[bool]string{true: "Accepted", false: "Rejected"}[accept], func(t *testing.T) {
			ctx, r := feature(t, fromQUICGo)
			cfg := r.serverConfig()
			cfg.early = true
			g := lazo{}.listen(t, cfg, func(cfg *conn.Config) {
				cfg.AcceptEarlyData = func([]byte) bool { return accept }
			})
			r.relayTo(g.LocalAddr(), far())
			name := r.files.add(1 * kb)
			early := make(chan bool, 2)
			go func() {
				for {
					c, err := g.Accept(ctx)
					if err != nil {
						return
					}
					go r.noteEarly(ctx, c, early)
				}
			}()
			r.remember(ctx, name)
			require.False(t, <-early)

			cc := r.clientConfig()
			cc.early = true
			c, err := quicGo{}.connect(ctx, cc)
			require.NoError(t, err)
			err = r.files.check(ctx, c, name)
			if !accept {
				require.True(t, errors.Is(err, quic.Err0RTTRejected), "%v", err)
				c.c, err = c.c.NextConnection(ctx)
				require.NoError(t, err)
				err = r.files.check(ctx, c, name)
			}
			require.NoError(t, err)
			require.Equal(t, accept, c.c.ConnectionState().Used0RTT)
			require.Equal(t, accept, <-early, "Early of the stream that arrived")
			require.Empty(t, early, "a stream that was rejected arrived, too")
			require.NoError(t, c.close())
			packets, extension := r.earlyPackets(r.closedTrace(2))
			require.Equal(t, accept, extension)
			require.NotEmpty(t, packets) // quic-go does not log the secret that would open them
		})
	}
}

// noteEarly serves a connection, and sends for each stream whether it came early.
func (r *run) noteEarly(ctx context.Context, c *loop.Conn, early chan<- bool) {
	for {
		s, err := c.AcceptStream(ctx)
		if err != nil {
			return
		}
		early <- s.Early()
		go func() {
			defer s.Close()
			if r.files.answer(s) != nil {
				s.Reset(1)
			}
		}()
	}
}
