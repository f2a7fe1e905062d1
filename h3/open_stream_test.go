package h3

import (
	"io"
	"testing"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/internal/require"
)

// TestOpenStream: the ID of a request is known before its fields, which are checked when they are
// sent. Fields that cannot be sent leave the stream as it is.
func TestOpenStream(t *testing.T) {
	srv, cli := connect(t, &Config{Datagrams: true}, &Config{Datagrams: true})
	_, err := srv.h.OpenStream()
	require.Error(t, err)
	srv.echo()
	s, err := cli.h.OpenStream()
	require.NoError(t, err)
	require.Equal(t, conn.StreamID(0), s.ID())
	_, err = s.Write([]byte("too early"))
	require.Error(t, err)
	require.ErrorIs(t, s.SendFields(connectFields, false), ErrNoExtendedConnect)
	require.Error(t, s.SendFields(okFields, false)) // a response
	cli.run()
	require.Zero(t, srv.h.Stats().Requests)
	require.NoError(t, s.SendFields(postFields, false))
	_, err = s.Write([]byte("content"))
	require.NoError(t, err)
	require.NoError(t, s.CloseWrite())
	cli.run()
	body, err := readAll(s)
	require.Equal(t, "content", string(body))
	require.ErrorIs(t, err, io.EOF)
	s.Release()

	s, err = cli.h.OpenStream() // a stream without a request
	require.NoError(t, err)
	require.Error(t, s.CloseWrite())
	s.Release()
	cli.run()
	require.Zero(t, srv.h.Stats().Open)
	require.Zero(t, cli.h.Stats().Open)
	require.Equal(t, uint64(1), cli.h.Stats().Requests)
}
