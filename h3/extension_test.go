package h3

import (
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/internal/require"
)

var connectFields = []Field{
	{Name: ":method", Value: "CONNECT"}, {Name: ":protocol", Value: "webtransport"}, {Name: ":scheme", Value: "https"},
	{Name: ":authority", Value: "lazo.test"}, {Name: ":path", Value: "/wt"},
}

// TestExtendedConnect opens a tunnel (RFC 9220) with datagrams both ways (RFC 9297).
func TestExtendedConnect(t *testing.T) {
	cfg := &Config{ExtendedConnect: true, Datagrams: true}
	srv, cli := connect(t, cfg, &Config{Datagrams: true})
	srv.on = func(ev Event) {
		switch s := ev.Stream; ev.Kind {
		case EventFields:
			require.Equal(t, connectFields, ev.Fields)
			require.False(t, ev.End)
			require.NoError(t, s.SendFields(okFields, false))
		case EventReadable:
			if echoBody(s) {
				s.CloseWrite()
				s.Release()
			}
		case EventDatagram:
			f := s.Datagrams()
			for b, ok := f.Receive(); ok; b, ok = f.Receive() {
				_, err := f.Send(append([]byte("re: "), b...), conn.DatagramOptions{})
				require.NoError(t, err)
			}
		}
	}
	for range 3 { // flow IDs other than 0
		s, err := cli.h.OpenRequest(connectFields, false)
		require.NoError(t, err)
		f := s.Datagrams()
		require.Positive(t, f.MaxSize())
		_, err = f.Send([]byte("first"), conn.DatagramOptions{}) // may overtake the request
		require.NoError(t, err)
		_, err = s.Write([]byte("through the tunnel"))
		require.NoError(t, err)
		cli.run()
		require.Same(t, s, cli.want(EventDatagram).Stream)
		b, ok := f.Receive()
		require.True(t, ok)
		require.Equal(t, "re: first", string(b))
		require.NoError(t, s.CloseWrite())
		cli.run()
		body, err := readAll(s)
		require.Equal(t, "through the tunnel", string(body))
		require.ErrorIs(t, err, io.EOF)
		s.Release()
		cli.events = nil
	}
	require.Zero(t, srv.h.Stats().Open)
}

// TestDatagramsNeedBothSettings: none are sent until both sides allow them. RFC 9221, Section 3
// [8], leaves it to HTTP/3 what happens without them.
// RFC 9297, Section 2.1.1 [3].
func TestDatagramsNeedBothSettings(t *testing.T) {
	srv, cli := connect(t, &Config{ExtendedConnect: true}, &Config{Datagrams: true})
	s, err := cli.h.OpenRequest(connectFields, false)
	require.NoError(t, err)
	_, err = s.Datagrams().Send([]byte("x"), conn.DatagramOptions{})
	require.ErrorIs(t, err, conn.ErrTooLarge)
	require.Zero(t, s.Datagrams().MaxSize())
	cli.run()
	require.Nil(t, srv.accepted().Datagrams())
	cli.q.SendDatagram([]byte{0}, conn.DatagramOptions{})
	cli.run()
	require.Contains(t, srv.others, conn.EventDatagramReadable, "the caller's, without Config.Datagrams")
}

// TestDatagramsForOrdinaryRequests: datagrams wait until the application asks for them.
// RFC 9297, Section 2 [1].
func TestDatagramsForOrdinaryRequests(t *testing.T) {
	srv, cli := connect(t, &Config{Datagrams: true}, &Config{Datagrams: true})
	srv.on = func(ev Event) {
		if srv.events = append(srv.events, ev); ev.Kind == EventFields {
			ev.Stream.Datagrams()
		}
	}
	s, err := cli.h.OpenRequest(postFields, false)
	require.NoError(t, err)
	_, err = s.Datagrams().Send([]byte("x"), conn.DatagramOptions{})
	require.NoError(t, err)
	cli.run()
	f := srv.accepted().Datagrams()
	require.Equal(t, 1, f.Len())
	srv.want(EventDatagram)
	srv.accepted().Release()
	_, err = f.Send(nil, conn.DatagramOptions{})
	require.ErrorIs(t, err, conn.ErrClosed)
}

