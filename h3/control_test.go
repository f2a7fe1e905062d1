package h3

import (
	"bytes"
	"maps"
	"math"
	"slices"
	"testing"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/internal/wire"
)

// readControlStream feeds b to a controlReader, as a stream would that has at most max bytes ready.
// It returns the frames that were read.
func readControlStream(r *controlReader, b []byte, max int) (frames []string, err *Error) {
	ready := 0
	for {
		n, done, err := r.next(b[:ready])
		if err != nil {
			return frames, err
		}
		if done {
			frames = append(frames, string(appendFrameHeader(nil, r.typ, uint64(len(r.buf))))+string(r.buf))
		}
		b = b[n:]
		ready -= n
		if n == 0 && !done {
			if ready == len(b) {
				return frames, nil
			}
			ready = min(len(b), ready+max)
		}
	}
}

func TestControlStreamInPieces(t *testing.T) {
	b := concat(frame(frameSettings, setting(6, 1000)...), frame(reserved(3)), frame(frameGoAway, 0x40, 0x80),
		frame(reserved(1000), make([]byte, 5000)...), frame(frameMaxPushID, 1),
		frame(framePriorityUpdateRequest, 0, 'u', '=', '1'))
	for _, max := range []int{1, 2, 3, 7, 16, 100, len(b)} {
		r := controlReader{server: true}
		frames, err := readControlStream(&r, b, max)
		require.Nil(t, err)
		require.Equal(t, []string{
			string(frame(frameSettings, setting(6, 1000)...)),
			string(frame(frameGoAway, 0x40, 0x80)),
			string(frame(frameMaxPushID, 1)),
			string(frame(framePriorityUpdateRequest, 0, 'u', '=', '1')),
		}, frames)
		require.LessOrEqual(t, cap(r.buf), 64, "the unknown frame was not kept")
	}
}

// RFC 9114, Section 7.2.4 [5]; RFC 9114, Section 7.2.4.1 [1]; RFC 9114, Section 7.2.4.2 [10].
func TestSettings(t *testing.T) {
	srv, cli := connect(t, &Config{
		MaxFieldSectionSize: 12345, QPACKTableCapacity: 4096, QPACKBlockedStreams: 16,
		ExtendedConnect: true, Datagrams: true,
		Settings: map[uint64]uint64{0x2c7cf000: 1, 0x10: 1 << 61},
	}, &Config{})
	require.Nil(t, new(Conn).PeerSettings())
	cli.want(EventSettings)
	got := maps.Clone(cli.h.PeerSettings())
	greased := 0
	for id := range got {
		if (id-0x21)%0x1f == 0 && id != 0x2c7cf000 {
			greased++
			delete(got, id)
		}
	}
	require.Equal(t, 1, greased, "RFC 9114, Section 7.2.4.1")
	require.Equal(t, map[uint64]uint64{
		SettingMaxFieldSectionSize: 12345, SettingQPACKTableCapacity: 4096, SettingQPACKBlockedStreams: 16,
		SettingExtendedConnect: 1, SettingDatagrams: 1, 0x2c7cf000: 1, 0x10: 1 << 61,
	}, got)
	require.NotContains(t, srv.h.PeerSettings(), uint64(SettingDatagrams))
	require.EqualValues(t, defaultMaxFieldSectionSize, srv.h.PeerSettings()[SettingMaxFieldSectionSize])
}

// TestLargestLimit: a limit that no setting can state is the largest that one can.
func TestLargestLimit(t *testing.T) {
	cfg := &Config{MaxFieldSectionSize: math.MaxInt64}
	srv, cli := connect(t, cfg, cfg)
	s, err := cli.h.OpenRequest(getFields, true)
	require.NoError(t, err)
	cli.run()
	require.NoError(t, srv.accepted().SendFields(okFields, true))
	cli.run()
	require.True(t, cli.want(EventFields).End)
	s.Release()
	for _, p := range []*side{srv, cli} {
		require.EqualValues(t, wire.MaxVarint, p.h.PeerSettings()[SettingMaxFieldSectionSize])
	}
	require.NotEmpty(t, cfg.TicketData())
}

// RFC 9114, Section 7.2.4.1 [3].
func TestInvalidConfig(t *testing.T) {
	_, cli := connect(t, nil, nil)
	for _, cfg := range []Config{
		{Settings: map[uint64]uint64{2: 1}},
		{Settings: map[uint64]uint64{SettingDatagrams: 1}},
		{Settings: map[uint64]uint64{1 << 62: 1}},
		{Settings: map[uint64]uint64{100: 1 << 62}},
		{StreamTypes: []uint64{streamControl}},
		{StreamTypes: []uint64{frameSettings}},
		{StreamTypes: []uint64{9}},
		{QPACKTableCapacity: -1},
		{QPACKBlockedStreams: 1 << 40},
	} {
		_, err := NewConn(cli.q, &cfg)
		require.Error(t, err)
	}
}

