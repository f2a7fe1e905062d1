package conn_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
)

// A logFile is where a qlog goes.
type logFile struct {
	bytes.Buffer
	closed bool
}

// Close copies the log to the directory LAZO_QLOG, if there is one, for the readers of others:
// draft_*.sqlog, and 03_*.sqlog in version 0.3.
func (f *logFile) Close() error {
	f.closed = true
	dir := os.Getenv("LAZO_QLOG")
	if dir == "" {
		return nil
	}
	name := "draft_*.sqlog"
	if bytes.Contains(f.Bytes(), []byte(`"qlog_version":"0.3"`)) {
		name = "03_*.sqlog"
	}
	file, err := os.CreateTemp(dir, name)
	if err != nil {
		return err
	}
	_, err = file.Write(f.Bytes())
	return errors.Join(err, file.Close())
}

// events returns how often each event stands in the log. Every record must be JSON behind a record
// separator (RFC 7464).
func (f *logFile) events(t *testing.T) map[string]int {
	t.Helper()
	n := map[string]int{}
	for i, rec := range bytes.Split(f.Bytes(), []byte{0x1e}) {
		if i == 0 && len(rec) == 0 {
			continue
		}
		var ev struct {
			Name string
			Data json.RawMessage
		}
		if err := json.Unmarshal(rec, &ev); err != nil {
			t.Fatalf("record %d: %v: %s", i, err, rec)
		}
		n[ev.Name]++
	}
	return n
}

func TestQLog(t *testing.T) {
	rnd := conntest.Seed(t, 3)
	n := simulate(t, 3)
	n.Default = conntest.Link{Delay: 10 * time.Millisecond, Loss: 0.05}
	logs := map[bool]*logFile{}
	open := func(id conn.ConnID, server bool) io.WriteCloser {
		logs[server] = new(logFile)
		return logs[server]
	}
	sc, cc := conntest.ServerConfig(), conntest.ClientConfig()
	sc.QLog, cc.QLog = open, open
	metrics := 0
	cc.Trace = func(ev *conn.TraceEvent) {
		if ev.Kind == conn.TraceMetrics {
			metrics++
		}
	}
	server := n.Add("10.0.0.1:443", &conn.EndpointConfig{Server: sc, Rand: rnd})
	client := n.Add("10.0.0.2:5000", &conn.EndpointConfig{Rand: rnd})
	var end error
	server.OnEvent = func(_ time.Time, ev conn.Event) {
		switch ev.Kind {
		case conn.EventStreamReadable:
			b, _ := ev.Stream.Peek(1)
			ev.Stream.Discard(len(b))
		case conn.EventClosed:
			end = ev.Err
		}
	}
	c, err := client.Dial(n.Now(), conn.Target{Remote: server.Addr}, cc)
	if err != nil {
		t.Fatal(err)
	}
	n.RunUntil(time.Second, c.HandshakeComplete)
	s, err := c.OpenStream(conn.Uni)
	if err != nil {
		t.Fatal(err)
	}
	s.Write(make([]byte, 200_000))
	n.RunFor(5 * time.Second)
	st := c.Stats()
	got := logs[false].events(t)
	if uint64(got["quic:packet_sent"]) != st.PacketsSent || uint64(got["quic:packet_received"]) != st.PacketsReceived ||
		uint64(got["quic:packet_lost"]) < st.PacketsLost {
		t.Errorf("the log has %v, the counters %+v", got, st)
	}
	if st.PacketsLost == 0 || metrics == 0 || got["quic:recovery_metrics_updated"] == 0 || got["quic:parameters_set"] != 2 {
		t.Errorf("%d packets lost, %d metrics, events %v", st.PacketsLost, metrics, got)
	}
	// A reason is the peer's, and may hold anything.
	c.Close(7, "\"quoted\"\n\x00\xff</script>\u2028")
	n.RunFor(time.Second)
	if ae, ok := errors.AsType[*conn.ApplicationError](end); !ok || ae.Code != 7 {
		t.Fatalf("the server's connection ended with %v", end)
	}
	for side, f := range logs {
		if ev := f.events(t); ev["quic:connection_closed"] != 1 || !f.closed {
			t.Errorf("server %t: closed %t, events %v", side, f.closed, ev)
		}
	}
}

// TestQLogOfUnprotectedPackets: a client writes down what has no packet number too.
func TestQLogOfUnprotectedPackets(t *testing.T) {
	rnd := conntest.Seed(t, 1)
	n := simulate(t, 1)
	sc, cc := conntest.ServerConfig(), conntest.ClientConfig()
	sc.Versions = []uint32{conn.Version2}
	var log logFile
	cc.QLog = func(conn.ConnID, bool) io.WriteCloser { return &log }
	server := n.Add("10.0.0.1:443", &conn.EndpointConfig{Server: sc, Rand: rnd, Admit: func(in conn.AdmissionRequest) conn.Admission {
		if in.Token == conn.TokenNone {
			return conn.AdmissionRetry
		}
		return conn.AdmissionAccept
	}})
	client := n.Add("10.0.0.2:5000", &conn.EndpointConfig{Rand: rnd})
	c, err := client.Dial(n.Now(), conn.Target{Remote: server.Addr}, cc)
	if err != nil {
		t.Fatal(err)
	}
	n.RunUntil(time.Second, c.HandshakeComplete)
	log.events(t)
	for _, typ := range []string{"version_negotiation", "retry"} {
		if want := `"packet_type":"` + typ + `"`; bytes.Count(log.Bytes(), []byte(want)) != 1 {
			t.Errorf("the log has not one %s", want)
		}
	}
}

// TestQLogChangesNothing: a run with a log is the run without it, and the log has the transport
// parameters that were sent.
func TestQLogChangesNothing(t *testing.T) {
	run := func(t *testing.T, open func(conn.ConnID, bool) io.WriteCloser) [32]byte {
		rnd := conntest.Seed(t, 8)
		n := conntest.New(t, 8)
		n.Default = conntest.Link{Delay: 10 * time.Millisecond, Loss: 0.02}
		sc, cc := conntest.ServerConfig(), conntest.ClientConfig()
		sc.QLog, cc.QLog = open, open
		server := n.Add("10.0.0.1:443", &conn.EndpointConfig{Server: sc, Rand: rnd})
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
		s.Write(make([]byte, 100_000))
		n.RunFor(time.Second)
		c.Close(0, "")
		n.RunFor(time.Second)
		return n.Transcript()
	}
	var with, without [32]byte
	var logs []*logFile
	t.Run("without", func(t *testing.T) { without = run(t, nil) })
	t.Run("with", func(t *testing.T) {
		with = run(t, func(conn.ConnID, bool) io.WriteCloser {
			logs = append(logs, new(logFile))
			return logs[len(logs)-1]
		})
	})
	if with != without {
		t.Error("the log changed what was sent")
	}
	for _, f := range logs {
		if bytes.Contains(f.Bytes(), []byte("preferred_address")) {
			t.Error("the log has a preferred address, which no server has")
		}
	}
}
