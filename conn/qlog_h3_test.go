package conn_test

import (
	"bytes"
	"io"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/h3"
)

// An h3Side is HTTP/3 on one side of a connection.
type h3Side struct {
	t *testing.T
	c *h3.Conn
}

// handle processes an event of the connection, and those of HTTP/3 that follow.
func (s *h3Side) handle(now time.Time, ev conn.Event) {
	if s.c == nil {
		var err error
		s.c, err = h3.NewConn(ev.Conn, &h3.Config{Datagrams: true, QPACKTableCapacity: 4096, QPACKBlockedStreams: 10})
		if err != nil {
			s.t.Fatal(err)
		}
	}
	s.c.HandleEvent(now, ev)
	for ev, ok := s.c.NextEvent(); ok; ev, ok = s.c.NextEvent() {
		if ev.Kind != h3.EventFields || !s.c.QUIC().Server() {
			continue
		}
		ev.Stream.SendFields([]h3.Field{{Name: ":status", Value: "200"}, {Name: "set-cookie", Value: "hunter2"}}, false)
		ev.Stream.Write([]byte("body"))
		if f := ev.Stream.Datagrams(); f != nil {
			f.Send([]byte("ping"), conn.DatagramOptions{})
		}
		ev.Stream.CloseWrite()
	}
}

// TestQLogHTTP3: the events of HTTP/3 are in the log of the connection, in the form of the drafts,
// and secrets of the user are not.
func TestQLogHTTP3(t *testing.T) {
	for _, format := range []conn.QLogFormat{conn.QLogDraft, conn.QLog03} {
		seen := map[string]int{}
		for _, f := range loggedRequests(t, format) {
			check := f.check
			if format == conn.QLog03 {
				check = f.events
			}
			for name, n := range check(t) {
				seen[name] += n
			}
			for _, secret := range []string{"hunter2", "Basic 123", "sesame"} {
				if bytes.Contains(f.Bytes(), []byte(secret)) {
					t.Errorf("the log has the secret %q", secret)
				}
			}
			if !bytes.Contains(f.Bytes(), []byte(`{"name":":path","value":"/\"x\""}`)) {
				t.Error("the log does not have the path")
			}
		}
		want := []string{"http3:parameters_set", "http3:stream_type_set", "http3:frame_created", "http3:frame_parsed",
			"http3:priority_updated", "http3:datagram_created", "http3:datagram_parsed"}
		if format == conn.QLog03 {
			want = []string{"http:parameters_set", "http:stream_type_set", "http:frame_created", "http:frame_parsed"}
		}
		for _, name := range want {
			if seen[name] == 0 {
				t.Errorf("no log has %s: %v", name, seen)
			}
			delete(seen, name)
		}
		for name := range seen {
			if format == conn.QLog03 && len(name) > 4 && name[:4] == "http" {
				t.Errorf("%q is no name of version 0.3", name)
			}
		}
	}
}

// loggedRequests returns the logs of both sides of a connection with a request.
func loggedRequests(t *testing.T, format conn.QLogFormat) []*logFile {
	t.Helper()
	rnd := conntest.Seed(t, 11)
	n := conntest.New(t, 11)
	n.Default = conntest.Link{Delay: 10 * time.Millisecond}
	var logs []*logFile
	sc, cc := conntest.ServerConfig(), conntest.ClientConfig()
	for _, cfg := range []*conn.Config{sc, cc} {
		cfg.QLogFormat, cfg.MaxDatagramFrameSize = format, 1200
		cfg.QLog = func(conn.ConnID, bool) io.WriteCloser {
			logs = append(logs, new(logFile))
			return logs[len(logs)-1]
		}
	}
	ss, cs := &h3Side{t: t}, &h3Side{t: t}
	server := n.Add("10.0.0.1:443", &conn.EndpointConfig{Server: sc, Rand: rnd})
	client := n.Add("10.0.0.2:5000", &conn.EndpointConfig{Rand: rnd})
	server.OnEvent, client.OnEvent = ss.handle, cs.handle
	c, err := client.Dial(n.Now(), conn.Target{Remote: server.Addr}, cc)
	if err != nil {
		t.Fatal(err)
	}
	n.RunUntil(time.Second, c.HandshakeComplete)
	n.RunFor(100 * time.Millisecond)
	s, err := cs.c.OpenRequest([]h3.Field{
		{Name: ":method", Value: "POST"}, {Name: ":scheme", Value: "https"}, {Name: ":authority", Value: "lazo.test"},
		{Name: ":path", Value: `/"x"`}, {Name: "authorization", Value: "Basic 123"}, {Name: "cookie", Value: "hunter2"},
		{Name: "x-key", Value: "sesame", Sensitive: true}, {Name: "priority", Value: "u=1"},
	}, false)
	if err != nil {
		t.Fatal(err)
	}
	s.Datagrams().Send([]byte("ping"), conn.DatagramOptions{})
	s.Write([]byte("a body"))
	s.RequestPriority(conn.Priority{Urgency: 2, Incremental: true})
	n.RunFor(100 * time.Millisecond)
	s.CloseWrite()
	ss.c.GoAway()
	n.RunFor(time.Second)
	c.Close(uint64(h3.NoError), "done")
	n.RunFor(time.Second)
	return logs
}
