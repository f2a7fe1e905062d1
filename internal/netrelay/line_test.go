package netrelay

import (
	"container/heap"
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/require"
)

// pass returns which of n datagrams of the given size a link delivers, in order.
func pass(seed uint64, link Link, n, size int) (got []int) {
	l := newLine(link, seed, 0, nil)
	now := time.Unix(0, 0)
	for i := range n {
		d := &datagram{data: make([]byte, size)}
		d.data[0], d.data[1] = byte(i>>8), byte(i)
		l.push(now, d)
	}
	for len(l.waiting) > 0 {
		d := heap.Pop(&l.waiting).(*datagram)
		got = append(got, int(d.data[0])<<8|int(d.data[1]))
	}
	return got
}

func TestBurst(t *testing.T) {
	const n = 40_000
	for _, burst := range []float64{0, 1, 5, 20} {
		got := pass(1, Link{Loss: 0.1, Burst: burst}, n, 2)
		gaps, last := 0, -1
		for _, i := range got {
			if i != last+1 {
				gaps++
			}
			last = i
		}
		lost := float64(n - len(got))
		require.InEpsilon(t, 0.1*n, lost, 0.15, "lost with bursts of %v", burst)
		require.InEpsilon(t, max(burst, 1/0.9), lost/float64(gaps), 0.15, "lost in a row with bursts of %v", burst)
	}
}

// TestBurstEnds: probes of a sender get through in the end, however long bursts are.
func TestBurstEnds(t *testing.T) {
	l := newLine(Link{Loss: 0.001, Burst: 1e9}, 1, 0, nil)
	now := time.Unix(0, 0)
	l.burst = now
	for range 10 {
		now = now.Add(maxBurstGap - time.Millisecond)
		l.push(now, &datagram{data: []byte{1}})
	}
	require.Empty(t, l.waiting)
	l.push(now.Add(maxBurstGap), &datagram{data: []byte{1}})
	require.Len(t, l.waiting, 1)
}

func TestDuplicate(t *testing.T) {
	require.Equal(t, []int{0, 0, 1, 1, 2, 2}, pass(1, Link{Duplicate: 1}, 3, 2))
	require.InDelta(t, 1100, len(pass(1, Link{Duplicate: 0.1}, 1000, 2)), 50)
}

func TestMTU(t *testing.T) {
	require.Len(t, pass(1, Link{MTU: 100}, 10, 100), 10)
	require.Empty(t, pass(1, Link{MTU: 100}, 10, 101))
}

// TestLineWakes: each datagram waits only for a moment, which may be over before the line has begun
// to wait.
func TestLineWakes(t *testing.T) {
	delivered := make(chan struct{})
	l := newLine(Link{}, 1, 0, func(*datagram) { delivered <- struct{}{} })
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		l.run()
	}()
	for i := range 4000 {
		l.setLink(Link{Delay: time.Duration(i%40) * 100 * time.Nanosecond})
		l.push(time.Now(), &datagram{data: []byte{1}})
		select {
		case <-delivered:
		case <-time.After(time.Minute):
			t.Fatalf("datagram %d stays", i)
		}
	}
	l.close()
	<-ended
}
