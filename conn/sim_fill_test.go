package conn_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn/congestion"
	"github.com/lazoquic/lazo/internal/require"
)

// One stream fills a fast path and a long one with the default configuration: the
// windows of stream and connection grow by themselves (RFC 9000, Section 4.2).
func TestOneStreamFillsThePath(t *testing.T) {
	if testing.Short() {
		t.Skip("takes minutes where AES is done in software")
	}
	for _, c := range []struct {
		rate        float64
		rtt         time.Duration
		start, then time.Duration // the time before start is not measured
	}{
		{10e9, time.Millisecond, 60 * time.Millisecond, 60 * time.Millisecond},
		{1e9, 100 * time.Millisecond, 2500 * time.Millisecond, time.Second},
	} {
		t.Run(fmt.Sprintf("%g Gbit/s, %v", c.rate/1e9, c.rtt), func(t *testing.T) {
			b := &bulk{rate: c.rate, rtt: c.rtt, queue: 1, seed: 1}
			b.flows = append(b.flows, congestion.NewCubic)
			b.run(t, c.start)
			before := b.read[0]
			b.net.RunFor(c.then)
			got := (b.read[0] - before) * 8 / c.then.Seconds() / c.rate
			t.Logf("%.3f of the link, after %.3f in the beginning", got, before*8/c.start.Seconds()/c.rate)
			require.Greater(t, got, 0.9)
		})
	}
}
