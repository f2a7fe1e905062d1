package conntest

import (
	"strings"
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/require"
)

func TestTraceReadsWell(t *testing.T) {
	var tr trace
	tr.add(time.Millisecond, time.Millisecond, lost, addrB, addrA, []byte{0xc3, 1, 2})
	tr.add(26*time.Millisecond, time.Millisecond, 0, addrB, addrA, []byte{0xe0})
	tr.add(27*time.Millisecond, 2*time.Millisecond, damaged|late|marked|duplicate, addrA, addrB, []byte{0x40, 0})
	tr.add(28*time.Millisecond, 28*time.Millisecond, tooLarge, addrA, addrB, nil)
	require.Equal(t, `the last 4 of 4 datagrams:
           1ms 10.0.0.2:5000 -> 10.0.0.1:443 3 bytes, Initial: lost
          26ms 10.0.0.2:5000 -> 10.0.0.1:443 1 bytes, Handshake: delivered (sent at 1ms)
          27ms 10.0.0.1:443 -> 10.0.0.2:5000 2 bytes, 1-RTT: delivered, duplicate, damaged, late, CE (sent at 2ms)
          28ms 10.0.0.1:443 -> 10.0.0.2:5000 0 bytes, empty: dropped, larger than the MTU
`, tr.String())
}

func TestTraceKeepsTheLast(t *testing.T) {
	var tr trace
	for i := range 250 {
		tr.add(time.Duration(i), 0, filtered, addrA, addrB, make([]byte, i))
	}
	lines := strings.Split(strings.TrimSpace(tr.String()), "\n")
	require.Len(t, lines, 1+traceLen)
	require.Equal(t, "the last 100 of 250 datagrams:", lines[0])
	require.Contains(t, lines[1], " 150 bytes")
	require.Contains(t, lines[100], " 249 bytes")
}

func TestFatesHaveNames(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range []fate{0, duplicate, damaged, late, marked, filtered, lost, overflowed, tooLarge, noRoute} {
		require.False(t, seen[f.String()], f.String())
		seen[f.String()] = true
	}
}
