package h3

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/internal/require"
)

// request opens a request stream of a scripted client, with b on it.
func (p *side) request(b []byte, fin bool) *rawStream {
	if p.streams[2] == nil {
		p.open(conn.Uni, settings(), false)
	}
	s := p.open(conn.Bidi, b, fin)
	p.run()
	return s
}

// accepted returns the stream of p's first EventFields.
func (p *side) accepted() *Stream {
	p.t.Helper()
	return p.want(EventFields).Stream
}

// TestReadAcrossFrames reads a body in frames of one byte, by Read and by Peek. Frames of unknown
// types and empty frames are among them.
func TestReadAcrossFrames(t *testing.T) {
	body := []byte("the quick brown fox jumps over the lazy dog")
	b := headers(post...)
	for _, c := range body {
		b = concat(b, frame(frameData), frame(frameData, c), frame(reserved(1), 1, 2, 3))
	}
	b = append(b, headers("x-end", "1")...)

	t.Run("Read", func(t *testing.T) {
		srv, cli := connect(t, &Config{}, nil)
		cli.request(b, true)
		s := srv.accepted()
		got, err := readAll(s)
		require.Equal(t, body, got)
		require.ErrorIs(t, err, conn.ErrWouldBlock)
		srv.drain()
		_, err = s.Read(nil)
		require.NoError(t, err)
		_, err = readAll(s)
		require.ErrorIs(t, err, io.EOF)
	})
	t.Run("Peek", func(t *testing.T) {
		srv, cli := connect(t, &Config{}, nil)
		cli.request(b, true)
		s := srv.accepted()
		got, err := s.Peek(10)
		require.NoError(t, err)
		require.Equal(t, body[:10], got)
		got, err = s.Peek(3)
		require.NoError(t, err)
		require.Equal(t, body[:3], got[:3])
		s.Discard(4)
		var two [2]byte
		n, err := s.Read(two[:])
		require.NoError(t, err)
		require.Equal(t, body[4:6], two[:n])
		got, err = s.Peek(1024)
		require.Equal(t, body[6:], got)
		require.ErrorIs(t, err, conn.ErrWouldBlock, "trailers come next")
		srv.drain()
		got, err = s.Peek(1024)
		require.Equal(t, body[6:], got)
		require.ErrorIs(t, err, io.EOF)
		s.Discard(len(got))
		got, err = s.Peek(1)
		require.Empty(t, got)
		require.ErrorIs(t, err, io.EOF)
	})
}

// TestPeekWithoutCopy: bytes within one frame are not copied. Discard of a part of them leaves the
// rest.
func TestPeekWithoutCopy(t *testing.T) {
	srv, cli := connect(t, &Config{}, nil)
	cli.request(concat(headers(post...), frame(frameData, []byte("abcdef")...), frame(frameData, 'g')), false)
	s := srv.accepted()
	b, err := s.Peek(1)
	require.NoError(t, err)
	require.Equal(t, "abcdef", string(b))
	require.Empty(t, s.joined)
	s.Discard(2)
	b, err = s.Peek(100)
	require.ErrorIs(t, err, conn.ErrWouldBlock)
	require.Equal(t, "cdefg", string(b))
	require.Panics(t, func() { s.Discard(6) })
}

// TestBackPressure: if the application does not read, the peer cannot send more.
func TestBackPressure(t *testing.T) {
	srv, cli := connect(t, &Config{}, &Config{})
	s, err := cli.h.OpenRequest(postFields, false)
	require.NoError(t, err)
	sent := 0
	chunk := make([]byte, 64<<10)
	for range 100 {
		n, _ := s.Write(chunk)
		sent += n
		cli.net.RunFor(rtt)
	}
	require.Less(t, sent, 1<<20)
	r := srv.accepted()
	received := 0
	for range 1000 {
		n, err := r.Read(chunk)
		received += n
		if err != nil {
			require.ErrorIs(t, err, conn.ErrWouldBlock)
			if received == sent {
				break
			}
			cli.net.RunFor(rtt)
		}
	}
	require.Equal(t, sent, received)
	cli.run()
	cli.want(EventWritable)
}

