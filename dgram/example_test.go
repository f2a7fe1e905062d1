package dgram_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/dgram"
)

// Two programs exchange datagrams of several flows on one connection, without HTTP.
func Example() {
	net := conntest.New(new(testing.T), 1)
	config := func(cfg *conn.Config) *conn.Config {
		cfg.MaxDatagramFrameSize = 1200
		return cfg
	}

	server := net.Add("10.0.0.1:443", &conn.EndpointConfig{Rand: rand.Reader, Server: config(conntest.ServerConfig())})
	var mux *dgram.Mux
	server.OnEvent = func(now time.Time, ev conn.Event) {
		if ev.Kind == conn.EventAccepted {
			mux = dgram.NewMux(ev.Conn, 16)
			mux.Flow(0)
			mux.Flow(4)
		}
		for _, f := range mux.HandleEvent(now, ev) {
			for b, ok := f.Receive(); ok; b, ok = f.Receive() {
				fmt.Printf("flow %d: %s\n", f.ID(), b)
				f.Send([]byte("pong"), conn.DatagramOptions{})
			}
		}
	}

	client := net.Add("10.0.0.2:1000", &conn.EndpointConfig{Rand: rand.Reader})
	c, _ := client.Dial(net.Now(), conn.Target{Remote: server.Addr, ServerName: "lazo.test"}, config(conntest.ClientConfig()))
	m := dgram.NewMux(c, 16)
	answers := 0
	client.OnEvent = func(now time.Time, ev conn.Event) {
		if ev.Kind == conn.EventConnected {
			m.Flow(0).Send([]byte("position"), conn.DatagramOptions{MaxAge: 50 * time.Millisecond})
			m.Flow(4).Send([]byte("voice"), conn.DatagramOptions{})
		}
		for _, f := range m.HandleEvent(now, ev) {
			for _, ok := f.Receive(); ok; _, ok = f.Receive() {
				answers++
			}
		}
	}
	net.RunUntil(time.Second, func() bool { return answers == 2 })
	// Output:
	// flow 0: position
	// flow 4: voice
}

// A stream carries capsules one after another. What is not known is skipped,
// whatever its length.
func ExampleParseCapsule() {
	b := dgram.AppendCapsule(nil, 0x2843, []byte("bye"))
	b = dgram.AppendCapsule(b, dgram.CapsuleDatagram, []byte("hello"))
	for len(b) > 0 {
		typ, length, n := dgram.ParseCapsule(b)
		if n == 0 || length > uint64(len(b)-n) {
			break // more has to arrive
		}
		if value := b[n : n+int(length)]; typ == dgram.CapsuleDatagram {
			fmt.Printf("datagram %q\n", value)
		} else {
			fmt.Printf("type %#x skipped\n", typ)
		}
		b = b[n+int(length):]
	}
	// Output:
	// type 0x2843 skipped
	// datagram "hello"
}

// Contexts tell formats within a flow apart, here of UDP payloads and of another kind.
func ExampleContexts() {
	net := conntest.New(new(testing.T), 1)
	config := func(cfg *conn.Config) *conn.Config {
		cfg.MaxDatagramFrameSize = 1200
		return cfg
	}
	server := net.Add("10.0.0.1:443", &conn.EndpointConfig{Rand: rand.Reader, Server: config(conntest.ServerConfig())})
	var mux *dgram.Mux
	var contexts *dgram.Contexts
	received := 0
	server.OnEvent = func(now time.Time, ev conn.Event) {
		if ev.Kind == conn.EventAccepted {
			mux = dgram.NewMux(ev.Conn, 16)
			contexts = dgram.NewContexts(mux.Flow(0), false)
			contexts.Register(2) // the two programs have agreed on it
		}
		if len(mux.HandleEvent(now, ev)) == 0 {
			return
		}
		for id, b, ok := contexts.Receive(); ok; id, b, ok = contexts.Receive() {
			fmt.Printf("context %d: %s\n", id, b)
			received++
		}
	}

	client := net.Add("10.0.0.2:1000", &conn.EndpointConfig{Rand: rand.Reader})
	c, _ := client.Dial(net.Now(), conn.Target{Remote: server.Addr, ServerName: "lazo.test"}, config(conntest.ClientConfig()))
	flow := dgram.NewMux(c, 16).Flow(0)
	client.OnEvent = func(now time.Time, ev conn.Event) {
		if ev.Kind == conn.EventConnected {
			x := dgram.NewContexts(flow, true)
			x.Send(0, []byte("payload"), conn.DatagramOptions{})
			x.Send(x.Open(), []byte("compressed"), conn.DatagramOptions{})
			x.Send(x.Open(), []byte("not known to the server"), conn.DatagramOptions{})
			_, err := x.Send(0, make([]byte, 1500), conn.DatagramOptions{})
			var tooLarge *dgram.TooLargeError
			if errors.As(err, &tooLarge) {
				fmt.Println("1500 bytes do not fit,", tooLarge.Max == x.MaxSize(0))
			}
		}
	}
	net.RunUntil(time.Second, func() bool { return received == 2 })
	fmt.Println(flow.Stats().Sent, "sent", flow.Stats().Refused, "refused")
	// Output:
	// 1500 bytes do not fit, true
	// context 0: payload
	// context 2: compressed
	// 3 sent 1 refused
}
