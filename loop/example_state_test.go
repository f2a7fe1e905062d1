package loop_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/netip"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/loop"
)

// A client that must not wait asks whether the server allows another stream.
func ExampleConn_TryOpenStream() {
	server := conntest.ServerConfig()
	server.InitialMaxStreamsUni = 1
	g, err := loop.Listen("udp", "127.0.0.1:0", 1, &loop.Config{Endpoint: conn.EndpointConfig{Server: server}})
	if err != nil {
		log.Fatal(err)
	}
	defer g.Close()
	c, err := loop.Dial(context.Background(), g.LocalAddr().String(), conntest.ClientConfig())
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(0, "")
	for range 2 {
		s, err := c.TryOpenStream(conn.Uni)
		if limit := new(loop.StreamLimitError); errors.As(err, &limit) {
			fmt.Println(err)
			return
		}
		fmt.Println("stream", s.ID(), "is open:", s.Context().Err() == nil)
	}
	// Output:
	// stream 2 is open: true
	// loop: the peer allows no more unidirectional streams now
}

// A server has a configuration for some clients, and its own values in the context of a
// connection.
func ExampleListen_configForClient() {
	trusted := conntest.ServerConfig()
	trusted.MaxDatagramFrameSize = 1200
	type client struct{}
	cfg := &loop.Config{
		Endpoint: conn.EndpointConfig{
			Server: conntest.ServerConfig(),
			ConfigForClient: func(r conn.AdmissionRequest) (*conn.Config, error) {
				if r.Remote.Addr().IsLoopback() {
					return trusted, nil
				}
				return nil, nil // Server
			},
		},
		ConnContext: func(ctx context.Context, c *conn.Conn) context.Context {
			return context.WithValue(ctx, client{}, c.RemoteAddr().Addr())
		},
	}
	g, err := loop.Listen("udp", "127.0.0.1:0", 1, cfg)
	if err != nil {
		log.Fatal(err)
	}
	defer g.Close()
	c, err := loop.Dial(context.Background(), g.LocalAddr().String(), conntest.ClientConfig())
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(0, "")
	s, err := g.Accept(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(s.Context().Value(client{}), c.MaxDatagramSize() > 1000, c.Version() == conn.Version1, len(g.Conns()))
	// Output: 127.0.0.1 true true 1
}

// A STUN client shares the socket of the connections.
func ExampleGroup_WriteDatagram() {
	stun, err := net.ListenPacket("udp", "127.0.0.1:0") // instead of a STUN server
	if err != nil {
		log.Fatal(err)
	}
	defer stun.Close()
	go func() {
		b := make([]byte, 100)
		if n, from, err := stun.ReadFrom(b); err == nil && n > 0 {
			stun.WriteTo([]byte{1, 1}, from) // a Binding response begins with these
		}
	}()

	responses := make(chan []byte, 1)
	cfg := &loop.Config{}
	cfg.Endpoint.NonQUIC = func(_ time.Time, d conn.Datagram) {
		select {
		case responses <- append([]byte(nil), d.Data...): // on the loop's goroutine: do not wait
		default:
		}
	}
	g, err := loop.Open("udp", "127.0.0.1:0", 1, cfg)
	if err != nil {
		log.Fatal(err)
	}
	defer g.Close()
	server, _ := netip.ParseAddrPort(stun.LocalAddr().String())
	if err := g.WriteDatagram([]byte{0, 1}, server); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%x\n", <-responses)
	// Output: 0101
}
