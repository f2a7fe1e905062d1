package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
)

// logOf writes a log to a file of the test.
func logOf(t testing.TB, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "a.sqlog")
	require.NoError(t, os.WriteFile(name, []byte(text), 0o600))
	return name
}

const aHeader = "\x1e" + `{"file_schema":"urn:ietf:params:qlog:file:sequential","trace":{"vantage_point":{"type":"client"}}}` + "\n"

// sent is an event in which a packet was sent.
func sent(ms float64, n int) string {
	return fmt.Sprintf(`{"time":%g,"name":"quic:packet_sent","data":{"header":{"packet_type":"1RTT","packet_number":%d},"raw":{"length":100},`+
		`"frames":[{"frame_type":"stream","stream_id":0,"offset":%d,"raw":{"payload_length":80}}]}}`, ms, n, 80*n)
}

// TestForms: the same events in all forms of files give the same page.
func TestForms(t *testing.T) {
	const header = `{"vantage_point":{"type":"client"},"common_fields":{%s}}`
	sequence := func(separator, format string, times ...float64) string {
		b := separator + `{"qlog_version":"0.4","trace":` + fmt.Sprintf(header, format) + "}\n"
		for i, ms := range times {
			b += separator + sent(ms, i) + "\n"
		}
		return b
	}
	document := func(before, behind string) string {
		return `{"qlog_version":"0.3", "qlog_format":"JSON", "traces":[{` + before + `"events":[` +
			sent(1000, 0) + ",\n " + sent(1010, 1) + "," + sent(1030, 2) + `]` + behind + `}], "title":"x"}`
	}
	const vantage = `"vantage_point":{"type":"client"}`
	for name, text := range map[string]string{
		"sequence":          sequence("\x1e", "", 1000, 1010, 1030),
		"lines":             sequence("", "", 1000, 1010, 1030),
		"absolute":          sequence("\x1e", `"time_format":"absolute"`, 1.7e12, 1.7e12+10, 1.7e12+30),
		"delta":             sequence("\x1e", `"time_format":"delta"`, 1000, 10, 20),
		"previous event":    sequence("\x1e", `"time_format":"relative_to_previous_event"`, 1000, 10, 20),
		"out of order":      sequence("\x1e", "", 1000, 1030, 1010),
		"header before":     document(vantage+",", ""),
		"header behind":     document("", ","+vantage),
		"pretty document":   strings.ReplaceAll(document(vantage+",", ""), ",", ",\n\t"),
		"a record in lines": "\x1e" + strings.ReplaceAll(`{"trace":{`+vantage+`}}`, ":", ":\n") + sequence("\x1e", "", 1000, 1010, 1030),
	} {
		t.Run(name, func(t *testing.T) {
			p, stderr := render(t, logOf(t, text))
			require.Empty(t, stderr)
			require.Len(t, p.Traces, 1)
			tr := p.Traces[0]
			require.EqualValues(t, 3, tr.Counts.Sent)
			require.EqualValues(t, 300, tr.Counts.SentBytes)
			require.Equal(t, "client", tr.Vantage)
			require.EqualValues(t, 30_000, tr.To)
			require.EqualValues(t, 240, tr.Streams[0].Tx)
			if name == "out of order" {
				require.Equal(t, []int64{0, 30_000, 0}, tr.Curves["sent"].T)
				return
			}
			require.Equal(t, []int64{0, 10_000, 20_000}, tr.Curves["sent"].T)
		})
	}
}

// TestReadsSmall: records do not depend on how the bytes come.
func TestReadsSmall(t *testing.T) {
	for _, text := range []string{
		aHeader + "\x1e" + sent(1, 0) + "\n\x1e" + sent(2, 1) + "\n",
		`{"traces":[{"events":[` + sent(1, 0) + "," + sent(2, 1) + `]}]}`,
	} {
		n := 0
		for rec := range records(bufio.NewReaderSize(iotest.OneByteReader(strings.NewReader(text)), 16)) {
			require.NoError(t, rec.err)
			n++
		}
		require.Equal(t, 3, n, "%s", text)
	}
}

