package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/internal/require"
)

// view runs the program, and returns what it wrote to standard output and standard error.
func view(t testing.TB, args ...string) (stdout, stderr string) {
	t.Helper()
	var out, errs strings.Builder
	require.NoError(t, run(args, &out, &errs), "%s", errs.String())
	return out.String(), errs.String()
}

var dataOf = regexp.MustCompile(`(?s)<script type="application/json" id="data">(.*?)</script>`)

// pageOf returns the data of a page.
func pageOf(t testing.TB, name string) *page {
	t.Helper()
	b, err := os.ReadFile(name)
	require.NoError(t, err)
	m := dataOf.FindSubmatch(b)
	require.NotNil(t, m, "the page has no data")
	p := new(page)
	require.NoError(t, json.Unmarshal(m[1], p))
	return p
}

// render runs the program on files, and returns the data of the page.
func render(t testing.TB, args ...string) (p *page, stderr string) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "page.html")
	_, stderr = view(t, append([]string{"-o", out}, args...)...)
	return pageOf(t, out), stderr
}

// A simulation is a client and a server on a simulated network, whose logs go to files.
type simulation struct {
	*conntest.Network
	t      *testing.T
	dir    string
	sc, cc *conn.Config
	server *conntest.Node
	client *conntest.Node
	c      *conn.Conn     // the client's
	s      *conn.Conn     // the server's
	opened []*conn.Stream // by the peer of the server
	reads  bool           // the server reads
	stats  map[bool]conn.Stats
}

// simulate prepares a run. connect begins it.
func simulate(t *testing.T, dir string, seed uint64, link conntest.Link) *simulation {
	t.Helper()
	s := &simulation{Network: conntest.New(t, seed), t: t, dir: dir, reads: true, sc: conntest.ServerConfig(), cc: conntest.ClientConfig()}
	s.Default = link
	open := func(_ conn.ConnID, server bool) io.WriteCloser {
		f, err := os.Create(s.file(server))
		require.NoError(t, err)
		return f
	}
	s.sc.QLog, s.cc.QLog = open, open
	return s
}

func (s *simulation) file(server bool) string {
	if server {
		return filepath.Join(s.dir, "server.sqlog")
	}
	return filepath.Join(s.dir, "client.sqlog")
}

func (s *simulation) connect(seed uint64) {
	s.t.Helper()
	rnd := conntest.Seed(s.t, seed)
	s.server = s.Add("10.0.0.1:443", &conn.EndpointConfig{Server: s.sc, Rand: rnd})
	s.client = s.Add("10.0.0.2:5000", &conn.EndpointConfig{Rand: rnd})
	s.server.OnEvent = func(_ time.Time, ev conn.Event) {
		switch ev.Kind {
		case conn.EventAccepted:
			s.s = ev.Conn
		case conn.EventStreamReadable:
			if s.reads {
				read(ev.Stream)
			}
		case conn.EventStreamOpened:
			s.opened = append(s.opened, ev.Stream)
		}
	}
	c, err := s.client.Dial(s.Now(), conn.Target{Remote: s.server.Addr}, s.cc)
	require.NoError(s.t, err)
	s.c = c
	s.RunUntil(10*time.Second, c.HandshakeComplete)
}

// read reads all that is there.
func read(st *conn.Stream) {
	for b, _ := st.Peek(1); len(b) > 0; b, _ = st.Peek(1) {
		st.Discard(len(b))
	}
}

// send opens a stream and writes n bytes to it.
func (s *simulation) send(n int) *conn.Stream {
	s.t.Helper()
	s.client.HandleTimeout(s.Now()) // the client learns the time
	st, err := s.c.OpenStream(conn.Uni)
	require.NoError(s.t, err)
	st.Write(make([]byte, n))
	st.CloseWrite()
	return st
}

// resume lets the server read again.
func (s *simulation) resume() {
	s.reads = true
	for _, st := range s.opened {
		read(st)
	}
}

// end closes the connection.
func (s *simulation) end() {
	s.client.HandleTimeout(s.Now())
	s.c.Close(0, "done")
	s.RunFor(time.Second)
	s.stats = map[bool]conn.Stats{false: s.c.Stats(), true: s.s.Stats()}
}

