package webtransport

import (
	"context"
	"net"
	"net/http"
	"testing"

	"golang.org/x/net/nettest"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/udpio"
)

// TestNetConn checks a Stream against the contract of net.Conn.
func TestNetConn(t *testing.T) {
	var up Upgrader
	sessions := make(chan *Session, 1)
	srv := &h3http.Server{TLSConfig: conntest.ServerTLS()}
	srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, err := up.Upgrade(w, r)
		if err != nil {
			t.Error(err)
			return
		}
		sessions <- s
	})
	up.Configure(srv)
	socket, err := udpio.Listen("udp", "127.0.0.1:0", nil)
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(socket) }()
	group, err := loop.Listen("udp", "127.0.0.1:0", 1, nil)
	require.NoError(t, err)
	d := &Dialer{TLSClientConfig: conntest.ClientTLS(), NewConn: group.Dial}
	defer func() {
		require.NoError(t, d.Close())
		require.NoError(t, srv.Close())
		<-served
		require.NoError(t, group.Close())
	}()
	ctx := context.Background()
	client, _, err := d.Dial(ctx, "https://"+socket.LocalAddr().String()+"/", nil)
	require.NoError(t, err)
	server := <-sessions
	nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
		s, err := client.OpenStream(ctx, conn.Bidi)
		if err != nil {
			return nil, nil, nil, err
		}
		other, err := server.AcceptStream(ctx, conn.Bidi)
		if err != nil {
			return nil, nil, nil, err
		}
		return s, other, func() { s.Close(); other.Close() }, nil
	})
}