// TestErrors: what is wrong with a record is told with the file and the number of the record, and
// the others count.
func TestErrors(t *testing.T) {
	good, more := "\x1e"+sent(1, 0)+"\n", "\x1e"+sent(2, 1)+"\n"
	deep := strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000)
	document := func(event string) string {
		return `{"traces":[{"events":[` + sent(1, 0) + "," + event + "," + sent(2, 1) + `]}]}`
	}
	for _, c := range []struct {
		name, text, want string
		sent             int64
	}{
		{"whole", aHeader + good + more, "", 2},
		{"cut", aHeader + good + more[:50], "a.sqlog: the last record, 3, is not complete and is left out", 1},
		{"cut document", document(sent(1, 2))[:420], "a.sqlog: the last record, 2, is not complete", 1},
		{"empty record", aHeader + good + "\x1e\n" + more, "", 2},
		{"no JSON", aHeader + good + "\x1enonsense\n" + more, "a.sqlog: record 3: invalid character", 2},
		{"NaN", aHeader + good + "\x1e" + `{"time":NaN,"name":"a:b"}` + "\n" + more, "a.sqlog: record 3: invalid character 'N'", 2},
		{"NaN in a document", document(`{"time":NaN,"name":"a:b"}`), "a.sqlog: record 2: invalid character 'N'", 2},
		{"NaN in a string", aHeader + good + "\x1e" + `{"time":"NaN","name":"a:b"}` + "\n" + more, "a.sqlog: record 3: NaN is not a number", 2},
		{"no time", aHeader + good + "\x1e" + `{"name":"a:b"}` + "\n" + more, "a.sqlog: record 3: the event has no time", 2},
		{"huge time", aHeader + good + "\x1e" + `{"time":1e300,"name":"a:b"}` + "\n" + more, "a.sqlog: record 3: its time is 1e+300 ms", 2},
		{"huge number", aHeader + good + "\x1e" + `{"time":1e999,"name":"a:b"}` + "\n" + more, "a.sqlog: record 3: 1e999 is not a number", 2},
		{"early time", aHeader + good + "\x1e" + `{"time":-1e300,"name":"a:b"}` + "\n" + more, "a.sqlog: record 3: its time is -1e+300 ms", 2},
		{"deep", aHeader + good + "\x1e" + `{"time":2,"name":"quic:packet_sent","data":` + deep + "}\n" + more, "a.sqlog: record 3: ", 2},
		{"deep in a document", document(deep), "a.sqlog: record 2: ", 2},
		{"long", aHeader + good + "\x1e" + strings.Repeat("x", maxRecord+1) + "\n" + more, "a.sqlog: record 3: it is longer than", 2},
		{"long in a document", document(`"` + strings.Repeat("x", maxRecord+1) + `"`), "a.sqlog: record 2: it is longer than", 2},
		{"wrong type", aHeader + good + "\x1e" + `{"time":2,"name":"quic:packet_sent","data":[]}` + "\n" + more, "a.sqlog: record 3: json: cannot unmarshal array", 2},
		{"unbalanced", document(`{"time":2]`), "a.sqlog: record 2: invalid character ']'", 2},
		{"broken document", document("}"), "a.sqlog: record 2: want a value, found '}'", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, stderr := render(t, logOf(t, c.text))
			require.Equal(t, c.sent, p.Traces[0].Counts.Sent, "%s", stderr)
			if c.want == "" {
				require.Empty(t, stderr)
				require.Empty(t, p.Notes)
				return
			}
			require.Contains(t, stderr, "qlogview: "+c.want)
			require.Equal(t, 1, strings.Count(stderr, "\n"), "%s", stderr)
			require.Equal(t, []string{strings.TrimSuffix(strings.TrimPrefix(stderr, "qlogview: "), "\n")}, p.Notes)
		})
	}
}