// stalledLogs are those of a run in which the server does not read for a second, with some losses.
func stalledLogs(t *testing.T, dir string) []string {
	t.Helper()
	s := simulate(t, dir, 4, conntest.Link{Delay: 10 * time.Millisecond, Loss: 0.02, Rate: 20e6})
	s.sc.InitialMaxData, s.sc.MaxData = 200_000, 200_000
	s.connect(4)
	s.RunFor(100 * time.Millisecond)
	s.reads = false
	for range 4 {
		s.send(100_000)
	}
	s.RunFor(time.Second)
	s.resume()
	s.RunFor(time.Second)
	s.end()
	return []string{s.file(false), s.file(true)}
}

// TestCounts: the page has as many packets, bytes and losses as the connections have counted, on
// both sides, in both schemas, compressed or not.
func TestCounts(t *testing.T) {
	for _, format := range []conn.QLogFormat{conn.QLogDraft, conn.QLog03} {
		t.Run(fmt.Sprint(format), func(t *testing.T) {
			s := simulate(t, t.TempDir(), 4, conntest.Link{Delay: 10 * time.Millisecond, Loss: 0.02, Rate: 20e6})
			s.sc.QLogFormat, s.cc.QLogFormat = format, format
			s.connect(4)
			for range 10 {
				s.send(50_000)
			}
			s.RunFor(2 * time.Second)
			s.end()
			compressed := compress(t, s.file(false))
			p, stderr := render(t, s.file(false), s.file(true), compressed)
			require.Empty(t, stderr)
			require.Equal(t, alignClock, p.Align)
			for i, st := range []conn.Stats{s.stats[false], s.stats[true], s.stats[false]} {
				c := p.Traces[i].Counts
				require.EqualValues(t, st.PacketsSent, c.Sent)
				require.EqualValues(t, st.PacketsReceived, c.Received)
				require.InDelta(t, st.BytesSent, c.SentBytes, 40, "the counter leaves out the packet of CONNECTION_CLOSE")
				require.EqualValues(t, st.BytesReceived, c.ReceivedBytes)
				require.EqualValues(t, st.PacketsLost, c.Lost)
				require.EqualValues(t, 10, c.Streams)
			}
			require.Positive(t, p.Traces[0].Counts.Lost)
			require.Equal(t, []string{"client", "server", "client"}, []string{p.Traces[0].Vantage, p.Traces[1].Vantage, p.Traces[2].Vantage})
			require.Equal(t, s.c.ID().String(), p.Traces[0].Group)
			require.Equal(t, p.Traces[0].Group, p.Traces[1].Group)
			// 10 ms of way, and 1,200 bytes at 20 Mbit/s.
			require.EqualValues(t, 10_480, p.Traces[1].Offset, "when the server's log begins")
			for _, st := range p.Traces[0].Streams {
				require.EqualValues(t, 50_000, st.Tx)
				require.True(t, st.End > st.Sent && st.Sent >= st.Open, "%+v", st)
			}
		})
	}
}

// compress writes a compressed copy of a file.
func compress(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	require.NoError(t, err)
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	w.Write(b)
	require.NoError(t, w.Close())
	require.NoError(t, os.WriteFile(name+".gz", z.Bytes(), 0o600))
	return name + ".gz"
}

// waited returns for how many milliseconds data waited for a cause.
func waited(tr *shownTrace, c cause) float64 { return float64(tr.Waiting.Total[c]) / 1000 }

// TestWaitsForFlowControl: the server does not read for 500 ms, in which the client waits for the
// limit of the connection, or for that of its stream.
func TestWaitsForFlowControl(t *testing.T) {
	for _, format := range []conn.QLogFormat{conn.QLogDraft, conn.QLog03} {
		for _, perStream := range []bool{false, true} {
			t.Run(fmt.Sprintf("format %v, of a stream %v", format, perStream), func(t *testing.T) {
				s := simulate(t, t.TempDir(), 1, conntest.Link{Delay: 10 * time.Millisecond})
				s.cc.QLogFormat = format
				if perStream {
					s.sc.InitialMaxStreamData, s.sc.MaxStreamData = 10_000, 10_000
				} else {
					s.sc.InitialMaxData, s.sc.MaxData = 10_000, 10_000
				}
				s.connect(1)
				s.RunFor(100 * time.Millisecond)
				s.reads = false
				s.send(15_000)
				s.RunFor(500 * time.Millisecond)
				s.resume()
				s.RunFor(300 * time.Millisecond)
				s.end()
				p, stderr := render(t, s.file(false))
				require.Empty(t, stderr)
				tr := p.Traces[0]
				require.Equal(t, format == conn.QLog03, tr.Waiting.Guessed)
				// The window is full at once, and the new limit takes 10 ms to come.
				require.InDelta(t, 510, waited(tr, causeFlow), 5)
				require.Zero(t, tr.Waiting.Total[causeCongestion])
				require.Len(t, tr.Streams, 1)
				if perStream {
					require.InDelta(t, 510, float64(tr.Streams[0].Blocked)/1000, 5)
				} else {
					require.Zero(t, tr.Streams[0].Blocked)
				}
			})
		}
	}
}

