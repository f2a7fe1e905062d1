package compat

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/lazoquic/lazo/internal/require"
)

// TestMeasureDoQ builds CoreDNS with quic-go and with Lazo, and logs what both spend on queries of
// DNS over QUIC (RFC 9250). The client is quic-go's. LAZO_MEASURE is that of TestMeasureCaddy.
func TestMeasureDoQ(t *testing.T) {
	measureBoth(t, "github.com/coredns/coredns", ".", measureDoQ)
}

// How much a run does, before it is divided by its share.
const (
	measuredQueries = 100000
	measuredFirst   = 1000 // connections
	mostFirst       = 180  // the same, at once: CoreDNS takes 200
)

// measureDoQ runs CoreDNS.
func measureDoQ(t *testing.T, binary string, share int) []cost {
	port, s := startCoreDNS(t, binary)
	defer s.Wait()
	defer s.Process.Kill()
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	first, memory := idleDoQ(t, addr, s.Process.Pid, min(max(measuredFirst/share, 5), mostFirst))

	n := max(measuredQueries/share, workers)
	askAll(t, addr, n/10+workers) // warm
	before := cpuOf(t, s.Process.Pid)
	took := askAll(t, addr, n)
	query := (cpuOf(t, s.Process.Pid) - before) / time.Duration(n)
	slices.Sort(took)
	return []cost{
		micros("CPU time a query", query),
		micros("p99 of these queries", took[len(took)*99/100]),
		micros("CPU time a connection with one query", first),
		kib("memory a connection", memory),
	}
}

// idleDoQ makes n connections with one query each, and returns what CPU time and memory each takes
// of a process that has not done much yet: later it has free memory of its own to give them.
func idleDoQ(t *testing.T, addr string, pid, n int) (spent time.Duration, memory int) {
	t.Helper()
	rss, cpu := rssOf(t, pid), cpuOf(t, pid)
	for range n {
		conn := dialDoQ(t, addr)
		defer conn.CloseWithError(0, "")
		_, err := ask(conn)
		require.NoError(t, err)
	}
	return (cpuOf(t, pid) - cpu) / time.Duration(n), (rssOf(t, pid) - rss) / n
}

func dialDoQ(t *testing.T, addr string) *quic.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := quic.DialAddr(ctx, addr, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"doq"}}, nil)
	require.NoError(t, err)
	return conn
}

// askAll asks n times on several connections, and returns how long each query took.
func askAll(t *testing.T, addr string, n int) (all []time.Duration) {
	t.Helper()
	var mu sync.Mutex
	var wg sync.WaitGroup
	var failed error
	for w := range min(workers, n) {
		conn := dialDoQ(t, addr)
		defer conn.CloseWithError(0, "")
		wg.Go(func() {
			for i := w; i < n; i += workers {
				d, err := ask(conn)
				mu.Lock()
				all = append(all, d)
				failed = errors.Join(failed, err)
				mu.Unlock()
				if err != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	require.NoError(t, failed)
	return all
}

// query asks for the IPv4 address of lazo.test: the length (RFC 9250, Section 4.2), a header with
// ID 0, recursion desired and one question, the name, type A and class IN (RFC 1035, Section 4).
const query = "\x00\x1b" + "\x00\x00\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" + "\x04lazo\x04test\x00" + "\x00\x01\x00\x01"

// ask sends the query on a stream, and reads the answer.
func ask(conn *quic.Conn) (time.Duration, error) {
	start := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	s, err := conn.OpenStreamSync(ctx)
	if err != nil {
		return 0, err
	}
	s.SetDeadline(start.Add(time.Minute))
	if _, err := io.WriteString(s, query); err != nil {
		return 0, err
	}
	if err := s.Close(); err != nil {
		return 0, err
	}
	b, err := io.ReadAll(s)
	if err != nil {
		return 0, err
	}
	// It answers the question, without an error.
	if len(b) < len(query) || int(binary.BigEndian.Uint16(b)) != len(b)-2 || b[4]&0x80 == 0 || b[5]&0x0f != 0 {
		return 0, fmt.Errorf("the answer is %x", b)
	}
	return time.Since(start), nil
}
