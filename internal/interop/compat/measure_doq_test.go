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

// A doqCosts is what one run of CoreDNS spends.
type doqCosts struct {
	query, first time.Duration // CPU time of a query, and of a connection with one query
	p99          time.Duration // of a query
	conn         int           // bytes of memory for a connection that is idle
}

func (c doqCosts) String() string {
	return fmt.Sprintf("CPU a query %v, a connection with one query %v; p99 %v; %d bytes a connection",
		c.query, c.first, c.p99.Round(time.Microsecond), c.conn)
}

// How much a run does, before it is divided by its share.
const (
	measuredQueries = 100000
	measuredFirst   = 1000 // connections
)

// measureDoQ runs CoreDNS.
func measureDoQ(t *testing.T, binary string, share int) (c doqCosts) {
	port, s := startCoreDNS(t, binary)
	defer s.Wait()
	defer s.Process.Kill()
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	n := max(measuredQueries/share, workers)
	askAll(t, addr, n/10+workers) // warm
	before := cpuOf(t, s.Process.Pid)
	took := askAll(t, addr, n)
	c.query = (cpuOf(t, s.Process.Pid) - before) / time.Duration(n)
	slices.Sort(took)
	c.p99 = took[len(took)*99/100]

	conns := max(measuredFirst/share, 5)
	memory, before := rssOf(t, s.Process.Pid), cpuOf(t, s.Process.Pid)
	for range conns {
		conn := dialDoQ(t, addr)
		defer conn.CloseWithError(0, "")
		_, err := ask(conn)
		require.NoError(t, err)
	}
	c.first = (cpuOf(t, s.Process.Pid) - before) / time.Duration(conns)
	c.conn = (rssOf(t, s.Process.Pid) - memory) / conns
	return c
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