// TestManyErrors: a file of errors does not make a page of errors.
func TestManyErrors(t *testing.T) {
	p, stderr := render(t, logOf(t, aHeader+"\x1e"+sent(1, 0)+"\n"+strings.Repeat("\x1enonsense\n", 10_000)))
	require.Equal(t, maxNotes+1, strings.Count(stderr, "\n"))
	require.Len(t, p.Notes, maxNotes+1)
	require.Equal(t, "9980 more notes of this kind are left out", p.Notes[maxNotes])
}

// TestNothing: without an event there is no page.
func TestNothing(t *testing.T) {
	for _, text := range []string{"", " \n", aHeader, "nonsense", "{}", `{"traces":[]}`, "\x1f\x8b"} {
		name, out := logOf(t, text), filepath.Join(t.TempDir(), "page.html")
		require.Error(t, run([]string{"-o", out, name}, io.Discard, io.Discard), "%q", text)
		left, err := os.ReadDir(filepath.Dir(out))
		require.NoError(t, err)
		require.Empty(t, left, "%q", text)
	}
}

// TestMarkup: text of a log cannot become markup, or end the script that it stands in.
func TestMarkup(t *testing.T) {
	const evil = `</script><script>alert(1)</script><!--\u2028` + "\u2028"
	name := logOf(t, "\x1e"+`{"trace":{"title":"`+evil+`","vantage_point":{"type":"`+evil+`"},"common_fields":{"group_id":"`+evil+`"}}}`+"\n"+
		"\x1e"+sent(1, 0)+"\n\x1e"+`{"time":2,"name":"quic:connection_closed","data":{"reason":"`+evil+`","trigger":"`+evil+`"}}`+"\n"+
		"\x1e"+`{"time":3,"name":"http3:frame_created","data":{"stream_id":0,"frame":{"frame_type":"headers","headers":[{"name":":path","value":"`+evil+`"}]}}}`+"\n"+
		"\x1e"+evil+"\n")
	out := filepath.Join(t.TempDir(), "page.html")
	_, stderr := view(t, "-o", out, name)
	require.NotEmpty(t, stderr)
	b, err := os.ReadFile(out)
	require.NoError(t, err)
	require.Equal(t, 2, bytes.Count(b, []byte("</script>")), "those of the page itself")
	require.NotContains(t, string(b), "<!--")
	require.NotContains(t, string(b), "\u2028")
	p := pageOf(t, out)
	require.Equal(t, strings.ReplaceAll(evil, `\u2028`, "\u2028"), p.Traces[0].Group)
	require.Equal(t, "unknown", p.Traces[0].Vantage)
}

// TestHostileSizes: numbers beyond all reason, and streams without end, keep to the bounds.
func TestHostileSizes(t *testing.T) {
	b := &strings.Builder{}
	b.WriteString(aHeader)
	for i := range 20_000 {
		fmt.Fprintf(b, "\x1e"+`{"time":%d,"name":"quic:packet_sent","data":{"header":{"packet_type":"1RTT","packet_number":1e300},"raw":{"length":-5},`+
			`"frames":[{"frame_type":"stream","stream_id":%d,"offset":1e18,"raw":{"payload_length":1e18}},{"frame_type":"ack","acked_ranges":[[1e99,-1]]}]}}`+"\n", i, 4*i)
		fmt.Fprintf(b, "\x1e"+`{"time":%d,"name":"quic:mtu_updated","data":{"new":%d}}`+"\n", i, i)
		fmt.Fprintf(b, "\x1e"+`{"time":%d,"name":"quic:connection_state_updated","data":{"new":"%s"}}`+"\n", i, strings.Repeat("x", i%1000))
	}
	name, out := logOf(t, b.String()), filepath.Join(t.TempDir(), "page.html")
	view(t, "-o", out, name)
	info, err := os.Stat(out)
	require.NoError(t, err)
	require.Less(t, info.Size(), 2_000_000)
	tr := pageOf(t, out).Traces[0]
	require.EqualValues(t, 20_000, tr.Counts.Sent)
	require.Len(t, tr.Streams, maxStreams)
	require.EqualValues(t, 20_000-maxStreams, tr.More)
	require.Len(t, tr.Marks, maxMarks)
	require.LessOrEqual(t, len(tr.Steps), maxSteps)
}

