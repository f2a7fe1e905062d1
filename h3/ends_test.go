package h3

import (
	"io"
	"testing"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/internal/require"
)

// TestReadAfterProtocolError: after the peer has broken a rule, which ends the connection, the
// bodies that it had sent before can be read.
func TestReadAfterProtocolError(t *testing.T) {
	ok := headers(":status", "200")
	data := frame(frameData, []byte("abc")...)
	bodies := []struct {
		name string
		sent []byte
		fin  bool
		want string
		err  error
	}{
		{"whole", concat(ok, data, frame(reserved(1), 1, 2), data), true, "abcabc", io.EOF},
		{"without an end", concat(ok, data, frame(frameData)), false, "abc", conn.ErrClosed},
		{"half a frame", concat(ok, data, data[:4]), false, "abcab", conn.ErrClosed},
		{"trailers", concat(ok, data, headers("x", "y")), true, "abc", conn.ErrClosed},
		{"the fault", concat(ok, data, frame(frameSettings)), false, "abc", conn.ErrClosed},
		{"nothing", nil, false, "", conn.ErrClosed},
	}
	for _, fault := range []string{"of the connection", "of a stream"} {
		t.Run(fault, func(t *testing.T) {
			srv, cli := connect(t, nil, &Config{})
			control := srv.open(conn.Uni, settings(), false)
			var streams []*Stream
			for _, body := range bodies {
				s, err := cli.h.OpenRequest(getFields, true)
				require.NoError(t, err)
				streams = append(streams, s)
				srv.run()
				srv.write(srv.streams[s.ID()], body.sent, body.fin)
			}
			srv.run()
			read := func() {
				for i, body := range bodies {
					got, err := readAll(streams[i])
					require.Equal(t, body.want, string(got), body.name)
					require.ErrorIs(t, err, body.err, body.name)
				}
			}
			var closed bool
			cli.on = func(ev Event) {
				require.True(t, ev.Kind != EventFields, "fields after the error")
				if ev.Kind == EventClosed {
					closed = true
					if fault == "of the connection" {
						read()
					}
				}
			}
			if fault == "of the connection" {
				srv.write(control, frame(frameData, 1), false)
			} else {
				got, err := readAll(streams[4])
				require.Equal(t, "abc", string(got))
				require.ErrorIs(t, err, conn.ErrClosed)
				bodies[4].want = "" // read by now
				read()
			}
			srv.run()
			require.True(t, closed)
			srv.wantClosed(FrameUnexpected)
		})
	}
}

// TestRequestAfterProtocolError: no request begins after the error.
func TestRequestAfterProtocolError(t *testing.T) {
	srv, cli := connect(t, &Config{}, nil)
	control := cli.open(conn.Uni, settings(), false)
	r := cli.open(conn.Bidi, headers(post...)[:5], false)
	cli.run()
	cli.write(control, frame(frameData, 1), false)
	cli.write(r, headers(post...)[5:], true)
	cli.run()
	srv.refuse(EventFields)
	srv.want(EventClosed)
	cli.wantClosed(FrameUnexpected)
}