// TestWriteFillsTheStream: a frame fills the room of the stream below to the byte. The event comes
// when there is room again.
func TestWriteFillsTheStream(t *testing.T) {
	for unsent := 20; unsent < 140; unsent++ {
		srv, cli := connectWith(t, &Config{}, &Config{}, func(_, client *conn.Config) { client.UnsentBytes = unsent })
		srv.echo()
		s, err := cli.h.OpenRequest(postFields, false)
		require.NoError(t, err)
		cli.run()
		body := bytes.Repeat([]byte("abcdefghij"), 50)
		left, done := body, false
		var got []byte
		send := func() {
			for len(left) > 0 {
				free := s.Available()
				n, err := s.Write(left)
				require.Equal(t, min(free, len(left)), n)
				left = left[n:]
				if err != nil {
					require.ErrorIs(t, err, conn.ErrWouldBlock)
					require.Zero(t, s.Available())
					return
				}
			}
			require.NoError(t, s.CloseWrite())
		}
		cli.on = func(ev Event) {
			switch ev.Kind {
			case EventWritable:
				send()
			case EventReadable:
				b, err := readAll(s)
				got, done = append(got, b...), err == io.EOF
			}
		}
		send()
		cli.net.RunUntil(time.Minute, func() bool { return done })
		require.Equal(t, body, got)
	}
}

// TestWriteWithRoomForLess: one or two bytes of room are too few for a frame.
func TestWriteWithRoomForLess(t *testing.T) {
	for room := 0; room <= 3; room++ {
		srv, cli := connectWith(t, &Config{}, &Config{}, func(_, client *conn.Config) { client.UnsentBytes = 1000 })
		srv.echo()
		s, err := cli.h.OpenRequest(postFields, false)
		require.NoError(t, err)
		free := s.qs.Available()
		n, err := s.Write(make([]byte, free-room-3)) // a header of 3 bytes
		require.NoError(t, err)
		require.Equal(t, room, s.qs.Available())
		k, err := s.Write([]byte("0123456789"))
		require.ErrorIs(t, err, conn.ErrWouldBlock)
		require.Equal(t, max(room-2, 0), k)
		cli.run()
		cli.want(EventWritable)
		_, err = s.Write([]byte("0123456789")[k:])
		require.NoError(t, err)
		require.NoError(t, s.CloseWrite())
		cli.run()
		body, err := readAll(s)
		require.ErrorIs(t, err, io.EOF)
		require.Len(t, body, n+10)
		require.Equal(t, "0123456789", string(body[n:]))
	}
}

// TestFieldsAreQueuedWhole sends fields for which the stream below has no room.
func TestFieldsAreQueuedWhole(t *testing.T) {
	srv, cli := connectWith(t, &Config{}, &Config{}, func(server, _ *conn.Config) { server.UnsentBytes = 100 })
	big := []Field{{Name: ":status", Value: "103"}, {Name: "link", Value: strings.Repeat("z", 5000)}}
	var blocked bool
	srv.on = func(ev Event) {
		switch ev.Kind {
		case EventFields:
			s := ev.Stream
			n := 0
			for ; !blocked; n++ {
				err := s.SendFields(big, false)
				if err != nil {
					require.ErrorIs(t, err, conn.ErrWouldBlock)
					blocked = true
				}
			}
			require.InDelta(t, maxQueued/3500, n, 8)
			_, err := s.Write([]byte("x"))
			require.Error(t, err, "not before the final response")
		case EventWritable:
			require.NoError(t, ev.Stream.SendFields(okFields, false))
			require.NoError(t, ev.Stream.SendFields([]Field{{Name: "x-end", Value: strings.Repeat("1", 3000)}}, true))
			ev.Stream.Release() // and yet it arrives
		}
	}
	s, err := cli.h.OpenRequest(getFields, true)
	require.NoError(t, err)
	cli.net.RunFor(time.Second)
	_, err = readAll(s)
	require.ErrorIs(t, err, io.EOF)
	last := cli.events[len(cli.events)-1]
	require.True(t, blocked)
	require.Equal(t, EventReadable, last.Kind)
	require.Equal(t, "x-end", cli.events[len(cli.events)-2].Fields[0].Name)
	require.Zero(t, srv.h.Stats().Open)
}