// TestCriticalStreams checks the bytes that this side sends first, on one stream of each kind (RFC
// 9204, Section 4.2 [1]).
// RFC 9114, Section 3.2 [3]; RFC 9114, Section 6.2 [3]; RFC 9114, Section 6.2.1 [1, 4]; RFC 9114,
// Section 7.2.4 [1, 3]; RFC 9114, Section 7.2.4.2 [3].
func TestCriticalStreams(t *testing.T) {
	srv, cli := connect(t, &Config{}, nil)
	control := cli.streams[3].data
	typ, n := wire.ParseVarint(control)
	require.EqualValues(t, streamControl, typ)
	r := controlReader{}
	frames, err := readControlStream(&r, control[n:], 5)
	require.Nil(t, err)
	require.Len(t, frames, 1)
	require.Equal(t, varint(streamQPACKEncoder), cli.streams[7].data)
	require.Equal(t, varint(streamQPACKDecoder), cli.streams[11].data)
	require.NoError(t, srv.closed)
}

// TestFewStreamsAllowed: the critical streams open one by one, as the peer allows them.
// RFC 9114, Section 6.2 [3].
func TestFewStreamsAllowed(t *testing.T) {
	srv, cli := connectWith(t, &Config{}, &Config{}, func(server, _ *conn.Config) { server.InitialMaxStreamsUni = 1 })
	require.NotNil(t, cli.h.out[outControl].qs)
	require.Nil(t, cli.h.out[outDecoder].qs)
	srv.echo()
	s, err := cli.h.OpenRequest(getFields, true)
	require.NoError(t, err)
	cli.run()
	require.True(t, cli.want(EventFields).End)
	s.Release()
}

// TestServerGoAway: the server finishes the requests that it has and rejects later ones.
// RFC 9114, Section 4.1.1 [3, 4]; RFC 9114, Section 5.2 [1, 2, 3].
func TestServerGoAway(t *testing.T) {
	srv, cli := connect(t, &Config{}, &Config{})
	accepted, err := cli.h.OpenRequest(getFields, true)
	require.NoError(t, err)
	cli.run()
	require.NoError(t, srv.h.GoAway())
	require.NoError(t, srv.h.GoAway())
	rejected, err := cli.h.OpenRequest(getFields, true) // crosses the GOAWAY
	require.NoError(t, err)
	cli.run()

	ev := cli.want(EventGoAway)
	require.Equal(t, conn.StreamID(4), ev.ID)
	ev = cli.want(EventCanceled)
	require.Same(t, rejected, ev.Stream)
	require.Equal(t, RequestRejected, ev.Code)
	require.Equal(t, 1, countKind(cli.events, EventCanceled))
	require.Equal(t, 1, countKind(cli.events, EventGoAway))
	require.EqualValues(t, 1, srv.h.Stats().Rejected)
	_, err = cli.h.OpenRequest(getFields, true)
	require.ErrorIs(t, err, ErrGoAway)
	rejected.Release()

	require.NoError(t, srv.accepted().SendFields(okFields, true))
	cli.run()
	require.Same(t, accepted, cli.want(EventFields).Stream)
	srv.want(EventAcked)
	require.NoError(t, srv.closed)
	require.NoError(t, cli.closed)
}

// TestGoAwayMayShrink: a server sends a second GOAWAY with a lower ID.
// RFC 9114, Section 5.2 [5].
func TestGoAwayMayShrink(t *testing.T) {
	srv, cli := connect(t, nil, &Config{})
	var reqs []*Stream
	for range 4 {
		s, err := cli.h.OpenRequest(getFields, true)
		require.NoError(t, err)
		reqs = append(reqs, s)
	}
	control := srv.open(conn.Uni, settings(frame(frameGoAway, varint(1<<62-4)...)), false)
	cli.run()
	cli.want(EventGoAway)
	cli.refuse(EventCanceled)
	srv.write(control, concat(frame(frameGoAway, 8), frame(frameGoAway, 8)), false)
	cli.run()
	srv.write(control, concat(frame(frameGoAway, 4), frame(frameGoAway, 4)), false)
	cli.run()
	var canceled []*Stream
	for _, ev := range cli.events {
		if ev.Kind == EventCanceled {
			canceled = append(canceled, ev.Stream)
		}
	}
	require.Equal(t, []*Stream{reqs[2], reqs[3], reqs[1]}, canceled, "once each, in the order of their IDs")
	require.NoError(t, srv.closed)
}

// TestGoAwayFlood: a GOAWAY that concerns no request makes no list of them.
func TestGoAwayFlood(t *testing.T) {
	srv, cli := connect(t, nil, &Config{})
	for range 100 {
		_, err := cli.h.OpenRequest(getFields, true)
		require.NoError(t, err)
	}
	srv.open(conn.Uni, settings(frame(frameGoAway, varint(4000)...)), false)
	cli.run()
	require.EqualValues(t, 4000, cli.want(EventGoAway).ID)
	id := uint64(4000)
	require.Zero(t, testing.AllocsPerRun(1000, func() {
		payload := wire.AppendVarint2(cli.h.frame[:0], id)
		require.Nil(t, cli.h.handleGoAway(payload))
		if id > 400 {
			id -= 4
		}
	}))
	cli.refuse(EventCanceled)
}