// TestDatagramsWithoutUse: a request whose method has no datagrams gets some, on either side (RFC
// 9297, Section 2).
// RFC 9297, Section 2 [2].
func TestDatagramsWithoutUse(t *testing.T) {
	srv, cli := connect(t, &Config{Datagrams: true}, &Config{Datagrams: true})
	s, err := cli.h.OpenRequest(postFields, false)
	require.NoError(t, err)
	cli.run()
	for range 5 {
		_, err = s.Datagrams().Send([]byte("x"), conn.DatagramOptions{})
		require.NoError(t, err)
	}
	cli.run()
	require.Equal(t, DatagramError, srv.want(EventCanceled).Code)
	require.Equal(t, DatagramError, cli.want(EventCanceled).Code)
	require.EqualValues(t, 1, srv.h.Stats().Malformed)
	srv.accepted().Release()
	s.Release()

	srv, cli = connect(t, &Config{Datagrams: true}, &Config{Datagrams: true})
	_, err = cli.h.OpenRequest(postFields, false)
	require.NoError(t, err)
	cli.run()
	_, err = srv.accepted().Datagrams().Send([]byte("x"), conn.DatagramOptions{})
	require.NoError(t, err)
	srv.run()
	require.Equal(t, DatagramError, cli.want(EventCanceled).Code)
	require.Equal(t, DatagramError, srv.want(EventCanceled).Code)
	require.NoError(t, cli.closed)
	require.NoError(t, srv.closed)
}

// TestStreamTypes hands the streams of an extension to the caller, in both directions and on both
// sides.
func TestStreamTypes(t *testing.T) {
	cfg := &Config{StreamTypes: []uint64{0x54, 0x41}}
	srv, cli := connect(t, cfg, cfg)
	for _, p := range []struct{ from, to *side }{{srv, cli}, {cli, srv}} {
		u, err := p.from.h.OpenUni(0x54)
		require.NoError(t, err)
		_, err = u.Write([]byte("uni"))
		require.NoError(t, err)
		require.NoError(t, u.CloseWrite())
		u.Release()
		b, err := p.from.q.OpenStream(conn.Bidi)
		require.NoError(t, err)
		_, err = b.Write(append(varint(0x41), "bidi"...))
		require.NoError(t, err)
		p.from.run()

		var got []string
		for _, ev := range p.to.events {
			if ev.Kind != EventStream {
				continue
			}
			require.Nil(t, ev.QUIC.UserData)
			var buf [100]byte
			n, err := ev.QUIC.Read(buf[:])
			require.NoError(t, err)
			got = append(got, string(buf[:n]))
			require.Equal(t, map[string]uint64{"uni": 0x54, "bidi": 0x41}[string(buf[:n])], ev.Type)
			ev.QUIC.UserData = got
		}
		slices.Sort(got)
		require.Equal(t, []string{"bidi", "uni"}, got)

		p.to.others = nil
		_, err = b.Write([]byte("more"))
		require.NoError(t, err)
		p.from.run()
		for _, ev := range p.to.events {
			if ev.Kind == EventStream && ev.Type == 0x41 {
				ev.QUIC.Read(make([]byte, 100))
				ev.QUIC.Read(make([]byte, 100))
			}
		}
		_, err = b.Write([]byte("and more"))
		require.NoError(t, err)
		p.from.run()
		require.Contains(t, p.to.others, conn.EventStreamReadable, "its events are the caller's")
	}
	require.Zero(t, srv.h.Stats().Open)
	require.NoError(t, cli.closed)
	require.NoError(t, srv.closed)
}