// TestWaitsForApplication: the application has nothing to send but for a moment.
func TestWaitsForApplication(t *testing.T) {
	s := simulate(t, t.TempDir(), 1, conntest.Link{Delay: 10 * time.Millisecond})
	s.connect(1)
	s.RunFor(400 * time.Millisecond)
	s.send(1000)
	s.RunFor(400 * time.Millisecond)
	s.end()
	p, _ := render(t, s.file(false))
	tr := p.Traces[0]
	require.InDelta(t, 20, waited(tr, causeHandshake), 1, "a round trip")
	var all float64
	for c := range numCauses {
		all += waited(tr, c)
	}
	require.InDelta(t, all-20, waited(tr, causeApplication), 1)
	require.Greater(t, all, 800.0)
	require.Equal(t, []string{"connection started", "version 00000001", "Initial sent"}, texts(tr.Steps[:3]))
	require.Contains(t, strings.Join(texts(tr.Steps), "\n"), "HANDSHAKE_DONE received")
}

func texts(steps []step) (list []string) {
	for _, s := range steps {
		list = append(list, s.Text)
	}
	return list
}

// TestWaitsForCongestionWindow: a long way of little loss and much data is a matter of the window.
func TestWaitsForCongestionWindow(t *testing.T) {
	for _, format := range []conn.QLogFormat{conn.QLogDraft, conn.QLog03} {
		s := simulate(t, t.TempDir(), 2, conntest.Link{Delay: 50 * time.Millisecond})
		s.sc.InitialMaxData, s.sc.InitialMaxStreamData = 1<<24, 1<<24
		s.cc.QLogFormat = format
		s.connect(2)
		s.send(400_000)
		s.RunFor(2 * time.Second)
		s.end()
		p, _ := render(t, s.file(false))
		tr := p.Traces[0]
		// It takes 4 to 6 round trips of 100 ms, in which the window or pacing is the limit.
		require.Greater(t, waited(tr, causeCongestion), 150.0, "%v", tr.Waiting)
		require.Zero(t, tr.Waiting.Total[causeFlow])
		if format == conn.QLogDraft {
			require.Positive(t, tr.Waiting.Total[causePacing])
			require.Less(t, waited(tr, causeCongestion)+waited(tr, causePacing), 800.0)
		}
		require.Greater(t, slices.Max(tr.Curves["window"].V), slices.Min(tr.Curves["window"].V))
		require.EqualValues(t, 100_000, slices.Min(tr.Curves["minRTT"].V))
	}
}

// TestWaitsForAmplification: a server with a long certificate may send three times what it has
// received, and waits for the client's acknowledgement to send the rest.
func TestWaitsForAmplification(t *testing.T) {
	for _, format := range []conn.QLogFormat{conn.QLogDraft, conn.QLog03} {
		s := simulate(t, t.TempDir(), 3, conntest.Link{Delay: 50 * time.Millisecond})
		s.sc.QLogFormat = format
		chain := &s.sc.TLS.Certificates[0].Certificate
		for range 30 { // of which the client needs but the first
			*chain = append(*chain, (*chain)[0])
		}
		s.connect(3)
		s.RunFor(time.Second)
		s.end()
		p, _ := render(t, s.file(true))
		tr := p.Traces[0]
		require.Equal(t, "server", tr.Vantage)
		require.InDelta(t, 100, waited(tr, causeAmplification), 10, "a round trip: %v", tr.Waiting.Total)
	}
}
