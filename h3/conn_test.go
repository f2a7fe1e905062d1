package h3

import (
	"bytes"
	"io"
	"testing"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/internal/require"
)

func TestGet(t *testing.T) {
	srv, cli := connect(t, &Config{}, &Config{})
	srv.on = func(ev Event) {
		if ev.Kind == EventFields {
			require.True(t, ev.End)
			require.Equal(t, getFields, ev.Fields)
			require.NoError(t, ev.Stream.SendFields(okFields, false))
			n, err := ev.Stream.Write([]byte("hello"))
			require.NoError(t, err)
			require.Equal(t, 5, n)
			require.NoError(t, ev.Stream.SendFields([]Field{{Name: "x-sum", Value: "1"}}, true))
			ev.Stream.Release()
		}
	}
	s, err := cli.h.OpenRequest(getFields, true)
	require.NoError(t, err)
	cli.run()

	cli.want(EventSettings)
	ev := cli.want(EventFields)
	require.Same(t, s, ev.Stream)
	require.Equal(t, okFields, ev.Fields)
	require.False(t, ev.End)
	cli.want(EventReadable)
	cli.events = nil

	body, err := readAll(s)
	require.Equal(t, "hello", string(body))
	require.ErrorIs(t, err, conn.ErrWouldBlock, "the trailers come first")
	cli.drain()
	require.Equal(t, []Field{{Name: "x-sum", Value: "1"}}, cli.want(EventFields).Fields)
	require.True(t, cli.events[0].End)
	_, err = s.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)
	s.Release()
	cli.run()
	require.Zero(t, cli.h.Stats().Open)
	require.Zero(t, srv.h.Stats().Open)
}

// TestEcho moves bodies of many sizes both ways through the queues and frames.
func TestEcho(t *testing.T) {
	srv, cli := connect(t, &Config{}, &Config{})
	srv.echo()
	for _, size := range []int{0, 1, 62, 63, 64, 65, 16382, 16383, 16384, 1 << 20, 3<<20 + 1} {
		body := bytes.Repeat([]byte("0123456789abcdef!"), size/17+1)[:size]
		var got []byte
		left, done := body, false
		var s *Stream
		send := func() {
			for len(left) > 0 {
				n, err := s.Write(left)
				left = left[n:]
				if err != nil {
					require.ErrorIs(t, err, conn.ErrWouldBlock)
					return
				}
			}
			require.NoError(t, s.SendFields([]Field{{Name: "x-end", Value: "yes"}}, true))
		}
		var trailers bool
		cli.on = func(ev Event) {
			switch ev.Kind {
			case EventFields:
				trailers = ev.Fields[0].Name == "x-end"
			case EventReadable:
				b, err := readAll(s)
				got = append(got, b...)
				done = err == io.EOF
			case EventWritable:
				send()
			}
		}
		var err error
		s, err = cli.h.OpenRequest(postFields, false)
		require.NoError(t, err)
		send()
		cli.net.RunUntil(60*rtt*100, func() bool { return done })
		require.True(t, bytes.Equal(body, got), "size %d: %d bytes", size, len(got))
		require.True(t, trailers)
		s.Release()
	}
}