// TestFlightRecorder: the last seconds of a connection are a trace of which the beginning is
// missing. The page does not make one up.
func TestFlightRecorder(t *testing.T) {
	dir := t.TempDir()
	s := simulate(t, dir, 9, conntest.Link{Delay: 10 * time.Millisecond})
	s.cc.QLog = loop.QLogOptions{Recent: 2 * time.Second, RecentBytes: 1 << 20, Report: func(err error) { t.Error(err) }}.Dir(dir)
	s.connect(9)
	for range 50 {
		s.send(100)
		s.RunFor(100 * time.Millisecond)
	}
	s.c.Close(0x106, "frame error")
	s.RunFor(time.Second)
	name := filepath.Join(dir, s.c.ID().String()+"_client.sqlog")
	require.Eventually(t, func() bool { // the file is written on a goroutine
		b, _ := os.ReadFile(name)
		return bytes.Contains(b, []byte("connection_closed"))
	}, time.Minute, time.Millisecond)
	p, stderr := render(t, name)
	require.Empty(t, stderr)
	tr := p.Traces[0]
	require.InDelta(t, 2000, float64(tr.To)/1000, 200)
	require.InDelta(t, 20, tr.Counts.Streams, 3)
	require.Zero(t, tr.Waiting.Total[causeHandshake])
	require.Equal(t, "closed, local, application, frame error, code 262", tr.Marks[len(tr.Marks)-1].Text)
}

// TestPart: -from and -to show a part, in which only that counts.
func TestPart(t *testing.T) {
	b := &strings.Builder{}
	b.WriteString(aHeader)
	for i := range 1000 {
		b.WriteString("\x1e" + sent(float64(i), i) + "\n")
	}
	p, _ := render(t, "-from", "100ms", "-to", "199ms", logOf(t, b.String()))
	tr := p.Traces[0]
	require.EqualValues(t, 100, tr.Counts.Sent)
	require.EqualValues(t, 100, tr.Curves["sent"].V[0])
	require.EqualValues(t, 100_000, tr.From)
	require.EqualValues(t, 199_000, tr.To)
	var all int64
	for _, v := range tr.Waiting.Total {
		all += v
	}
	require.EqualValues(t, 99_000, all)
}

// An endless log makes records as they are read.
type endlessLog struct {
	left int // bytes
	n    int
	buf  []byte
}

func (l *endlessLog) Read(b []byte) (int, error) {
	if l.left <= 0 {
		return 0, io.EOF
	}
	if len(l.buf) == 0 {
		at := float64(l.n) / 10
		l.buf = append(l.buf, "\x1e"+sent(at, l.n)+"\n"...)
		l.buf = fmt.Appendf(l.buf, "\x1e"+`{"time":%g,"name":"quic:recovery_metrics_updated","data":{"congestion_window":%d,"bytes_in_flight":%d,"smoothed_rtt":%g}}`+"\n",
			at, 12_000+l.n%5000, l.n%7000, 20+float64(l.n%100)/10)
		l.buf = fmt.Appendf(l.buf, "\x1e"+`{"time":%g,"name":"quic:connection_data_blocked_updated","data":{"new":"%s","reason":"pacing"}}`+"\n",
			at, []string{"blocked", "unblocked"}[l.n%2])
		if l.n%100 == 0 {
			l.buf = fmt.Appendf(l.buf, "\x1e"+`{"time":%g,"name":"quic:packet_lost","data":{"header":{"packet_type":"1RTT","packet_number":%d}}}`+"\n", at, l.n)
		}
		l.n++
		l.left -= len(l.buf)
	}
	n := copy(b, l.buf)
	l.buf = l.buf[:copy(l.buf, l.buf[n:])]
	return n, nil
}

