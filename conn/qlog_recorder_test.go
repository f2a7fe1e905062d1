package conn_test

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/loop"
)

// A recording is the log of one side, and a signal that it has ended.
type recording struct {
	io.WriteCloser
	dead *error
}

func (r recording) ConnClosed(err error) {
	*r.dead = err
	r.WriteCloser.(interface{ ConnClosed(error) }).ConnClosed(err)
}

// TestFlightRecorder: a connection that dies of an error leaves the last seconds before the
// silence, in the form of the drafts. One that is closed leaves nothing.
func TestFlightRecorder(t *testing.T) {
	const recent = 2 * time.Second
	for _, test := range []struct {
		name string
		end  func(n *conntest.Network, c *conn.Conn)
		file bool
	}{
		{"idle timeout", func(n *conntest.Network, _ *conn.Conn) {
			n.Default = conntest.Link{Filter: func(*conntest.Packet) bool { return false }}
			n.RunFor(time.Minute)
		}, true},
		{"protocol error", func(n *conntest.Network, c *conn.Conn) {
			c.Close(0x106, "frame error") // H3_FRAME_ERROR
			n.RunFor(time.Second)
		}, true},
		{"close", func(n *conntest.Network, c *conn.Conn) {
			c.Close(0, "done")
			n.RunFor(time.Second)
		}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			rnd := conntest.Seed(t, 9)
			n := conntest.New(t, 9)
			n.Default = conntest.Link{Delay: 10 * time.Millisecond}
			cc := conntest.ClientConfig()
			files := loop.QLogOptions{Recent: recent, RecentBytes: 1 << 20, Report: func(err error) { t.Error(err) }}.Dir(dir)
			var dead error
			cc.QLog = func(id conn.ConnID, server bool) io.WriteCloser { return recording{files(id, server), &dead} }
			server := n.Add("10.0.0.1:443", &conn.EndpointConfig{Server: conntest.ServerConfig(), Rand: rnd})
			client := n.Add("10.0.0.2:5000", &conn.EndpointConfig{Rand: rnd})
			c, err := client.Dial(n.Now(), conn.Target{Remote: server.Addr}, cc)
			if err != nil {
				t.Fatal(err)
			}
			n.RunUntil(time.Second, c.HandshakeComplete)
			s, err := c.OpenStream(conn.Uni)
			if err != nil {
				t.Fatal(err)
			}
			for range 100 {
				s.Write(make([]byte, 100))
				n.RunFor(100 * time.Millisecond)
			}
			test.end(n, c)
			if dead == nil {
				t.Fatal("the connection has not ended")
			}
			name := filepath.Join(dir, c.ID().String()+"_client.sqlog")
			var b []byte
			for range 1000 { // the file is written on a goroutine
				if b, _ = os.ReadFile(name); !test.file || bytes.Contains(b, []byte("connection_closed")) {
					break
				}
				time.Sleep(time.Millisecond)
			}
			if !test.file {
				time.Sleep(10 * time.Millisecond)
				if _, err := os.Stat(name); err == nil {
					t.Error("a connection that was closed left a file")
				}
				return
			}
			f := new(logFile)
			f.Write(b)
			seen := f.check(t)
			if seen["quic:connection_closed"] != 1 || seen["quic:packet_sent"] < 15 || seen["quic:packet_sent"] > 100 {
				t.Errorf("after %v the file has %v", dead, seen)
			}
			if seen["quic:connection_started"] != 0 {
				t.Error("the file has the beginning, which is more than 2 seconds old")
			}
		})
	}
}
