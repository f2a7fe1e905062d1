package conn_test

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"io"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
)

// A moveRecord is what the log says of data that moved.
type moveRecord struct {
	Name string
	Data struct {
		StreamID *uint64 `json:"stream_id"`
		Offset   uint64
		From, To string
		Info     string `json:"additional_info"`
		Raw      struct{ Length int }
	}
}

// moves returns what the application wrote or read, in order: of a stream, or with id -1 datagrams.
func (f *logFile) moves(t *testing.T, id int64) (moves []moveRecord) {
	t.Helper()
	for _, rec := range bytes.Split(f.Bytes(), []byte{0x1e})[1:] {
		var m moveRecord
		if json.Unmarshal(rec, &m) != nil {
			continue // another event
		}
		switch {
		case m.Name == "quic:stream_data_moved" && int64(*m.Data.StreamID) == id,
			m.Name == "quic:datagram_data_moved" && id < 0:
			moves = append(moves, m)
		}
	}
	return moves
}

// loggedEarly returns the logs of two connections, first the client's. The second one has early
// data: a stream, and more datagrams than the congestion window lets through at once.
func loggedEarly(t *testing.T, format conn.QLogFormat) (first, second [2]*logFile) {
	t.Helper()
	rnd := conntest.Seed(t, 7)
	n := conntest.New(t, 7)
	n.Default = conntest.Link{Delay: 10 * time.Millisecond}
	var logs [2]*logFile
	sc, cc := conntest.ServerConfig(), conntest.ClientConfig()
	cc.TLS.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	for _, cfg := range []*conn.Config{sc, cc} {
		cfg.QLogFormat, cfg.MaxDatagramFrameSize, cfg.Enable0RTT = format, 1200, true
		cfg.DatagramSendQueue, cfg.DatagramReceiveQueue = 100, 100
		cfg.QLog = func(_ conn.ConnID, server bool) io.WriteCloser {
			i := 0
			if server {
				i = 1
			}
			logs[i] = new(logFile)
			return logs[i]
		}
	}
	server := n.Add("10.0.0.1:443", &conn.EndpointConfig{Server: sc, Rand: rnd})
	client := n.Add("10.0.0.2:5000", &conn.EndpointConfig{Rand: rnd})
	server.OnEvent = func(_ time.Time, ev conn.Event) {
		switch ev.Kind {
		case conn.EventStreamReadable:
			for b, _ := ev.Stream.Peek(1); len(b) > 0; b, _ = ev.Stream.Peek(1) {
				ev.Stream.Discard(len(b))
			}
		case conn.EventDatagramReadable:
			for _, ok := ev.Conn.ReceiveDatagram(); ok; _, ok = ev.Conn.ReceiveDatagram() {
			}
		}
	}
	for run := range 2 {
		c, err := client.Dial(n.Now(), conn.Target{Remote: server.Addr}, cc)
		if err != nil {
			t.Fatal(err)
		}
		if run == 0 {
			n.RunUntil(time.Second, c.HandshakeComplete)
		}
		s, err := c.OpenStream(conn.Uni)
		if err != nil {
			t.Fatal(err)
		}
		s.Write(make([]byte, 3000))
		s.Write(make([]byte, 2000))
		for range 50 {
			c.SendDatagram(make([]byte, 1000), conn.DatagramOptions{})
		}
		n.RunFor(time.Second)
		if run == 0 {
			s.CloseWrite()
		} else {
			s.Reset(7)
		}
		n.RunFor(time.Second)
		c.Close(0, "done")
		n.RunFor(time.Second)
		first, second = second, logs
	}
	return first, second
}

// TestQLogMoved: the log has each byte that the application wrote and read, the limits that hold
// for early data, and what datagrams wait for.
func TestQLogMoved(t *testing.T) {
	first, second := loggedEarly(t, conn.QLogDraft)
	for _, f := range append(first[:], second[:]...) {
		seen := f.check(t)
		if restored := seen["quic:parameters_restored"]; (restored == 1) != (f == second[0]) {
			t.Errorf("%d events of restored parameters", restored)
		}
	}
	if seen := second[0].check(t); seen["quic:datagram_data_blocked_updated"] < 2 {
		t.Errorf("datagrams waited, and then did not: %v", seen)
	}
	for i, way := range [...]string{"application to transport", "transport to application"} {
		for run, logs := range [][2]*logFile{first, second} {
			datagrams := 0
			for _, m := range logs[i].moves(t, -1) {
				if m.Data.From+" to "+m.Data.To != way || m.Data.Raw.Length != 1000 {
					t.Errorf("a datagram moved: %+v", m)
				}
				datagrams++
			}
			if datagrams != 50 {
				t.Errorf("%s: %d datagrams", way, datagrams)
			}
			end := uint64(0)
			moves := logs[i].moves(t, 2)
			for _, m := range moves {
				if m.Data.From+" to "+m.Data.To != way || m.Data.Offset != end {
					t.Errorf("after %d bytes a stream moved: %+v", end, m)
				}
				end += uint64(m.Data.Raw.Length)
			}
			if end != 5000 {
				t.Errorf("%s: %d bytes", way, end)
			}
			want := [2][2]string{{"fin_set", ""}, {"", "stream_reset"}}[run][i]
			if last := moves[len(moves)-1]; last.Data.Info != want {
				t.Errorf("%s, connection %d: the end is %q, want %q", way, run, last.Data.Info, want)
			}
		}
	}
}
