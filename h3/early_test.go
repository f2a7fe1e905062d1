package h3

import (
	"crypto/tls"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/internal/require"
)

// An earlyTest is a client that connects to a server twice, with early data.
type earlyTest struct {
	t        *testing.T
	net      *conntest.Network
	srv, cli *side
	client   *conn.Config
}

func newEarlyTest(t *testing.T, server *Config) *earlyTest {
	rnd := conntest.Seed(t, 1)
	n := conntest.New(t, 1)
	n.Default = conntest.Link{Delay: rtt / 2}
	scfg := conntest.ServerConfig()
	scfg.Enable0RTT, scfg.MaxDatagramFrameSize = true, 1200
	scfg.TicketData = server.TicketData()
	scfg.AcceptEarlyData = func(b []byte) bool { return server.AcceptEarlyData(b) }
	e := &earlyTest{t: t, net: n, client: conntest.ClientConfig()}
	e.client.Enable0RTT, e.client.MaxDatagramFrameSize = true, 1200
	e.client.TLS.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	e.srv = &side{t: t, net: n, cfg: server}
	e.cli = &side{t: t, net: n}
	e.srv.node = n.Add("10.0.0.1:443", &conn.EndpointConfig{Rand: rnd, Server: scfg})
	e.cli.node = n.Add("10.0.0.2:1000", &conn.EndpointConfig{Rand: rnd})
	e.srv.node.OnEvent = e.srv.handle
	return e
}

// dial connects. It closes the connection before.
func (e *earlyTest) dial() *side {
	*e.srv = side{t: e.t, net: e.net, cfg: e.srv.cfg, node: e.srv.node, on: e.srv.on}
	q, err := e.cli.node.Dial(e.net.Now(), conn.Target{Remote: e.srv.node.Addr, ServerName: "lazo.test"}, e.client)
	require.NoError(e.t, err)
	*e.cli = side{t: e.t, net: e.net, cfg: &Config{Datagrams: true}, node: e.cli.node, q: q}
	e.cli.node.OnEvent = e.cli.handle
	e.cli.h, err = NewConn(q, e.cli.cfg)
	require.NoError(e.t, err)
	return e.cli
}

// first makes the connection that gives the session.
func (e *earlyTest) first() {
	cli := e.dial()
	cli.run()
	cli.want(EventSettings)
	require.Nil(e.t, cli.h.remembered)
	cli.q.Close(uint64(NoError), "")
	e.net.RunFor(time.Second)
}

// TestEarlyRequest relies on remembered settings: a request with extended CONNECT is sent at once.
// RFC 9114, Section 7.2.4.2 [5, 6].
func TestEarlyRequest(t *testing.T) {
	e := newEarlyTest(t, &Config{ExtendedConnect: true, Datagrams: true, MaxFieldSectionSize: 500})
	e.first()
	cli := e.dial()
	s, err := cli.h.OpenRequest(connectFields, false)
	require.NoError(t, err)
	_, err = cli.h.OpenRequest(append(getFields[:4:4], Field{Name: "x", Value: string(make([]byte, 500))}), true)
	require.Error(t, err)
	cli.run()
	ev := e.srv.want(EventFields)
	require.True(t, ev.Stream.Early())
	require.NoError(t, ev.Stream.SendFields(okFields, true))
	cli.run()
	require.Same(t, s, cli.want(EventFields).Stream)
	require.NoError(t, cli.closed)
}

// TestEarlyRequestRejected: the server's settings have changed, so it takes no
// early data, and the client starts again.
func TestEarlyRequestRejected(t *testing.T) {
	e := newEarlyTest(t, &Config{ExtendedConnect: true, Datagrams: true, QPACKTableCapacity: 4096})
	e.first()
	e.srv.cfg.ExtendedConnect = false
	cli := e.dial()
	s, err := cli.h.OpenRequest(connectFields, false)
	require.NoError(t, err)
	s.Datagrams()
	cli.run()
	ev := cli.want(EventCanceled)
	require.Same(t, s, ev.Stream)
	require.Equal(t, RequestRejected, ev.Code)
	require.ErrorIs(t, ev.Err, conn.ErrEarlyDataRejected)
	_, err = s.Write([]byte{1})
	require.Error(t, err)
	_, err = cli.h.OpenRequest(connectFields, false)
	require.ErrorIs(t, err, ErrNoExtendedConnect)
	again, err := cli.h.OpenRequest(getFields, true)
	require.NoError(t, err)
	require.Equal(t, s.ID(), again.ID())
	s.Release()
	cli.run()
	require.Equal(t, again.ID(), e.srv.want(EventFields).Stream.ID())
	require.Equal(t, 1, cli.h.Stats().Open)
	require.NoError(t, cli.closed)
	require.NoError(t, e.srv.closed)
}

