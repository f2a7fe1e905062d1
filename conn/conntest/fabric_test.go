package conntest

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/internal/require"
)

var (
	addrA  = netip.MustParseAddrPort("10.0.0.1:443")
	addrB  = netip.MustParseAddrPort("10.0.0.2:5000")
	addrB2 = netip.MustParseAddrPort("10.1.0.2:5000")
	public = netip.MustParseAddrPort("192.0.2.9:61000")
)

// newFabric returns a fabric with node a at addrA and node b at addrB.
func newFabric(seed uint64, model Link) (f *fabric, a, b *Node) {
	f = new(fabric)
	f.init(&model, seed)
	a, b = &Node{Addr: addrA, index: 0}, &Node{Addr: addrB, index: 1}
	f.bind(a, addrA, addrA)
	f.bind(b, addrB, addrB)
	return f, a, b
}

// arrivals empties the fabric and describes what arrives where.
func arrivals(f *fabric) (lines []string) {
	for len(f.queue) > 0 {
		fl, to := f.arrive()
		line := fmt.Sprintf("%v %v -> nowhere", fl.at, fl.src)
		if to.node != nil {
			line = fmt.Sprintf("%v %v -> %v at node %d: %s", fl.at, fl.src, to.addr, to.node.index, fl.data)
		}
		lines = append(lines, line)
		f.recycle(fl)
	}
	return lines
}

func TestFabricDelivers(t *testing.T) {
	f, a, b := newFabric(1, Link{Delay: time.Millisecond})
	f.send(0, a, addrA, addrB, conn.NotECT, []byte("one"))
	f.send(0, b, addrB, addrA, conn.NotECT, []byte("two"))
	f.send(0, a, addrA, addrB, conn.NotECT, []byte("three"))
	require.Equal(t, []string{
		"1ms 10.0.0.1:443 -> 10.0.0.2:5000 at node 1: one",
		"1ms 10.0.0.2:5000 -> 10.0.0.1:443 at node 0: two",
		"1ms 10.0.0.1:443 -> 10.0.0.2:5000 at node 1: three",
	}, arrivals(f))
}

func TestFabricTakesMappedAddressesForIPv4(t *testing.T) {
	f, a, _ := newFabric(1, Link{})
	f.send(0, a, addrA, netip.MustParseAddrPort("[::ffff:10.0.0.2]:5000"), conn.NotECT, []byte("x"))
	require.Equal(t, []string{"0s 10.0.0.1:443 -> 10.0.0.2:5000 at node 1: x"}, arrivals(f))
}

func TestFabricDropsWithoutRoute(t *testing.T) {
	f, a, b := newFabric(1, Link{})
	f.send(0, a, addrA, public, conn.NotECT, []byte("to nobody"))
	f.send(0, a, addrB, addrB, conn.NotECT, []byte("from another's address"))
	f.send(0, b, addrB2, addrA, conn.NotECT, []byte("from an address that it lacks"))
	require.Empty(t, arrivals(f))
	require.Equal(t, 3, f.trace.n)
	require.Equal(t, noRoute, f.trace.ring[2].fate)
}

func TestFabricRebindMapsBothWays(t *testing.T) {
	f, a, b := newFabric(1, Link{Delay: time.Millisecond})
	f.send(0, b, addrB, addrA, conn.NotECT, []byte("before"))
	f.send(0, a, addrA, addrB, conn.NotECT, []byte("on its way to the old binding"))
	require.True(t, f.bind(b, addrB, public))
	f.send(0, b, addrB, addrA, conn.NotECT, []byte("after"))
	f.send(0, a, addrA, public, conn.NotECT, []byte("to the new binding"))
	f.send(0, a, addrA, addrB, conn.NotECT, []byte("to the old one"))
	require.Equal(t, []string{
		"1ms 10.0.0.2:5000 -> 10.0.0.1:443 at node 0: before",
		"1ms 10.0.0.1:443 -> nowhere",
		"1ms 192.0.2.9:61000 -> 10.0.0.1:443 at node 0: after",
		"1ms 10.0.0.1:443 -> 10.0.0.2:5000 at node 1: to the new binding",
	}, arrivals(f))

	require.False(t, f.bind(b, addrB, addrA), "taken")
	require.True(t, f.bind(b, addrB, addrB), "back again")
	f.send(0, b, addrB, addrA, conn.NotECT, []byte("home"))
	f.send(0, a, addrA, public, conn.NotECT, []byte("to the forgotten binding"))
	require.Equal(t, []string{"1ms 10.0.0.2:5000 -> 10.0.0.1:443 at node 0: home"}, arrivals(f))
}

func TestFabricSeveralAddresses(t *testing.T) {
	f, a, b := newFabric(1, Link{})
	require.True(t, f.bind(b, addrB2, addrB2))
	f.send(0, b, addrB2, addrA, conn.NotECT, []byte("from the second"))
	f.send(0, a, addrA, addrB2, conn.NotECT, []byte("to the second"))
	f.send(0, a, addrA, addrB, conn.NotECT, []byte("to the first"))
	require.Equal(t, []string{
		"0s 10.1.0.2:5000 -> 10.0.0.1:443 at node 0: from the second",
		"0s 10.0.0.1:443 -> 10.1.0.2:5000 at node 1: to the second",
		"0s 10.0.0.1:443 -> 10.0.0.2:5000 at node 1: to the first",
	}, arrivals(f))
}