// TestLargeTrace: 100 MB become a page of a few MB, in memory that does not grow with the trace.
// The sums are exact.
func TestLargeTrace(t *testing.T) {
	size := 100_000_000
	if testing.Short() {
		size = 10_000_000
	}
	in := &input{report: &report{w: io.Discard}, to: 1 << 62}
	src := &endlessLog{left: size}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	in.read("large", bufio.NewReader(src))
	runtime.GC()
	runtime.ReadMemStats(&after)
	held := int64(after.HeapAlloc) - int64(before.HeapAlloc)
	require.Less(t, held, 16<<20, "bytes that are held of %d", size)
	require.Less(t, after.HeapSys, before.HeapSys+64<<20, "the heap grew")

	var out counter
	out.w = io.Discard
	p := newPage(in.traces, alignAuto, nil)
	require.NoError(t, p.render(&out))
	t.Logf("%d bytes of page, %d held", out.n, held)
	require.Less(t, out.n, 3_000_000, "bytes of the page")
	tr := p.Traces[0]
	require.EqualValues(t, src.n, tr.Counts.Sent)
	require.EqualValues(t, (src.n+99)/100, tr.Counts.Lost)
	last := float64(src.n-1) / 10
	require.InDelta(t, last/2, waited(tr, causePacing), 1)
	require.InDelta(t, last/2, waited(tr, causeApplication), 1)
	var shares int64
	for _, b := range tr.Waiting.Bins {
		for _, v := range b {
			shares += v
		}
	}
	require.InDelta(t, last*1000, shares, 1000)
	require.Greater(t, len(tr.Waiting.Bins), maxBins/2-1)
	c := tr.Curves["window"]
	require.Greater(t, len(c.T), maxBins/2-1)
	lo, hi := c.Min[0], c.Max[0]
	for i := range c.T {
		lo, hi = min(lo, c.Min[i]), max(hi, c.Max[i])
	}
	require.EqualValues(t, 12_000, lo)
	require.EqualValues(t, 16_999, hi)
}

// TestPaths: packets of another path than the first say so, its figures are not mixed with those of
// the first, and the page tells when it opened and ended.
func TestPaths(t *testing.T) {
	text := aHeader + "\x1e" + strings.Join([]string{
		`{"time":1,"name":"quic:recovery_metrics_updated","data":{"smoothed_rtt":20}}`,
		`{"time":2,"name":"quic:tuple_assigned","data":{"tuple_id":"path1","tuple_remote":{},"tuple_local":{}}}`,
		`{"time":3,"name":"quic:recovery_metrics_updated","tuple":"path1","data":{"smoothed_rtt":90}}`,
		`{"time":4,"name":"quic:packet_sent","tuple":"path1","data":{"header":{"packet_type":"1RTT","packet_number":7}}}`,
		`{"time":5,"name":"quic:tuple_assigned","data":{"tuple_id":"path1"}}`,
	}, "\n\x1e")
	in := &input{to: 1 << 40, report: &report{w: io.Discard}}
	in.read("log", bufio.NewReader(strings.NewReader(text+"\n")))
	require.Len(t, in.traces, 1)
	require.Empty(t, in.report.notes())
	tr := in.traces[0]
	require.Len(t, tr.packets.details, 1)
	require.True(t, strings.HasPrefix(tr.packets.details[0].Text, "path1: 1RTT 7"))
	var marks []string
	for _, m := range tr.marks.list {
		marks = append(marks, m.Text)
	}
	require.Equal(t, []string{`path "path1" opened or moved`, `path "path1" ended`}, marks)
	require.Len(t, tr.metrics[curveSmoothedRTT].T, 1)
}
