package conn_test

import (
	"bytes"
	"crypto/tls"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/internal/require"
)

// An eventRow is a row of the table of events in docs/qlog.md.
type eventRow struct{ draft, old, note string }

// eventTable reads the table. Names are in backquotes.
func eventTable(t *testing.T) (rows []eventRow) {
	t.Helper()
	page, err := os.ReadFile("../docs/qlog.md")
	require.NoError(t, err)
	for line := range strings.Lines(string(page)) {
		if !strings.HasPrefix(line, "| `quic:") && !strings.HasPrefix(line, "| `http") {
			continue
		}
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		require.Len(t, cells, 3, "%s", line)
		name := func(i int) string { return strings.Trim(strings.TrimSpace(cells[i]), "`") }
		rows = append(rows, eventRow{name(0), name(1), strings.TrimSpace(cells[2])})
	}
	return rows
}

// TestQLogEventTable: docs/qlog.md has a row for each event that logs have, in both formats. Rows
// of other events say why logs do not have them.
func TestQLogEventTable(t *testing.T) {
	seen := [2]map[string]int{{}, {}}
	for _, format := range []conn.QLogFormat{conn.QLogDraft, conn.QLog03} {
		first, second := loggedEarly(t, format)
		logs := append(loggedSessions(t, format), first[:]...)
		logs = append(logs, second[:]...)
		logs = append(logs, loggedStalls(t, format)...)
		logs = append(logs, loggedRequests(t, format)...)
		logs = append(logs, loggedEarlyRequest(t, format)...)
		for _, f := range logs {
			for name, n := range f.events(t) {
				seen[format][name] += n
			}
		}
		delete(seen[format], "") // the header
	}
	rows := eventTable(t)
	require.Greater(t, len(rows), 40)
	for _, r := range rows {
		written := !strings.HasPrefix(r.note, "no: ")
		require.Equal(t, written, seen[conn.QLogDraft][r.draft] > 0, "%s", r.draft)
		if r.old != "" {
			require.Positive(t, seen[conn.QLog03][r.old], "%s", r.old)
		}
		delete(seen[conn.QLogDraft], r.draft)
		delete(seen[conn.QLog03], r.old)
	}
	for _, rest := range seen {
		require.Empty(t, rest, "events without a row")
	}
}

// TestQLogAddressMembers: IP addresses are the values of members that loop.QLogOptions knows, so
// that it can hide them.
func TestQLogAddressMembers(t *testing.T) {
	address := regexp.MustCompile(`"([a-z0-9_]*)":"10\.0\.0\.\d`)
	for format, want := range [][]string{conn.QLogDraft: {"ip_v4"}, conn.QLog03: {"src_ip", "dst_ip"}} {
		seen := map[string]bool{}
		for _, f := range loggedSessions(t, conn.QLogFormat(format)) {
			found := address.FindAllSubmatch(f.Bytes(), -1)
			require.Equal(t, bytes.Count(f.Bytes(), []byte("10.0.0.")), len(found))
			for _, m := range found {
				seen[string(m[1])] = true
			}
		}
		for _, name := range want {
			require.True(t, seen[name], "%s", name)
			delete(seen, name)
		}
		require.Empty(t, seen)
	}
}

// loggedEarlyRequest returns the logs of both sides of two connections. The second one begins with
// a request as early data.
func loggedEarlyRequest(t *testing.T, format conn.QLogFormat) []*logFile {
	t.Helper()
	rnd := conntest.Seed(t, 12)
	n := conntest.New(t, 12)
	n.Default = conntest.Link{Delay: 10 * time.Millisecond}
	var logs []*logFile
	sc, cc := conntest.ServerConfig(), conntest.ClientConfig()
	cc.TLS.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	settings := &h3.Config{Datagrams: true, QPACKTableCapacity: 4096, QPACKBlockedStreams: 10}
	sc.TicketData, sc.AcceptEarlyData = settings.TicketData(), settings.AcceptEarlyData
	for _, cfg := range []*conn.Config{sc, cc} {
		cfg.QLogFormat, cfg.MaxDatagramFrameSize, cfg.Enable0RTT = format, 1200, true
		cfg.QLog = func(conn.ConnID, bool) io.WriteCloser {
			logs = append(logs, new(logFile))
			return logs[len(logs)-1]
		}
	}
	server := n.Add("10.0.0.1:443", &conn.EndpointConfig{Server: sc, Rand: rnd})
	client := n.Add("10.0.0.2:5000", &conn.EndpointConfig{Rand: rnd})
	for range 2 {
		ss, cs := &h3Side{t: t}, &h3Side{t: t}
		server.OnEvent, client.OnEvent = ss.handle, cs.handle
		c, err := client.Dial(n.Now(), conn.Target{Remote: server.Addr}, cc)
		require.NoError(t, err)
		cs.c, err = h3.NewConn(c, settings)
		require.NoError(t, err)
		if c.EarlyData() {
			_, err = cs.c.OpenRequest([]h3.Field{
				{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "https"}, {Name: ":authority", Value: "lazo.test"},
				{Name: ":path", Value: "/"},
			}, true)
			require.NoError(t, err)
		}
		n.RunFor(time.Second)
		c.Close(uint64(h3.NoError), "done")
		n.RunFor(time.Second)
		require.Equal(t, len(logs) > 2, c.EarlyDataAccepted())
	}
	return logs
}