// RFC 9114, Section 4.1 [1]; RFC 9114, Section 7.1 [1]; RFC 9114, Section 7.2.1 [1]; RFC 9114,
// Section 4.2 [3]; RFC 9114, Section 4.3 [1].
func TestSendRules(t *testing.T) {
	srv, cli := connect(t, &Config{}, &Config{})
	var herr *Error
	for name, fields := range badRequests() {
		list := []Field{}
		for i := 0; i < len(fields); i += 2 {
			list = append(list, Field{Name: fields[i], Value: fields[i+1]})
		}
		_, err := cli.h.OpenRequest(list, true)
		if name == ":protocol not offered" {
			require.ErrorIs(t, err, ErrNoExtendedConnect)
			continue
		}
		require.ErrorAs(t, err, &herr, name)
	}
	require.Zero(t, cli.h.Stats().Requests)

	s, err := cli.h.OpenRequest(postFields, false)
	require.NoError(t, err)
	cli.run()
	require.ErrorAs(t, s.SendFields(okFields, false), &herr, "trailers have no :status")
	require.NoError(t, s.SendFields([]Field{{Name: "x", Value: "1"}}, false))
	_, err = s.Write([]byte("x"))
	require.ErrorIs(t, err, ErrMessageEnded)
	require.ErrorIs(t, s.SendFields(nil, false), ErrMessageEnded)
	require.NoError(t, s.CloseWrite())
	require.NoError(t, s.CloseWrite())

	r := srv.accepted()
	_, err = r.Write([]byte("x"))
	require.ErrorAs(t, err, &herr)
	require.ErrorAs(t, r.CloseWrite(), &herr)
	require.ErrorAs(t, r.SendFields([]Field{{Name: ":status", Value: "100"}}, true), &herr)
	require.ErrorAs(t, r.SendFields([]Field{{Name: ":status", Value: "200"}, {Name: "Upper", Value: "1"}}, true), &herr)
	require.Zero(t, r.Available())
	require.NoError(t, r.SendFields(okFields, false))
	require.Positive(t, r.Available())
	_, err = srv.h.OpenRequest(getFields, true)
	require.Error(t, err, "servers open no requests")
}

// TestPeerFieldLimit respects SETTINGS_MAX_FIELD_SECTION_SIZE.
// RFC 9114, Section 4.2.2 [1]; RFC 9114, Section 7.2.4.2 [1, 7].
func TestPeerFieldLimit(t *testing.T) {
	srv, cli := connect(t, &Config{MaxFieldSectionSize: 300}, &Config{MaxFieldSectionSize: 100})
	_, err := cli.h.OpenRequest(append(getFields, Field{Name: "x", Value: strings.Repeat("x", 300)}), true)
	require.ErrorIs(t, err, ErrFieldsTooLarge)
	_, err = cli.h.OpenRequest(getFields, true)
	require.NoError(t, err)
	cli.run()
	r := srv.accepted()
	require.ErrorIs(t, r.SendFields([]Field{{Name: ":status", Value: "200"}, {Name: "x", Value: strings.Repeat("x", 30)}}, true),
		ErrFieldsTooLarge)
	require.NoError(t, r.SendFields(okFields, true), "and nothing of the first was sent")
}

