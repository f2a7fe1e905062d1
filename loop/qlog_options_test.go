package loop

import (
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
)

// optioned returns the state behind QLogOptions.Dir.
func optioned(t *testing.T, o QLogOptions) *qlogDir {
	if o.Report == nil {
		o.Report = func(err error) { t.Error(err) }
	}
	return &qlogDir{dir: t.TempDir(), options: o}
}

// TestQLogSampling: one connection in N has a log, whatever its ID.
func TestQLogSampling(t *testing.T) {
	open := QLogOptions{OneIn: 4}.Dir(t.TempDir())
	n := 0
	for range 40 {
		if out := open(testConnID(t, 1, 2, 3), true); out != nil {
			n++
		}
	}
	if n != 10 {
		t.Errorf("%d of 40 connections have a log, want 10", n)
	}
}

// TestQLogHidesAddresses: no IP address is in a file, and what a peer wrote is as it was.
func TestQLogHidesAddresses(t *testing.T) {
	d := optioned(t, QLogOptions{HideAddresses: true})
	w := d.open(testConnID(t, 1), true)
	const reason = `"reason":"\"ip_v4\":\"10.0.0.9\""`
	io.WriteString(w, `{"local":{"ip_v4":"10.0.0.1","port_v4":443},"remote":{"ip_v6":"2001:db8::1","port_v6":5}}`+"\n")
	io.WriteString(w, "{"+reason+"}\n")
	io.WriteString(w, `{"src_ip":"2001:db8::2","src_port":6,"dst_ip":"10.0.0.1","dst_port":443}`+"\n")
	w.Close()
	settle(d)
	got, err := os.ReadFile(filepath.Join(d.dir, "01_server.sqlog"))
	want := `{"local":{"ip_v4":"hidden","port_v4":443},"remote":{"ip_v6":"hidden","port_v6":5}}` + "\n{" + reason + "}\n" +
		`{"src_ip":"hidden","src_port":6,"dst_ip":"hidden","dst_port":443}` + "\n"
	if err != nil || string(got) != want {
		t.Errorf("%v: %s\nwant %s", err, got, want)
	}
}

// TestQLogCompress: the files of several connections at once are what was written, and small.
func TestQLogCompress(t *testing.T) {
	d := optioned(t, QLogOptions{Compress: true})
	var want [2]strings.Builder
	var ws [2]io.WriteCloser
	for i := range ws {
		ws[i] = d.open(testConnID(t, byte(i)), false)
	}
	for k := range 10_000 {
		for i, w := range ws {
			record := fmt.Sprintf("{\"time\":%d,\"name\":\"of %d\"}\n", k, i)
			want[i].WriteString(record)
			io.WriteString(w, record)
		}
	}
	for i, w := range ws {
		w.Close()
		settle(d)
		name := filepath.Join(d.dir, fmt.Sprintf("%02x_client.sqlog.gz", i))
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		z, err := gzip.NewReader(f)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(z)
		if err != nil || string(got) != want[i].String() {
			t.Errorf("%v: %d bytes differ from the %d written", err, len(got), want[i].Len())
		}
		if st, err := f.Stat(); err != nil || st.Size() > int64(len(got)/3) {
			t.Errorf("%d bytes became %d, %v", len(got), st.Size(), err)
		}
	}
}

// record writes n records, one every 10 ms, of about 100 bytes.
func recordPackets(w io.Writer, n int) {
	io.WriteString(w, "{header}\n")
	for k := range n {
		fmt.Fprintf(w, "\x1e{\"time\":%d,\"name\":\"quic:packet_sent\",\"data\":{%q:%q}}\n", 10*k, "x", strings.Repeat("y", 50))
	}
}

// TestQLogRecorderBounds: a flight recorder keeps no more than its time and its bytes, and gives
// them back.
func TestQLogRecorderBounds(t *testing.T) {
	for _, test := range []struct {
		name  string
		o     QLogOptions
		first string // time of the first record that is left
	}{
		{"time", QLogOptions{Recent: time.Second, RecentBytes: 1 << 20}, `"time":8990,`},
		{"bytes", QLogOptions{Recent: time.Hour, RecentBytes: 5000}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := optioned(t, test.o)
			w := d.open(testConnID(t, 1), true)
			recordPackets(w, 1000)
			io.WriteString(w, "\x1e{\"time\":60000,\"name\":\"quic:connection_closed\",\"data\":{}}\n")
			r := w.(*qlogRecorder)
			if r.held() > test.o.RecentBytes || cap(r.data) > 4*test.o.RecentBytes || d.recorded != r.held()+len(r.header) {
				t.Errorf("%d bytes are kept in %d, and counted as %d", r.held(), cap(r.data), d.recorded)
			}
			r.ConnClosed(conn.ErrIdleTimeout)
			w.Close()
			settle(d)
			got, err := os.ReadFile(filepath.Join(d.dir, "01_server.sqlog"))
			if err != nil {
				t.Fatal(err)
			}
			lines := strings.Split(strings.TrimSpace(string(got)), "\n")
			if lines[0] != "{header}" || !strings.Contains(lines[1], test.first) || !strings.Contains(lines[len(lines)-1], "60000") {
				t.Errorf("%d records, from %s to %s", len(lines), lines[1], lines[len(lines)-1])
			}
			if d.recorded != 0 {
				t.Errorf("%d bytes are still counted", d.recorded)
			}
		})
	}
}

// TestQLogRecorderPlain: closes on purpose leave no file, and errors do.
func TestQLogRecorderPlain(t *testing.T) {
	for _, test := range []struct {
		err  error
		file bool
	}{
		{&conn.ApplicationError{}, false},
		{&conn.ApplicationError{Code: 0x100, Remote: true}, false},
		{&conn.ApplicationError{Code: 0x106}, true}, // H3_FRAME_ERROR
		{&conn.TransportError{}, false},
		{&conn.TransportError{Code: 10}, true},
		{fmt.Errorf("wrapped: %w", conn.ErrIdleTimeout), true},
		{conn.ErrStatelessReset, true},
	} {
		d := optioned(t, QLogOptions{Recent: time.Second, RecentBytes: 1000})
		w := d.open(testConnID(t, 1), true)
		recordPackets(w, 3)
		w.(*qlogRecorder).ConnClosed(test.err)
		w.Close()
		settle(d)
		if _, err := os.Stat(filepath.Join(d.dir, "01_server.sqlog")); (err == nil) != test.file {
			t.Errorf("after %v: %v", test.err, err)
		}
	}
}
