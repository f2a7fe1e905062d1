package h3

import (
	"io"
	"testing"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/internal/require"
)

// TestDatagramsEndWithTheirSide: none is sent behind the end of a stream's send side, however it
// ends. Those that come behind the end of its receive side are dropped. Those from before stay.
// RFC 9297, Section 2.1 [3, 4].
func TestDatagramsEndWithTheirSide(t *testing.T) {
	for name, end := range map[string]func(s *Stream) error{
		"FIN":       (*Stream).CloseWrite,
		"reset":     func(s *Stream) error { s.Reset(RequestCancelled); return nil },
		"abandoned": func(s *Stream) error { s.Abandon(RequestCancelled); return nil },
		"late reset": func(s *Stream) error {
			s.ResetBehind(RequestCancelled)
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := &Config{ExtendedConnect: true, Datagrams: true}
			srv, cli := connect(t, cfg, cfg)
			srv.on = func(ev Event) {
				srv.events = append(srv.events, ev)
				if ev.Kind == EventReadable {
					_, err := ev.Stream.Read(make([]byte, 10))
					for err == nil {
						_, err = ev.Stream.Read(make([]byte, 10))
					}
				}
			}
			s, err := cli.h.OpenRequest(connectFields, false)
			require.NoError(t, err)
			f := s.Datagrams()
			_, err = f.Send([]byte("before"), conn.DatagramOptions{})
			require.NoError(t, err)
			cli.run()
			require.Equal(t, 1, srv.accepted().Datagrams().Len())
			_, err = f.Send([]byte("with the end"), conn.DatagramOptions{})
			require.NoError(t, err)
			require.NoError(t, end(s))
			_, err = f.Send([]byte("behind"), conn.DatagramOptions{})
			require.ErrorIs(t, err, conn.ErrClosed)
			require.Zero(t, f.MaxSize())
			cli.run()
			require.Equal(t, 2, srv.accepted().Datagrams().Len())
			// A peer that does not care.
			_, err = cli.q.SendDatagram(append(varint(uint64(s.ID())/4), "behind"...), conn.DatagramOptions{})
			require.NoError(t, err)
			cli.run()
			require.Equal(t, 2, srv.accepted().Datagrams().Len())
			require.NoError(t, cli.closed)
			// The other direction goes on.
			if name == "FIN" {
				_, err = srv.accepted().Datagrams().Send([]byte("answer"), conn.DatagramOptions{})
				require.NoError(t, err)
				srv.run()
				require.Equal(t, 1, f.Len())
			}
		})
	}
}

// TestDatagramBehindAWholeRequest: datagrams behind the end of a request that has no use for any
// are dropped. They do not end the request, whose answer is under way.
// RFC 9297, Section 2.1 [4].
func TestDatagramBehindAWholeRequest(t *testing.T) {
	srv, cli := connect(t, &Config{Datagrams: true}, &Config{Datagrams: true})
	s, err := cli.h.OpenRequest(postFields, true)
	require.NoError(t, err)
	cli.run()
	for range 3 {
		_, err = cli.q.SendDatagram(append(varint(uint64(s.ID())/4), "x"...), conn.DatagramOptions{})
		require.NoError(t, err)
	}
	cli.run()
	require.Zero(t, srv.h.Stats().Malformed)
	require.NoError(t, srv.accepted().SendFields(okFields, true))
	srv.run()
	require.Equal(t, EventFields, cli.want(EventFields).Kind)
	_, err = s.Read(make([]byte, 1))
	require.Equal(t, io.EOF, err)
	require.NoError(t, cli.closed)
}