// TestRequestTooLarge: the server answers 431, wherever the limit is passed, and drops the request.
// RFC 9114, Section 4.1.1 [1].
func TestRequestTooLarge(t *testing.T) {
	for name, b := range map[string][]byte{
		"decoded":              headers(with(get, "x", strings.Repeat("x", 2000))...),
		"many fields":          headers(with(get, strings.Split(strings.Repeat("x,,", 40), ",")[:80]...)...),
		"by its length":        append(varint(frameHeaders), varint(1<<50)...),
		"indexed, much larger": frame(frameHeaders, append([]byte{0, 0}, bytes.Repeat([]byte{0xff, 0x16}, 900)...)...),
	} {
		t.Run(name, func(t *testing.T) {
			srv, cli := connect(t, &Config{MaxFieldSectionSize: 1000}, nil)
			s := cli.request(b, false)
			require.NoError(t, cli.closed)
			require.True(t, s.eof)
			require.Equal(t, []Field{{Name: ":status", Value: "431"}}, s.fields())
			require.Equal(t, NoError, s.stopped)
			srv.refuse(EventFields)
			require.EqualValues(t, 1, srv.h.Stats().TooLarge)
			require.Zero(t, srv.h.Stats().Open)
			require.Zero(t, srv.h.Stats().FieldBytes)
		})
	}
}

// TestFieldsInPieces sends sections byte by byte, short ones and long ones.
func TestFieldsInPieces(t *testing.T) {
	for _, n := range []int{0, 900, 990, 3000} {
		srv, cli := connect(t, &Config{}, nil)
		b := headers(with(get, "x", strings.Repeat("x", n))...)
		s := cli.request(nil, false)
		for i := 0; i < len(b); i += 1 + n/40 {
			srv.refuse(EventFields)
			cli.write(s, b[i:min(len(b), i+1+n/40)], false)
			cli.net.RunFor(rtt)
		}
		require.Equal(t, "x", srv.want(EventFields).Fields[4].Name)
		require.Zero(t, srv.h.Stats().FieldBytes)
	}
}

// TestPartialFieldsAreBounded: sections that never end take bounded memory.
func TestPartialFieldsAreBounded(t *testing.T) {
	srv, cli := connect(t, &Config{}, nil)
	var canceled int
	for range 40 {
		s := cli.request(concat(varint(frameHeaders), varint(60<<10), make([]byte, 59<<10)), false)
		if s.reset == ExcessiveLoad {
			canceled++
		}
		require.LessOrEqual(t, srv.h.Stats().FieldBytes, maxPartial+64<<10)
	}
	require.InDelta(t, 40-19, canceled, 2)
	require.NoError(t, cli.closed)
}

// TestExpireRequests cancels requests whose header does not come.
func TestExpireRequests(t *testing.T) {
	srv, cli := connect(t, &Config{}, nil)
	start := cli.net.Now()
	slow := cli.request([]byte{frameHeaders, 30, 0}, false)
	cli.request(headers(get...), false)
	slower := cli.request([]byte{frameHeaders, 30}, false)
	oldest := srv.h.ExpireRequests(start)
	require.True(t, !oldest.Before(start) && !oldest.After(start.Add(rtt)), "%v after the start", oldest.Sub(start))
	oldest = srv.h.ExpireRequests(oldest)
	require.True(t, !oldest.Before(start.Add(20*rtt)) && !oldest.After(cli.net.Now()), "%v after the start", oldest.Sub(start))
	cli.run()
	require.Equal(t, RequestIncomplete, slow.reset)
	require.Equal(t, RequestIncomplete, slow.stopped)
	require.Zero(t, slower.reset)
	require.EqualValues(t, 1, srv.h.Stats().HeaderTimeouts)
	require.True(t, srv.h.ExpireRequests(cli.net.Now()).IsZero())
	require.Equal(t, 1, srv.h.Stats().Open)

	// A stream on which nothing has come is no request yet.
	silent := cli.request(nil, false)
	late := cli.request(headers(get...), true)
	cli.run()
	require.True(t, srv.h.ExpireRequests(cli.net.Now()).IsZero())
	require.Equal(t, 2, srv.h.Stats().Open)
	cli.write(silent, []byte{frameHeaders, 30}, false)
	cli.run()
	require.Equal(t, 3, srv.h.Stats().Open)
	require.True(t, srv.h.ExpireRequests(cli.net.Now()).IsZero())
	cli.run()
	require.Equal(t, RequestIncomplete, silent.reset)
	require.Zero(t, late.reset)
	require.Equal(t, 2, srv.h.Stats().Open)
}