func TestFabricFilterRewritesAddresses(t *testing.T) {
	f, a, b := newFabric(1, Link{})
	f.link(b, a).set(&Link{Filter: func(p *Packet) bool {
		require.Equal(t, addrB, p.Src)
		require.Equal(t, addrA, p.Dst)
		require.Equal(t, epoch.Add(time.Minute), p.Sent)
		p.Src = public
		return true
	}})
	f.send(time.Minute, b, addrB, addrA, conn.NotECT, []byte("spoofed"))
	require.Equal(t, []string{"1m0s 192.0.2.9:61000 -> 10.0.0.1:443 at node 0: spoofed"}, arrivals(f))
}

func TestFabricDuplicatesAreCopies(t *testing.T) {
	f, a, _ := newFabric(1, Link{Duplicate: 1})
	f.send(0, a, addrA, addrB, conn.NotECT, []byte("twice"))
	first, _ := f.arrive()
	copy(first.data, "XXXXX") // an endpoint decrypts in place, too
	second, _ := f.arrive()
	require.Equal(t, "twice", string(second.data))
	require.Equal(t, duplicate, second.fate)
	require.Empty(t, f.queue)
}

func TestFabricReusesBuffers(t *testing.T) {
	f, a, _ := newFabric(1, Link{})
	data := make([]byte, 1200)
	allocs := testing.AllocsPerRun(100, func() {
		f.send(0, a, addrA, addrB, conn.NotECT, data)
		fl, _ := f.arrive()
		f.recycle(fl)
	})
	require.Zero(t, allocs)
}

func TestFabricFollows(t *testing.T) {
	first := &flight{at: 5, src: addrA, dst: addrB, data: make([]byte, 100)}
	for name, c := range map[string]struct {
		change func(*flight)
		want   bool
	}{
		"equal":      {func(*flight) {}, true},
		"shorter":    {func(fl *flight) { fl.data = fl.data[:1] }, true},
		"empty":      {func(fl *flight) { fl.data = nil }, false},
		"longer":     {func(fl *flight) { fl.data = make([]byte, 101) }, false},
		"later":      {func(fl *flight) { fl.at = 6 }, false},
		"elsewhence": {func(fl *flight) { fl.src = public }, false},
		"elsewhere":  {func(fl *flight) { fl.dst = public }, false},
		"marked":     {func(fl *flight) { fl.ecn = conn.ECNCE }, false},
	} {
		next := *first
		c.change(&next)
		f := &fabric{queue: queue{&next}}
		require.Equal(t, c.want, f.follows(first), name)
	}
	require.False(t, new(fabric).follows(first))
}

// chatter sends a fixed conversation over a rough link and returns its transcript.
func chatter(seed uint64) [32]byte {
	f, a, b := newFabric(seed, Link{
		Delay: 10 * time.Millisecond, Jitter: 5 * time.Millisecond, Rate: 10e6, Queue: 20_000,
		Loss: 0.1, Duplicate: 0.1, Corrupt: 0.1, Reorder: 0.1, Mark: 0.1,
	})
	for i := range 500 {
		now := time.Duration(i) * 100 * time.Microsecond
		f.send(now, a, addrA, addrB, conn.ECT0, fmt.Appendf(nil, "there %d", i))
		f.send(now, b, addrB, addrA, conn.ECT0, fmt.Appendf(nil, "back %d", i))
	}
	arrivals(f)
	return f.transcript.sum()
}

func TestTranscriptReplays(t *testing.T) {
	require.Equal(t, chatter(1), chatter(1))
	require.NotEqual(t, chatter(1), chatter(2))
}

func TestTranscriptSeesEverything(t *testing.T) {
	base := flight{at: 1, src: addrA, dst: addrB, ecn: conn.ECT0, data: []byte("data")}
	sum := func(change func(*flight)) [32]byte {
		fl := base
		change(&fl)
		var tr transcript
		tr.init()
		tr.add(&fl)
		return tr.sum()
	}
	seen := map[[32]byte]string{}
	for name, change := range map[string]func(*flight){
		"nothing":   func(*flight) {},
		"time":      func(fl *flight) { fl.at = 2 },
		"source":    func(fl *flight) { fl.src = addrB2 },
		"port":      func(fl *flight) { fl.dst = netip.AddrPortFrom(addrB.Addr(), 5001) },
		"codepoint": func(fl *flight) { fl.ecn = conn.ECNCE },
		"data":      func(fl *flight) { fl.data = []byte("datA") },
	} {
		h := sum(change)
		require.NotContains(t, seen, h, "%s and %s", name, seen[h])
		seen[h] = name
	}
	require.Equal(t, sum(func(*flight) {}), sum(func(fl *flight) { fl.seq = 9 }))
}

// Links draw on their own: a second link changes nothing on the first.
func TestLinksDrawOnTheirOwn(t *testing.T) {
	fates := func(other bool) (got []fate) {
		f, a, b := newFabric(5, Link{Loss: 0.5})
		for range 100 {
			if other {
				f.send(0, b, addrB, addrA, conn.NotECT, []byte("noise"))
			}
			n := len(f.queue)
			f.send(0, a, addrA, addrB, conn.NotECT, []byte("x"))
			got = append(got, fate(len(f.queue)-n))
		}
		return got
	}
	require.Equal(t, fates(false), fates(true))
}
