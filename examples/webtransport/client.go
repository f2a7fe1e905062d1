package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/examples/internal/envlog"
	"github.com/lazoquic/lazo/examples/internal/trust"
	"github.com/lazoquic/lazo/h3/webtransport"
)

// measure prints the round-trip times of streams and datagrams.
func measure(ctx context.Context, o *options, stdout io.Writer) error {
	tc, err := trust.Config(o.ca, o.insecure)
	if err != nil {
		return err
	}
	cfg := new(conn.Config)
	endLogs, err := envlog.Attach(tc, cfg, slog.Default())
	if err != nil {
		return err
	}
	defer endLogs()
	d := &webtransport.Dialer{TLSClientConfig: tc, QUICConfig: cfg}
	defer d.Close()
	s, _, err := d.Dial(ctx, o.connect, nil)
	if err != nil {
		return err
	}
	defer s.CloseWithError(0, "done")
	streams, err := measureStreams(ctx, s, conn.Bidi, o.n)
	if err != nil {
		return err
	}
	pairs, err := measureStreams(ctx, s, conn.Uni, o.n)
	if err != nil {
		return err
	}
	datagrams, err := measureDatagrams(ctx, s, o.n)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\tback\tfastest\tmedian\tslowest\t")
	row(w, "streams", streams, o.n)
	row(w, "pairs of streams", pairs, o.n)
	row(w, "datagrams", datagrams, o.n)
	return w.Flush()
}

// row writes one line of the table.
func row(w io.Writer, name string, times []time.Duration, n int) {
	if len(times) == 0 {
		fmt.Fprintf(w, "%s\t0 of %d\t\t\t\t\n", name, n)
		return
	}
	slices.Sort(times)
	us := time.Microsecond
	fmt.Fprintf(w, "%s\t%d of %d\t%v\t%v\t%v\t\n", name, len(times), n,
		times[0].Round(us), times[len(times)/2].Round(us), times[len(times)-1].Round(us))
}

// measureStreams opens n streams one after another, each for a small message. The data of a
// unidirectional stream comes back on another one.
func measureStreams(ctx context.Context, s *webtransport.Session, dir conn.Dir, n int) ([]time.Duration, error) {
	var times []time.Duration
	for i := range n {
		began := time.Now()
		message := fmt.Sprint("message ", i)
		b, err := exchange(ctx, s, dir, message)
		if err != nil {
			return nil, err
		}
		if string(b) != message {
			return nil, fmt.Errorf("%q came back as %q", message, b)
		}
		times = append(times, time.Since(began))
	}
	return times, nil
}

// exchange sends a message on a new stream, and returns the answer.
func exchange(ctx context.Context, s *webtransport.Session, dir conn.Dir, message string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := s.OpenStream(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	io.WriteString(out, message)
	out.CloseWrite()
	in := out
	if dir == conn.Uni {
		if in, err = s.AcceptStream(ctx, dir); err != nil {
			return nil, err
		}
		defer in.Close()
	}
	in.SetReadDeadline(time.Now().Add(10 * time.Second))
	return io.ReadAll(in)
}

// measureDatagrams sends n datagrams one after another. Some may be lost.
func measureDatagrams(ctx context.Context, s *webtransport.Session, n int) ([]time.Duration, error) {
	var times []time.Duration
	buf := make([]byte, 100)
	for i := range n {
		began := time.Now()
		b := binary.BigEndian.AppendUint32(nil, uint32(i))
		if err := s.SendDatagram(ctx, b, time.Second); err != nil {
			return nil, err
		}
		wait, cancel := context.WithTimeout(ctx, time.Second)
		for {
			k, err := s.ReceiveDatagram(wait, buf)
			if err != nil {
				break
			}
			if k == 4 && binary.BigEndian.Uint32(buf) == uint32(i) { // not an older one
				times = append(times, time.Since(began))
				break
			}
		}
		cancel()
		if err := context.Cause(s.Context()); err != nil {
			return nil, err
		}
	}
	return times, ctx.Err()
}