// TestCancel and the tests below it end streams in every way there is.
// RFC 9114, Section 4.1.1 [2].
func TestCancel(t *testing.T) {
	srv, cli := connect(t, &Config{}, &Config{})
	s, err := cli.h.OpenRequest(postFields, false)
	require.NoError(t, err)
	cli.run()
	r := srv.accepted()
	s.Cancel(RequestCancelled)
	var serr *conn.StreamError
	_, err = s.Read(make([]byte, 1))
	require.ErrorAs(t, err, &serr)
	require.False(t, serr.Remote)
	_, err = s.Write([]byte{1})
	require.ErrorAs(t, err, &serr)
	require.ErrorAs(t, s.CloseWrite(), &serr)
	cli.run()
	require.Equal(t, RequestCancelled, srv.want(EventCanceled).Code)
	require.NoError(t, srv.want(EventCanceled).Err)
	_, err = r.Read(make([]byte, 1))
	require.ErrorAs(t, err, &serr)
	require.True(t, serr.Remote)
	_, err = r.Write([]byte{1})
	require.ErrorAs(t, err, &serr)
	require.Positive(t, srv.h.Stats().Canceled)
	r.Release()
	s.Release()
	cli.run()
	cli.refuse(EventCanceled)
	require.Zero(t, srv.h.Stats().Open+cli.h.Stats().Open)
}

// TestEarlyResponse: a server answers before the request has ended, and stops the request with
// NoError.
// RFC 9114, Section 4.1 [11, 12].
func TestEarlyResponse(t *testing.T) {
	srv, cli := connect(t, &Config{}, &Config{})
	srv.on = func(ev Event) {
		if ev.Kind == EventFields {
			require.NoError(t, ev.Stream.SendFields(okFields, true))
			ev.Stream.Release()
		}
	}
	s, err := cli.h.OpenRequest(postFields, false)
	require.NoError(t, err)
	for err == nil {
		_, err = s.Write(make([]byte, 1000))
	}
	require.ErrorIs(t, err, conn.ErrWouldBlock)
	cli.run()
	cli.refuse(EventCanceled)
	require.True(t, cli.want(EventFields).End)
	cli.want(EventWritable)
	_, err = s.Write([]byte("x"))
	var serr *conn.StreamError
	require.ErrorAs(t, err, &serr)
	require.Equal(t, uint64(NoError), serr.Code)
	_, err = s.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)
	s.Release()
}

// RFC 9114, Section 4.1.1 [5, 6, 7].
func TestReleaseCancels(t *testing.T) {
	srv, cli := connect(t, &Config{}, nil)
	s := cli.request(headers(post...), false)
	srv.accepted().Release()
	cli.run()
	require.Equal(t, RequestCancelled, s.reset)
	require.Equal(t, RequestCancelled, s.stopped)

	srv, cli = connect(t, nil, &Config{})
	req, err := cli.h.OpenRequest(getFields, true)
	require.NoError(t, err)
	cli.run()
	req.Release()
	req.Release()
	cli.run()
	require.Equal(t, RequestCancelled, srv.streams[0].stopped)
	require.Zero(t, srv.streams[0].reset, "the request was sent whole")
}

