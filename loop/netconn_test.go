package loop_test

import (
	"context"
	"net"
	"testing"

	"golang.org/x/net/nettest"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/loop"
)

// TestNetConn checks a Stream against the contract of net.Conn.
func TestNetConn(t *testing.T) {
	server, err := loop.Listen("udp", "127.0.0.1:0", 1, serverConfig(nil))
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	ctx := context.Background()
	client, err := loop.Dial(ctx, server.LocalAddr().String(), conntest.ClientConfig())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close(0, "")
	peer, err := server.Accept(ctx)
	if err != nil {
		t.Fatal(err)
	}
	nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
		s, err := client.OpenStream(ctx, conn.Bidi)
		if err != nil {
			return nil, nil, nil, err
		}
		if _, err := s.Write([]byte{0}); err != nil { // the peer learns of it
			return nil, nil, nil, err
		}
		other, err := peer.AcceptStream(ctx)
		if err != nil {
			return nil, nil, nil, err
		}
		if _, err := other.Read(make([]byte, 1)); err != nil {
			return nil, nil, nil, err
		}
		return s, other, func() { s.Close(); other.Close() }, nil
	})
}
