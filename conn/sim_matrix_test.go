package conn_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn/conntest"
)

// A trouble is something that a link of the matrix does to datagrams.
type trouble struct {
	name string
	link conntest.Link
}

var troubles = []trouble{
	{"none", conntest.Link{}},
	{"loss 1%", conntest.Link{Loss: 0.01}},
	{"loss 5%", conntest.Link{Loss: 0.05}},
	{"loss 20%", conntest.Link{Loss: 0.20}},
	{"reordering", conntest.Link{Reorder: 0.1}},
	{"duplication", conntest.Link{Duplicate: 0.1}},
	{"corruption", conntest.Link{Corrupt: 0.05}},
	{"marks", conntest.Link{Mark: 0.1}},
	{"all", conntest.Link{Loss: 0.05, Reorder: 0.05, Duplicate: 0.05, Corrupt: 0.02, Mark: 0.05}},
}

// Every transfer arrives bit for bit or ends in a timeout, and replays.
func TestMatrix(t *testing.T) {
	for _, tr := range troubles {
		for _, rtt := range []time.Duration{100 * time.Microsecond, 30 * time.Millisecond, 2 * time.Second} {
			for _, rate := range []int64{100e3, 10e6, 10e9} {
				for _, packets := range []int{5, 100} {
					name := fmt.Sprintf("%s, RTT %v, %d kbps, queue of %d", tr.name, rtt, rate/1000, packets)
					t.Run(name, func(t *testing.T) {
						link := tr.link
						link.Delay, link.Jitter = rtt/2, rtt/10
						if tr.name == "none" {
							link.Jitter = 0
						}
						link.Rate, link.Queue = rate, packets*1500
						runCell(t, link)
					})
				}
			}
		}
	}
}

// runCell runs a short transfer over link twice.
func runCell(t *testing.T, link conntest.Link) {
	size := int64(20_000)
	if link.Rate > 1e6 {
		size = 100_000
	}
	sc := scenario{seed: 1, streams: 3, upload: size, download: size, timeout: patience(link)}.both(link)
	out := sc.runTwice(t)
	if out.timeout != nil && (!isTimeout(out.timeout) || link.Loss < 0.1) {
		t.Errorf("the connection ended early: %v", out.timeout)
	}
}

// patience returns a timeout of 60 round trips through link with a full queue, or
// of 30 seconds if that is more.
func patience(link conntest.Link) time.Duration {
	rtt := 2 * (link.Delay + link.Jitter)
	if link.Rate > 0 {
		rtt += 2 * time.Duration(float64(max(link.Queue, 1500)*8)/float64(link.Rate)*float64(time.Second))
	}
	return max(60*rtt, 30*time.Second)
}