// TestCanceledBeforeItsFields: a request ends before the application knows of it. The application
// never hears of it.
func TestCanceledBeforeItsFields(t *testing.T) {
	srv, cli := connect(t, &Config{}, nil)
	for range 300 { // more than there may be at once
		s := cli.request([]byte{frameHeaders, 30, 0}, false)
		s.Reset(uint64(RequestCancelled))
		s.StopSending(uint64(RequestCancelled))
		s.Release()
		cli.net.RunFor(rtt)
	}
	require.NoError(t, cli.closed)
	require.Empty(t, srv.events[1:], "but for the settings")
	require.Zero(t, srv.h.Stats().Open)
	require.Zero(t, srv.h.Stats().FieldBytes)
}

// TestAnswerToCanceledRequest: with which codes a server ends a request of which nobody knows yet.
// RFC 9114, Section 4.1 [10].
func TestAnswerToCanceledRequest(t *testing.T) {
	const why = GeneralProtocolError // the peer's
	for _, c := range []struct {
		name           string
		cancel         func(*conn.Stream)
		reset, stopped ErrorCode
	}{
		{"reset", func(q *conn.Stream) { q.Reset(uint64(why)) }, RequestIncomplete, 0},
		{"stopped", func(q *conn.Stream) { q.StopSending(uint64(why)) }, 0, RequestCancelled},
		{"ended", func(q *conn.Stream) { q.CloseWrite() }, RequestIncomplete, 0},
	} {
		for from, sent := range map[string][]byte{"nothing": nil, "a frame": frame(reserved(1), 1, 2), "half of a header": {frameHeaders, 30, 0}} {
			if c.name == "ended" && from == "half of a header" {
				continue // that ends the connection
			}
			t.Run(c.name+" behind "+from, func(t *testing.T) {
				srv, cli := connect(t, &Config{}, nil)
				s := cli.request(sent, false)
				cli.run()
				c.cancel(s.Stream)
				cli.run()
				require.Equal(t, c.reset, s.reset)
				require.Equal(t, c.stopped, s.stopped)
				require.NoError(t, cli.closed)
				require.Zero(t, srv.h.Stats().Open)
			})
		}
	}
}

// TestRapidReset: requests that are reset at once hold their credit until the
// application has released them.
func TestRapidReset(t *testing.T) {
	srv, cli := connect(t, &Config{}, nil)
	var held []*Stream
	srv.on = func(ev Event) {
		if ev.Kind == EventFields {
			held = append(held, ev.Stream)
		}
	}
	cli.open(conn.Uni, settings(), false)
	opened := 0
	for range 1000 {
		s, err := cli.q.OpenStream(conn.Bidi)
		if err != nil {
			cli.net.RunFor(rtt)
			continue
		}
		opened++
		cli.write(cli.stream(s), headers(get...), false)
		cli.net.RunFor(rtt)
		s.Reset(uint64(RequestCancelled))
		s.StopSending(uint64(RequestCancelled))
		s.Release()
	}
	require.Equal(t, 100, opened)
	require.Len(t, held, 100)
	for _, s := range held {
		s.Release()
	}
	cli.run()
	_, err := cli.q.OpenStream(conn.Bidi)
	require.NoError(t, err)
}

// TestEndOfHead: the content-length of a response to HEAD is not the length of its body.
func TestEndOfHead(t *testing.T) {
	srv, cli := connect(t, nil, &Config{})
	head := append([]Field{{Name: ":method", Value: "HEAD"}}, getFields[1:]...)
	_, err := cli.h.OpenRequest(head, true)
	require.NoError(t, err)
	cli.run()
	srv.open(conn.Uni, settings(), false)
	srv.write(srv.streams[0], headers(":status", "200", "content-length", "1000"), true)
	cli.run()
	require.True(t, cli.want(EventFields).End)
	cli.refuse(EventCanceled)
}

