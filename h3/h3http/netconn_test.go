package h3http

import (
	"net"
	"net/http"
	"testing"

	"golang.org/x/net/nettest"
)

// TestNetConn checks a Stream against the contract of net.Conn.
func TestNetConn(t *testing.T) {
	taken := make(chan *Stream, 1)
	p := newPair(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, err := TakeStream(w)
		if err != nil {
			t.Error(err)
			return
		}
		taken <- s
	}), withConnect)
	nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
		client, _, err := p.tr.Connect(p.connectRequest("/", "net"))
		if err != nil {
			return nil, nil, nil, err
		}
		server := <-taken
		return client, server, func() { client.Close(); server.Close() }, nil
	})
}