// TestStreamTypeMisplaced: a type of Config.StreamTypes is an error where a frame is expected.
func TestStreamTypeMisplaced(t *testing.T) {
	cfg := &Config{StreamTypes: []uint64{0x41}}
	misplaced := frame(0x41, 1, 2, 3)
	for _, r := range []rule{
		{name: "control", control: settings(misplaced)},
		{name: "request", request: concat(headers(post...), misplaced)},
		{name: "body", request: concat(headers(post...), frame(frameData, 'x'), misplaced)},
	} {
		t.Run(r.name, func(t *testing.T) {
			srv, cli := connect(t, cfg, nil)
			srv.echo()
			r.send(cli, nil)
			cli.wantClosed(FrameError)
		})
	}
	srv, cli := connect(t, nil, cfg)
	s, err := cli.h.OpenRequest(getFields, true)
	require.NoError(t, err)
	srv.run()
	srv.open(conn.Uni, settings(), false)
	srv.write(srv.streams[s.ID()], misplaced, true)
	srv.run()
	srv.wantClosed(FrameError)
}

// TestExpects: a request is expected until it has ended.
func TestExpects(t *testing.T) {
	srv, cli := connect(t, &Config{}, &Config{})
	require.True(t, srv.h.Expects(0))
	require.False(t, cli.h.Expects(0))
	_, err := cli.h.OpenRequest(postFields, false)
	require.NoError(t, err)
	cli.run()
	require.True(t, srv.h.Expects(0))
	require.True(t, srv.h.Expects(4))
	require.True(t, cli.h.Expects(0))
	srv.accepted().Release()
	require.False(t, srv.h.Expects(0))
}

// TestForeignUserData: the caller may keep a request as UserData of a stream of its own.
func TestForeignUserData(t *testing.T) {
	cfg := &Config{StreamTypes: []uint64{0x54}}
	srv, cli := connect(t, cfg, cfg)
	s, err := cli.h.OpenRequest(postFields, false)
	require.NoError(t, err)
	u, err := cli.h.OpenUni(0x54)
	require.NoError(t, err)
	u.UserData = s
	cli.run()
	srv.want(EventStream).QUIC.StopSending(7)
	cli.run()
	require.Contains(t, cli.others, conn.EventStreamStopped)
	cli.refuse(EventCanceled)
}

// RFC 9218, Section 7 [1].
func TestPriorityOfRequests(t *testing.T) {
	srv, cli := connect(t, &Config{}, nil)
	control := cli.open(conn.Uni, settings(
		frame(framePriorityUpdateRequest, append(varint(4), "u=1"...)...), // before the request
		frame(framePriorityUpdateRequest, append(varint(4), "u=2, i"...)...)), false)
	cli.run()
	for range 3 {
		cli.open(conn.Bidi, headers(with(get, "priority", "u=6")...), false)
		cli.run()
	}
	cli.write(control, concat(
		frame(framePriorityUpdateRequest, append(varint(8), "u=0"...)...),
		// ignored, because it is too long
		frame(framePriorityUpdateRequest, append(varint(8), "u=1, "+strings.Repeat("a", maxPriorityField)...)...)), false)
	cli.run()
	var got []conn.Priority
	for i, ev := range srv.events {
		if ev.Kind == EventPriority {
			require.Equal(t, ev.Stream.ID(), ev.ID)
			require.Contains(t, []EventKind{EventFields, EventPriority}, srv.events[i-1].Kind)
			got = append(got, ev.Priority)
		}
	}
	require.Equal(t, []conn.Priority{{Urgency: 3}, {Urgency: -1, Incremental: true}, {Urgency: 3}, {Urgency: -3}}, got)
	require.Empty(t, srv.h.early)
	srv.events[len(srv.events)-1].Stream.Release()
	// this request has ended
	cli.write(control, frame(framePriorityUpdateRequest, append(varint(8), "u=1"...)...), false)
	cli.run()
	require.Empty(t, srv.h.early)
	for i := range uint64(1000) {
		cli.write(control, frame(framePriorityUpdateRequest, append(varint(12+4*(i%80)), "u=1"...)...), false)
	}
	cli.run()
	require.Len(t, srv.h.early, maxEarlyPriorities)
	require.NoError(t, cli.closed)
}