func TestAcked(t *testing.T) {
	srv, cli := connect(t, &Config{}, &Config{})
	_, err := cli.h.OpenRequest(getFields, true)
	require.NoError(t, err)
	cli.run()
	require.NoError(t, srv.accepted().SendFields(okFields, true))
	srv.refuse(EventAcked)
	cli.run()
	require.Same(t, srv.accepted(), srv.want(EventAcked).Stream)
	cli.want(EventAcked)
}

// TestStoppedAfterRelease: a client stops a response that is still queued after its release.
func TestStoppedAfterRelease(t *testing.T) {
	srv, cli := connectWith(t, &Config{}, nil, func(server, _ *conn.Config) { server.UnsentBytes = 100 })
	s := cli.request(headers(get...), true)
	r := srv.accepted()
	r.SetPriority(conn.Priority{Urgency: -1})
	for range 40 { // more than flow control and the stream take
		require.NoError(t, r.SendFields([]Field{{Name: ":status", Value: "103"}, {Name: "link", Value: strings.Repeat("z", 900)}}, false))
	}
	require.NoError(t, r.SendFields([]Field{{Name: ":status", Value: "200"}}, true))
	r.Release()
	require.Zero(t, srv.h.Stats().Open)
	require.Empty(t, srv.h.free, "it is not over yet")
	s.StopSending(uint64(RequestCancelled))
	cli.net.RunFor(rtt)
	require.Equal(t, []*Stream{r}, srv.h.free)
	cli.run()
	srv.refuse(EventCanceled)
	require.NoError(t, cli.closed)
}

// TestStoppedAfterCancel: a direction has ended. What the peer then says of it raises no event.
func TestStoppedAfterCancel(t *testing.T) {
	srv, cli := connect(t, &Config{}, nil)
	s := cli.request(headers(post...), false)
	srv.accepted().Cancel(InternalError)
	cli.run()
	require.Equal(t, InternalError, s.reset)
	require.Equal(t, InternalError, s.stopped)
	s.StopSending(uint64(RequestCancelled))
	s.Reset(uint64(RequestCancelled))
	cli.run()
	srv.refuse(EventCanceled)
	require.Same(t, srv.q, srv.h.QUIC())
}

func TestOpenUniLimit(t *testing.T) {
	_, cli := connectWith(t, &Config{}, &Config{}, func(server, _ *conn.Config) { server.InitialMaxStreamsUni = 4 })
	_, err := cli.h.OpenUni(0x54)
	require.NoError(t, err)
	_, err = cli.h.OpenUni(0x54)
	require.ErrorIs(t, err, conn.ErrStreamLimit)
}

// TestTakeChunk takes a body in frames of several sizes, by TakeChunk where that can be, and
// otherwise by Peek. A chunk is never taken beyond the end of its frame.
func TestTakeChunk(t *testing.T) {
	const size = len(conn.Chunk{})
	body := make([]byte, 0, 1<<20)
	b := headers(post...)
	for _, n := range []int{1, 100_000, size / 2, size, 3 * size, 10, 50_000} {
		payload := make([]byte, n)
		for i := range payload {
			payload[i] = byte((len(body) + i) * 251 >> 3)
		}
		body = append(body, payload...)
		b = append(b, frame(frameData, payload...)...)
	}
	srv, cli := connect(t, &Config{}, nil)
	cli.request(b, true)
	s := srv.accepted()
	var got []byte
	taken := 0
	for {
		if c, from := s.TakeChunk(new(conn.Chunk)); c != nil {
			got = append(got, c[from:]...)
			taken += size - from
			continue
		}
		p, err := s.Peek(1)
		got = append(got, p...)
		s.Discard(len(p))
		if err == io.EOF {
			break
		}
		if len(p) == 0 {
			require.ErrorIs(t, err, conn.ErrWouldBlock)
			cli.net.RunFor(rtt)
		}
	}
	require.True(t, bytes.Equal(body, got))
	require.Greater(t, taken, len(body)/2)
}
