package h3_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/conn/varint"
	"github.com/lazoquic/lazo/dgram"
	"github.com/lazoquic/lazo/h3"
)

// serve answers the events of one connection of a server.
func serve(h *h3.Conn, ev h3.Event) {
	switch s := ev.Stream; ev.Kind {
	case h3.EventFields:
		for _, f := range ev.Fields {
			if f.Name == ":path" {
				s.SendFields([]h3.Field{{Name: ":status", Value: "200"}}, false)
				fmt.Fprintf(s, "you asked for %s", f.Value)
				s.CloseWrite()
			}
		}
		s.Release()
	case h3.EventCanceled:
		s.Release()
	}
}

// A server and a client of HTTP/3 on a simulated network. The same handlers run
// inside a loop.Loop.
func Example() {
	net := conntest.New(new(testing.T), 1)

	server := net.Add("10.0.0.1:443", &conn.EndpointConfig{Rand: rand.Reader, Server: conntest.ServerConfig()})
	var hs *h3.Conn
	server.OnEvent = func(now time.Time, ev conn.Event) {
		if ev.Kind == conn.EventAccepted {
			hs, _ = h3.NewConn(ev.Conn, nil)
		}
		hs.HandleEvent(now, ev)
		for e, ok := hs.NextEvent(); ok; e, ok = hs.NextEvent() {
			serve(hs, e)
		}
	}

	client := net.Add("10.0.0.2:1000", &conn.EndpointConfig{Rand: rand.Reader})
	q, _ := client.Dial(net.Now(), conn.Target{Remote: server.Addr, ServerName: "lazo.test"}, conntest.ClientConfig())
	hc, _ := h3.NewConn(q, nil)
	get := []h3.Field{
		{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "https"},
		{Name: ":authority", Value: "lazo.test"}, {Name: ":path", Value: "/hello"},
	}
	var body []byte
	done := false
	client.OnEvent = func(now time.Time, ev conn.Event) {
		hc.HandleEvent(now, ev)
		if ev.Kind == conn.EventConnected {
			hc.OpenRequest(get, true)
		}
		for e, ok := hc.NextEvent(); ok; e, ok = hc.NextEvent() {
			switch e.Kind {
			case h3.EventFields:
				fmt.Println(e.Fields[0].Name, e.Fields[0].Value)
			case h3.EventReadable:
				for {
					b, err := e.Stream.Peek(1)
					body = append(body, b...)
					e.Stream.Discard(len(b))
					if errors.Is(err, conn.ErrWouldBlock) {
						break // another EventReadable follows
					}
					if err == io.EOF {
						done = true
						e.Stream.Release()
						break
					}
				}
			}
		}
	}
	net.RunUntil(time.Second, func() bool { return done })
	fmt.Printf("%s\n", body)
	// Output:
	// :status 200
	// you asked for /hello
}

// A server goes away in peace: it lets the client know, finishes what it has
// begun, and closes when all of it has arrived.
func ExampleConn_GoAway() {
	var h *h3.Conn // of a connection
	shutdown := func() { h.GoAway() }
	handle := func(ev h3.Event) {
		if ev.Kind == h3.EventAcked { // of a stream that is released only now
			ev.Stream.Release()
			if h.Stats().Open == 0 {
				h.QUIC().Close(uint64(h3.NoError), "")
			}
		}
	}
	_, _ = shutdown, handle
}

// The application takes over a stream type of an extension, here that of
// unidirectional WebTransport streams.
func ExampleConfig_streamTypes() {
	cfg := &h3.Config{
		ExtendedConnect: true,
		Datagrams:       true,
		StreamTypes:     []uint64{0x54},
	}
	handle := func(ev h3.Event) {
		if ev.Kind == h3.EventStream && ev.Type == 0x54 {
			b, _ := ev.QUIC.Peek(8) // the session ID comes first
			session, n := varint.Parse(b)
			ev.QUIC.Discard(n)
			fmt.Println("a stream of session", session)
		}
	}
	_, _ = cfg, handle
}

// HTTP Datagrams are those of a flow, which belongs to the stream of an extended CONNECT.
func ExampleStream_Datagrams() {
	net := conntest.New(new(testing.T), 1)
	scfg, ccfg := conntest.ServerConfig(), conntest.ClientConfig()
	scfg.MaxDatagramFrameSize, ccfg.MaxDatagramFrameSize = 1200, 1200
	cfg := &h3.Config{ExtendedConnect: true, Datagrams: true}

	server := net.Add("10.0.0.1:443", &conn.EndpointConfig{Rand: rand.Reader, Server: scfg})
	var hs *h3.Conn
	server.OnEvent = func(now time.Time, ev conn.Event) {
		if ev.Kind == conn.EventAccepted {
			hs, _ = h3.NewConn(ev.Conn, cfg)
		}
		hs.HandleEvent(now, ev)
		for e, ok := hs.NextEvent(); ok; e, ok = hs.NextEvent() {
			switch e.Kind {
			case h3.EventFields:
				e.Stream.SendFields([]h3.Field{{Name: ":status", Value: "200"}}, false)
			case h3.EventDatagram:
				flow := e.Stream.Datagrams()
				for b, ok := flow.Receive(); ok; b, ok = flow.Receive() {
					flow.Send(append([]byte("echo of "), b...), conn.DatagramOptions{MaxAge: time.Second})
				}
			}
		}
	}

	client := net.Add("10.0.0.2:1000", &conn.EndpointConfig{Rand: rand.Reader})
	q, _ := client.Dial(net.Now(), conn.Target{Remote: server.Addr, ServerName: "lazo.test"}, ccfg)
	hc, _ := h3.NewConn(q, cfg)
	var flow *dgram.Flow
	client.OnEvent = func(now time.Time, ev conn.Event) {
		hc.HandleEvent(now, ev)
		for e, ok := hc.NextEvent(); ok; e, ok = hc.NextEvent() {
			switch e.Kind {
			case h3.EventSettings: // now it is known that the server takes such requests
				s, _ := hc.OpenRequest([]h3.Field{
					{Name: ":method", Value: "CONNECT"}, {Name: ":protocol", Value: "echo"}, {Name: ":scheme", Value: "https"},
					{Name: ":authority", Value: "lazo.test"}, {Name: ":path", Value: "/"},
				}, false)
				flow = s.Datagrams()
				flow.Send([]byte("datagram"), conn.DatagramOptions{})
			case h3.EventDatagram:
				b, _ := flow.Receive()
				fmt.Printf("%s\n", b)
			}
		}
	}
	net.RunUntil(time.Second, func() bool { return flow != nil && flow.Stats().Received > 0 })
	// Output: echo of datagram
}
