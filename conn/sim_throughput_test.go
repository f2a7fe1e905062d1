package conn_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn/conntest"
)

// Where nothing is lost but to a queue of half a bandwidth-delay product, a
// transfer of a hundred round trips reaches 80 % of what CUBIC can.
func TestThroughput(t *testing.T) {
	for _, c := range []struct {
		rate float64
		rtt  time.Duration
	}{
		{100e3, time.Second},
		{100e3, 2 * time.Second},
		{1e6, 100 * time.Millisecond},
		{1e6, 2 * time.Second},
		{10e6, 20 * time.Millisecond},
		{10e6, 300 * time.Millisecond},
		{100e6, 2 * time.Millisecond},
		{100e6, 30 * time.Millisecond},
		{1e9, 500 * time.Microsecond},
		{1e9, 5 * time.Millisecond},
		{10e9, 100 * time.Microsecond},
		{10e9, time.Millisecond},
	} {
		for _, upload := range []bool{false, true} {
			name := fmt.Sprintf("download, %.0f kbps, RTT %v", c.rate/1e3, c.rtt)
			if upload {
				name = "up" + name[len("down"):]
			}
			t.Run(name, func(t *testing.T) { testThroughput(t, c.rate, c.rtt, upload) })
		}
	}
}

func testThroughput(t *testing.T, rate float64, rtt time.Duration, upload bool) {
	bdp := rate / 8 * rtt.Seconds()
	link := conntest.Link{Rate: int64(rate), Delay: rtt / 2, Queue: int(bdp / 2)}
	back := conntest.Link{Rate: int64(rate), Delay: rtt / 2}
	sc := scenario{seed: 1, streams: 1, up: back, down: link, download: int64(100 * bdp), timeout: time.Hour}
	if upload {
		sc.up, sc.down = sc.down, sc.up
		sc.upload, sc.download = sc.download, 0
	}
	out := sc.run(t)
	if out.timeout != nil {
		t.Fatal(out.timeout)
	}
	want := cubicTime(rate, rtt, 100*bdp)
	share := want.Seconds() / out.elapsed.Seconds()
	t.Logf("%v of the %v that CUBIC needs: %.0f %%", out.elapsed, want, 100*share)
	if share < 0.8 {
		t.Errorf("%.0f %% of the throughput of CUBIC; want 80 %%", 100*share)
	}
}

// cubicTime estimates how long a CUBIC flow takes to send size bytes through a
// bottleneck whose queue holds half a bandwidth-delay product. Slow start doubles the
// window each round trip from 10 packets on, and leaves about two bandwidth-delay
// products of the capacity unused. From then on the bottleneck is never idle: the
// window drops to 0.7 of 1.5 products (RFC 9438, Section 4.6).
func cubicTime(rate float64, rtt time.Duration, size float64) time.Duration {
	const initialWindow, packetSize, overhead = 10 * 1200, 1452, 40
	bdp := rate / 8 * rtt.Seconds()
	rounds := math.Max(0, math.Log2(bdp/initialWindow))
	full := size * packetSize / (packetSize - overhead) / (rate / 8)
	return time.Duration(full*1e9) + time.Duration(rounds*float64(rtt)) + rtt
}