// TestPriorityUnsaid: responses take turns unless the client has asked for an order. An empty field
// asks for the defaults of RFC 9218, which are an order. A field that cannot be parsed asks for
// nothing.
func TestPriorityUnsaid(t *testing.T) {
	const size = 100 << 10
	for _, tt := range []struct {
		name    string
		field   []string
		update  string
		inOrder bool
	}{
		{name: "nothing"},
		{name: "a field that cannot be parsed", field: []string{"priority", "u=="}},
		{name: "an update that is too long", update: strings.Repeat("a", maxPriorityField+1)},
		{name: "incremental", field: []string{"priority", "i"}},
		{name: "an empty field", field: []string{"priority", ""}, inOrder: true},
		{name: "a field with other parameters", field: []string{"priority", "x=1"}, inOrder: true},
		{name: "urgency alone", field: []string{"priority", "u=3"}, inOrder: true},
		{name: "an empty update", update: " ", inOrder: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv, cli := connect(t, &Config{}, nil)
			control := settings()
			if tt.update != "" {
				for id := range uint64(2) {
					control = append(control, frame(framePriorityUpdateRequest, append(varint(4*id), strings.TrimSpace(tt.update)...)...)...)
				}
			}
			cli.open(conn.Uni, control, false)
			cli.run()
			for range 2 {
				cli.open(conn.Bidi, headers(with(get, tt.field...)...), true)
			}
			cli.run()
			require.NoError(t, cli.closed)
			for _, ev := range srv.events {
				if ev.Kind == EventFields {
					require.NoError(t, ev.Stream.SendFields(okFields, false))
					_, err := ev.Stream.Write(make([]byte, size))
					require.NoError(t, err)
					require.NoError(t, ev.Stream.CloseWrite())
				}
			}
			most := 0 // how far the first was ahead
			cli.net.RunUntil(time.Minute, func() bool {
				first, second := len(cli.streams[0].data), len(cli.streams[4].data)
				most = max(most, first-second)
				return min(first, second) > size
			})
			if tt.inOrder {
				require.Greater(t, most, size*3/4)
			} else {
				require.Less(t, most, 8<<10)
			}
		})
	}
}

// TestPriorityOrder: of two responses the more urgent one arrives first.
// RFC 9218, Section 7.2 [1, 3, 5, 9]; RFC 9218, Section 10 [1].
func TestPriorityOrder(t *testing.T) {
	srv, cli := connect(t, &Config{}, &Config{})
	var reqs, served []*Stream
	for range 2 {
		s, err := cli.h.OpenRequest(getFields, true)
		require.NoError(t, err)
		reqs = append(reqs, s)
	}
	require.NoError(t, reqs[1].RequestPriority(conn.Priority{Urgency: -3}))
	require.NoError(t, reqs[0].RequestPriority(conn.Priority{Urgency: 4}))
	cli.run()
	for _, ev := range srv.events {
		if ev.Kind == EventFields {
			served = append(served, ev.Stream)
		}
	}
	require.Error(t, served[0].RequestPriority(conn.Priority{}))
	for _, s := range served {
		require.NoError(t, s.SendFields(okFields, false))
		_, err := s.Write(make([]byte, 100<<10))
		require.NoError(t, err)
		require.NoError(t, s.CloseWrite())
	}
	cli.events = nil
	var first []byte
	cli.on = func(ev Event) {
		if ev.Kind == EventReadable {
			b, err := readAll(ev.Stream)
			if ev.Stream == reqs[1] {
				first = append(first, b...)
			}
			if err == io.EOF && ev.Stream == reqs[0] {
				require.Len(t, first, 100<<10)
			}
		}
	}
	cli.run()
	require.Len(t, first, 100<<10)
}