// TestEarlySettingsTakenBack: a server accepts early data, and then allows less than before. That
// breaks a rule (for the dynamic table RFC 9204, Section 3.2.3 [2]).
// RFC 9297, Section 2.1.1 [4, 5]; RFC 9114, Section 7.2.4.2 [8, 9, 11].
func TestEarlySettingsTakenBack(t *testing.T) {
	was := Config{ExtendedConnect: true, Datagrams: true, MaxFieldSectionSize: 5000, QPACKTableCapacity: 100, QPACKBlockedStreams: 5}
	for _, c := range []struct {
		change func(*Config)
		want   ErrorCode
	}{
		{func(c *Config) {}, 0},
		{func(c *Config) { c.MaxFieldSectionSize, c.QPACKBlockedStreams = 6000, 6 }, 0},
		// RFC 9114, Section 7.2.4.2 [12].
		{func(c *Config) { c.MaxFieldSectionSize = -1 }, SettingsError},
		{func(c *Config) { c.MaxFieldSectionSize = 4999 }, SettingsError},
		{func(c *Config) { c.ExtendedConnect = false }, SettingsError},
		{func(c *Config) { c.Datagrams = false }, SettingsError},
		{func(c *Config) { c.QPACKBlockedStreams = 4 }, SettingsError},
		{func(c *Config) { c.QPACKTableCapacity = 101 }, QPACKDecoderStreamError},
		{func(c *Config) { c.QPACKTableCapacity = 0 }, QPACKDecoderStreamError},
	} {
		now := was
		c.change(&now)
		require.Equal(t, c.want == 0, now.AcceptEarlyData(was.TicketData()))

		e := newEarlyTest(t, &Config{})
		*e.srv.cfg = was
		e.first()
		*e.srv.cfg = Config{} // so that early data is accepted
		e.srv.cfg = &now
		cli := e.dial()
		require.NotNil(t, cli.h.remembered)
		_, err := cli.h.OpenRequest(getFields, true)
		require.NoError(t, err)
		cli.run()
		if c.want == 0 {
			require.NoError(t, e.srv.closed)
			continue
		}
		require.Error(t, e.srv.closed)
		var aerr *conn.ApplicationError
		require.ErrorAs(t, cli.want(EventClosed).Err, &aerr)
		require.Equal(t, c.want, ErrorCode(aerr.Code))
	}
	strange := Config{Settings: map[uint64]uint64{0x2c7cf000: 1}}
	require.False(t, was.AcceptEarlyData(strange.TicketData()))
	require.False(t, was.AcceptEarlyData([]byte{0x40}))
	require.True(t, strange.AcceptEarlyData(strange.TicketData()))
}

// A closedBuffer is where a qlog goes.
type closedBuffer struct{ strings.Builder }

func (*closedBuffer) Close() error { return nil }

// TestEarlySettingsLogged: the qlog has the settings on which early data relies.
func TestEarlySettingsLogged(t *testing.T) {
	e := newEarlyTest(t, &Config{ExtendedConnect: true, Datagrams: true, MaxFieldSectionSize: 500})
	var log *closedBuffer
	e.client.QLog = func(conn.ConnID, bool) io.WriteCloser {
		log = new(closedBuffer)
		return log
	}
	const name = `"name":"http3:parameters_restored",`
	e.first()
	require.NotContains(t, log.String(), name)
	e.dial().run()
	require.Contains(t, log.String(), name+`"data":{"max_field_section_size":500,"extended_connect":1,"h3_datagram":1}`)
}
