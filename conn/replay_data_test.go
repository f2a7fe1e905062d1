package conn_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
)

// readers are the ways to take what has come.
var readers = []struct {
	call   string
	damage func(e *conn.Endpoint) bool
	take   func(c *conn.Conn, s *conn.Stream)
}{
	{"Read", conn.DamageReceivedStream, func(_ *conn.Conn, s *conn.Stream) {
		s.Read(make([]byte, 1<<16))
	}},
	{"Peek", conn.DamageReceivedStream, func(_ *conn.Conn, s *conn.Stream) {
		b, _ := s.Peek(1)
		s.Discard(len(b))
	}},
	{"TakeChunk", conn.DamageReceivedStream, func(_ *conn.Conn, s *conn.Stream) {
		s.TakeChunk(new(conn.Chunk))
	}},
	{"ReceiveDatagram", conn.DamageReceivedDatagram, func(c *conn.Conn, _ *conn.Stream) {
		c.ReceiveDatagram()
	}},
}

// recordReader records a server that gets a stream and datagrams, and takes of them a little at a
// time.
func recordReader(t *testing.T, take func(c *conn.Conn, s *conn.Stream)) *bytes.Buffer {
	t.Helper()
	rnd := conntest.Seed(t, 1)
	n := conntest.New(t, 1)
	tape := new(bytes.Buffer)
	cfg := conntest.ServerConfig()
	cfg.MaxDatagramFrameSize = 65535
	server := n.Add("10.0.0.1:443", &conn.EndpointConfig{Server: cfg, Rand: rnd, Record: tape})
	var got conn.Event
	server.OnEvent = func(_ time.Time, ev conn.Event) {
		if ev.Kind == conn.EventStreamReadable {
			got = ev
		}
	}
	client := n.Add("10.0.0.2:5000", &conn.EndpointConfig{Rand: rnd})
	c, err := client.Dial(n.Now(), conn.Target{Remote: server.Addr}, conntest.ClientConfig())
	if err != nil {
		t.Fatal(err)
	}
	if n.RunUntil(time.Minute, c.HandshakeComplete); !c.HandshakeComplete() {
		t.Fatal("there is no connection")
	}
	s, err := c.OpenStream(conn.Uni)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		if _, err := s.Write(bytes.Repeat([]byte{byte(i)}, 3000)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.SendDatagram(bytes.Repeat([]byte{byte(i)}, 100), conn.DatagramOptions{}); err != nil {
			t.Fatal(err)
		}
		n.RunFor(100 * time.Millisecond)
		if got.Stream == nil {
			t.Fatal("the stream does not come")
		}
		take(got.Conn, got.Stream)
	}
	server.Endpoint.Close()
	return tape
}

// TestReplayNoticesOtherBytes: a recording has a checksum of all that an application got. A core
// that hands out other bytes is noticed, although it sends the same datagrams.
func TestReplayNoticesOtherBytes(t *testing.T) {
	for _, r := range readers {
		t.Run(r.call, func(t *testing.T) {
			tape := recordReader(t, r.take).Bytes()
			if err := newReplay(t, bytes.NewReader(tape)).Run(); err != nil {
				t.Fatal(err)
			}
			p := newReplay(t, bytes.NewReader(tape))
			err := p.Step()
			for ; err == nil; err = p.Step() {
				if _, _, call := p.Position(); call == "Receive" && r.damage(p.Endpoint()) {
					err = p.Run()
					break
				}
			}
			var d *conn.DivergenceError
			if !errors.As(err, &d) || d.Call != r.call {
				t.Errorf("a byte is another one, and the replay ends with %v", err)
			}
		})
	}
}

// TestReplayNote: what a program tells its own congestion controller is not on a recording. A note
// of it is, and with the note the replay does the same.
func TestReplayNote(t *testing.T) {
	rnd := conntest.Seed(t, 1)
	n := conntest.New(t, 1)
	n.Default = conntest.Link{Delay: 10 * time.Millisecond}
	var tape bytes.Buffer
	server := n.Add("10.0.0.1:443", &conn.EndpointConfig{Server: conntest.ServerConfig(), Rand: rnd})
	client := n.Add("10.0.0.2:5000", &conn.EndpointConfig{Rand: rnd, Record: &tape})
	cfg := conntest.ClientConfig()
	cfg.Congestion = newFixedRate
	c, err := client.Dial(n.Now(), conn.Target{Remote: server.Addr}, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if n.RunUntil(time.Minute, c.HandshakeComplete); !c.HandshakeComplete() {
		t.Fatal("there is no connection")
	}
	tell := func(c *conn.Conn, b []byte) { c.Controller().(*fixedRate).rate = binary.BigEndian.Uint64(b) }
	note := binary.BigEndian.AppendUint64(nil, 20_000) // bytes a second
	c.Note(note)
	tell(c, note)
	s, err := c.OpenStream(conn.Uni)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write(make([]byte, 50_000)); err != nil {
		t.Fatal(err)
	}
	n.RunFor(5 * time.Second)
	client.Endpoint.Close()

	run := func(opt *conn.ReplayOptions) error {
		opt.Congestion = newFixedRate
		r, err := conn.NewReplay(bytes.NewReader(tape.Bytes()), opt)
		if err != nil {
			t.Fatal(err)
		}
		return r.Run()
	}
	if err := run(&conn.ReplayOptions{Note: tell}); err != nil {
		t.Errorf("with the note: %v", err)
	}
	var d *conn.DivergenceError
	if err := run(new(conn.ReplayOptions)); !errors.As(err, &d) {
		t.Errorf("without the note it does not diverge: %v", err)
	}
}