func TestClientGoAway(t *testing.T) {
	srv, cli := connect(t, &Config{}, &Config{})
	require.NoError(t, cli.h.GoAway())
	cli.run()
	require.Equal(t, conn.StreamID(0), srv.want(EventGoAway).ID)
	_, err := cli.h.OpenRequest(getFields, true)
	require.NoError(t, err, "it says nothing of requests")
}

// TestStreamLimit: OpenRequest waits for the peer's limit.
func TestStreamLimit(t *testing.T) {
	srv, cli := connectWith(t, &Config{}, &Config{}, func(server, _ *conn.Config) { server.InitialMaxStreamsBidi = 2 })
	for range 2 {
		_, err := cli.h.OpenRequest(getFields, true)
		require.NoError(t, err)
	}
	_, err := cli.h.OpenRequest(getFields, true)
	require.ErrorIs(t, err, conn.ErrStreamLimit)
	cli.run()
	cli.refuse(EventRequestsAvailable)
	for _, ev := range slices.Clone(srv.events) {
		if ev.Kind == EventFields {
			require.NoError(t, ev.Stream.SendFields(okFields, true))
			ev.Stream.Release()
		}
	}
	cli.run()
	cli.want(EventRequestsAvailable)
	_, err = cli.h.OpenRequest(getFields, true)
	require.NoError(t, err)
}

// TestRequestBeforeHandshake: OpenRequest works as early as possible, and an event says so.
// RFC 9114, Section 7.2.4.2 [2, 4].
func TestRequestBeforeHandshake(t *testing.T) {
	srv, cli := connect(t, &Config{}, &Config{})
	q, err := cli.node.Dial(cli.net.Now(), conn.Target{Remote: srv.node.Addr, ServerName: "lazo.test"}, newClientConfig())
	require.NoError(t, err)
	*cli = side{t: t, net: cli.net, node: cli.node, q: q, cfg: &Config{}}
	cli.node.OnEvent = cli.handle
	srv.q, srv.h = nil, nil
	cli.h, err = NewConn(q, cli.cfg)
	require.NoError(t, err)
	_, err = cli.h.OpenRequest(getFields, true)
	require.ErrorIs(t, err, conn.ErrStreamLimit)
	cli.run()
	cli.want(EventRequestsAvailable)
}

func TestClosedByPeer(t *testing.T) {
	srv, cli := connect(t, &Config{}, &Config{})
	s, err := cli.h.OpenRequest(postFields, false)
	require.NoError(t, err)
	cli.run()
	srv.q.Close(uint64(NoError), "bye")
	cli.run()
	ev := cli.want(EventClosed)
	var aerr *conn.ApplicationError
	require.ErrorAs(t, ev.Err, &aerr)
	require.Equal(t, "bye", aerr.Reason)
	_, err = s.Read(make([]byte, 1))
	require.ErrorIs(t, err, conn.ErrClosed)
	_, err = s.Write([]byte{1})
	require.ErrorIs(t, err, conn.ErrClosed)
	s.Release()
	_, err = cli.h.OpenRequest(getFields, true)
	require.ErrorIs(t, err, conn.ErrClosed)
	require.Equal(t, 1, countKind(srv.events, EventClosed))
}

func FuzzSettings(f *testing.F) {
	f.Add(concat(setting(6, 100), setting(0x21, 0), setting(8, 1)))
	f.Add([]byte{2, 0})
	f.Add(bytes.Repeat([]byte{0x33}, 9))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseSettings(b)
		if err != nil {
			return
		}
		if len(m) > maxSettings || m[SettingDatagrams] > 1 {
			t.Fatalf("%v", m)
		}
		var again []byte
		for id, v := range m {
			again = append(again, setting(id, v)...)
		}
		if m2, err := parseSettings(again); err != nil || !maps.Equal(m, m2) {
			t.Fatalf("%v became %v, %v", m, m2, err)
		}
	})
}

// FuzzControlStream feeds a control stream whole and in pieces. The results must be the same, and
// memory must stay bounded.
func FuzzControlStream(f *testing.F) {
	f.Add(settings()[1:], true)
	f.Add(concat(settings()[1:], frame(frameGoAway, 4), frame(0x21, 1, 2)), false)
	f.Add(concat(settings()[1:], frame(framePriorityUpdateRequest, 0, 'i')), true)
	f.Fuzz(func(t *testing.T, b []byte, server bool) {
		whole, pieces := controlReader{server: server}, controlReader{server: server}
		f1, err1 := readControlStream(&whole, b, len(b))
		f2, err2 := readControlStream(&pieces, b, 1)
		if !slices.Equal(f1, f2) || (err1 == nil) != (err2 == nil) || err1 != nil && *err1 != *err2 {
			t.Fatalf("%x: %q %v, in pieces %q %v", b, f1, err1, f2, err2)
		}
		if len(pieces.buf) > maxSettingsFrame {
			t.Fatalf("%d bytes held", len(pieces.buf))
		}
	})
}
