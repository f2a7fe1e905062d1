package conntest

import (
	"bytes"
	"math/bits"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/internal/require"
)

func packet(size int) *Packet { return &Packet{Data: make([]byte, size), ECN: conn.ECT0} }

func TestLinkPerfect(t *testing.T) {
	l := newLink(&Link{}, 1, 0)
	for i := range 10 {
		p := packet(1200)
		tr := l.send(time.Second, p)
		require.Equal(t, transit{at: [2]time.Duration{time.Second}, n: 1}, tr)
		require.Equal(t, i, p.N)
	}
}

func TestLinkSerialisesAtItsRate(t *testing.T) {
	const delay = 25 * time.Millisecond
	l := newLink(&Link{Rate: 8e6, Delay: delay}, 1, 0) // a byte takes a microsecond
	require.Equal(t, 1000*time.Microsecond+delay, l.send(0, packet(1000)).at[0])
	require.Equal(t, 1500*time.Microsecond+delay, l.send(0, packet(500)).at[0], "waits for the first")
	require.Equal(t, 1500*time.Microsecond+delay, l.send(0, packet(0)).at[0], "nothing takes no time")
	require.Equal(t, 3*time.Millisecond+delay, l.send(2*time.Millisecond, packet(1000)).at[0], "the link was free again")
}

func TestLinkRateIsExactOverManyDatagrams(t *testing.T) {
	for _, rate := range []int64{100e3, 1e6, 1e9, 10e9} {
		l := newLink(&Link{Rate: rate}, 1, 0)
		var last time.Duration
		const count, size = 10_000, 1452
		for range count {
			last = l.send(0, packet(size)).at[0]
		}
		want := float64(count*size*8) / float64(rate) * float64(time.Second)
		require.InEpsilon(t, want, float64(last), 0.001, "rate %d", rate)
	}
}

func TestLinkQueueDropsAtTheTail(t *testing.T) {
	l := newLink(&Link{Rate: 8e6, Queue: 2500}, 1, 0)
	fates := func(now time.Duration, sizes ...int) (f []fate) {
		for _, size := range sizes {
			f = append(f, l.send(now, packet(size)).fate)
		}
		return f
	}
	require.Equal(t, []fate{0, 0, overflowed, 0, overflowed}, fates(0, 1000, 1000, 1000, 500, 1))
	require.Equal(t, []fate{0, overflowed}, fates(time.Millisecond, 1000, 1), "1000 bytes have left")
	require.Equal(t, 3500*time.Microsecond, l.free, "what is dropped takes no time")

	l = newLink(&Link{Rate: 8e6, Queue: 100}, 1, 0)
	require.Equal(t, []fate{0, overflowed}, fates(0, 1000, 1), "an idle link takes any datagram")
}

func TestLinkMTU(t *testing.T) {
	l := newLink(&Link{}, 1, 0)
	require.Equal(t, fate(0), l.send(0, packet(1500)).fate)
	require.Equal(t, transit{fate: tooLarge}, l.send(0, packet(1501)))
	l = newLink(&Link{MTU: 1200}, 1, 0)
	require.Equal(t, fate(0), l.send(0, packet(1200)).fate)
	require.Equal(t, tooLarge, l.send(0, packet(1201)).fate)
}

func TestLinkProbabilities(t *testing.T) {
	const count = 20_000
	l := newLink(&Link{Delay: time.Millisecond, Loss: 0.05, Duplicate: 0.1, Corrupt: 0.2, Reorder: 0.3, Mark: 0.4}, 1, 0)
	seen := make(map[string]int)
	for range count {
		tr := l.send(0, packet(1000))
		if tr.fate == lost {
			seen["loss"]++
			continue
		}
		if tr.n == 2 {
			seen["duplicate"]++
		}
		for bit, name := range map[fate]string{damaged: "corrupt", late: "reorder", marked: "mark"} {
			if tr.fate&bit != 0 {
				seen[name]++
			}
		}
	}
	require.InDelta(t, 0.05*count, seen["loss"], 0.01*count)
	kept := float64(count - seen["loss"])
	for name, p := range map[string]float64{"duplicate": 0.1, "corrupt": 0.2, "reorder": 0.3, "mark": 0.4} {
		require.InDelta(t, p*kept, seen[name], 0.02*count, name)
	}
}

func TestLinkCertainties(t *testing.T) {
	never, always := newLink(&Link{Loss: 0}, 1, 0), newLink(&Link{Loss: 1}, 1, 0)
	for range 1000 {
		require.Equal(t, fate(0), never.send(0, packet(1)).fate)
		require.Equal(t, lost, always.send(0, packet(1)).fate)
	}
}

func TestLinkMarksOnlyECT(t *testing.T) {
	l := newLink(&Link{Mark: 1}, 1, 0)
	for before, after := range map[conn.ECN]conn.ECN{
		conn.NotECT: conn.NotECT, conn.ECT0: conn.ECNCE, conn.ECT1: conn.ECNCE, conn.ECNCE: conn.ECNCE,
	} {
		p := &Packet{Data: []byte("x"), ECN: before}
		l.send(0, p)
		require.Equal(t, after, p.ECN)
	}
}

func TestLinkJitterReordersWithinItsBounds(t *testing.T) {
	l := newLink(&Link{Delay: 10 * time.Millisecond, Jitter: 5 * time.Millisecond}, 1, 0)
	var last, lowest, highest time.Duration
	overtaken := 0
	for i := range 1000 {
		at := l.send(0, packet(1)).at[0]
		if i == 0 || at < lowest {
			lowest = at
		}
		highest = max(highest, at)
		if at < last {
			overtaken++
		}
		last = at
	}
	require.GreaterOrEqual(t, lowest, 10*time.Millisecond)
	require.Less(t, lowest, 10500*time.Microsecond)
	require.Less(t, highest, 15*time.Millisecond)
	require.Greater(t, highest, 14500*time.Microsecond)
	require.Greater(t, overtaken, 300)
}

func TestLinkReorderIsLateByUpToTheDelay(t *testing.T) {
	for delay, extra := range map[time.Duration]time.Duration{0: minLate, 20 * time.Millisecond: 20 * time.Millisecond} {
		l := newLink(&Link{Delay: delay, Reorder: 1}, 1, 0)
		for range 1000 {
			tr := l.send(0, packet(1))
			require.Equal(t, late, tr.fate)
			require.GreaterOrEqual(t, tr.at[0], delay)
			require.Less(t, tr.at[0], delay+extra)
		}
	}
}

func TestLinkDamage(t *testing.T) {
	l := newLink(&Link{Corrupt: 1}, 1, 0)
	clean := bytes.Repeat([]byte{0xaa}, 100)
	short := 0
	const count = 2000
	for range count {
		p := &Packet{Data: bytes.Clone(clean)}
		require.Equal(t, damaged, l.send(0, p).fate)
		if len(p.Data) < len(clean) {
			short++
			require.Equal(t, clean[:len(p.Data)], p.Data)
			continue
		}
		flipped := 0
		for i, b := range p.Data {
			flipped += bits.OnesCount8(b ^ clean[i])
		}
		require.LessOrEqual(t, flipped, 3)
	}
	require.InDelta(t, count/4, short, count/20)

	empty := &Packet{}
	require.Equal(t, 1, l.send(0, empty).n, "an empty datagram has nothing to damage")
}

func TestLinkFilterSeesAndChanges(t *testing.T) {
	var seen []int
	l := newLink(&Link{MTU: 100, Filter: func(p *Packet) bool {
		seen = append(seen, p.N)
		if p.N == 0 {
			return false
		}
		p.Data = p.Data[:50]
		p.ECN = conn.NotECT
		return true
	}}, 1, 0)
	require.Equal(t, transit{fate: filtered}, l.send(0, packet(200)))
	p := packet(200)
	require.Equal(t, 1, l.send(0, p).n, "the MTU holds for what the filter leaves")
	require.Len(t, p.Data, 50)
	require.Equal(t, conn.NotECT, p.ECN)
	require.Equal(t, []int{0, 1}, seen)
}

// What one datagram meets must not depend on what the settings did to others, or
// a small change to a test would change all of it.
func TestLinkDrawsAreIndependent(t *testing.T) {
	arrivals := func(m Link) (at []time.Duration) {
		l := newLink(&m, 7, 3)
		for range 200 {
			at = append(at, l.send(0, packet(10)).at[0])
		}
		return at
	}
	base := arrivals(Link{Jitter: time.Second})
	lossy := arrivals(Link{Jitter: time.Second, Loss: 0.3, Filter: func(p *Packet) bool { return p.N%5 != 0 }})
	dropped := 0
	for i, at := range lossy {
		if at == 0 {
			dropped++
			continue
		}
		require.Equal(t, base[i], at, "datagram %d", i)
	}
	require.Greater(t, dropped, 60)
}

func TestLinkChangesWhileInUse(t *testing.T) {
	l := newLink(&Link{Rate: 8e6}, 1, 0)
	require.Equal(t, time.Millisecond, l.send(0, packet(1000)).at[0])
	l.set(&Link{Rate: 80e6})
	p := packet(1000)
	require.Equal(t, 1100*time.Microsecond, l.send(0, p).at[0], "behind what was sent at the old rate")
	require.Equal(t, 1, p.N, "goes on counting")
}
