package runner

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/lazoquic/lazo/internal/netrelay"
	"github.com/lazoquic/lazo/internal/wire"
)

// pointToPoint is the link of the runner, with a queue of 25 packets. The relay counts packets
// under way as queued, so its queue is longer by those.
func pointToPoint(delay time.Duration) netrelay.Link {
	const rate, packet = 10_000_000, 1500
	return netrelay.Link{Delay: delay, Rate: rate, Queue: 25*packet + int(rate/8*delay/time.Second)}
}

// simple is the scenario of cases that are not about the network.
func simple() netrelay.Config {
	link := pointToPoint(15 * time.Millisecond)
	return netrelay.Config{Up: link, Down: link}
}

// A misfortune meets each datagram with a probability, and at most burst datagrams in a row. The
// runner makes connections one after the other, but here they run at the same time. So each client
// has a row of its own.
type misfortune struct {
	rate  float64
	burst int

	mu     sync.Mutex
	rng    *rand.Rand
	inARow map[direction]int
}

type direction struct {
	client netip.AddrPort
	dir    netrelay.Dir
}

func newMisfortune(seed uint64, rate float64, burst int) *misfortune {
	return &misfortune{rate: rate, burst: burst, rng: rand.New(rand.NewPCG(seed, 0)), inARow: make(map[direction]int)}
}

func (m *misfortune) meets(p *netrelay.Packet) bool {
	d := direction{p.Client, p.Dir}
	if m.rng.Float64() >= m.rate || m.inARow[d] >= m.burst {
		m.inARow[d] = 0
		return false
	}
	m.inARow[d]++
	return true
}

// drop is a Filter that loses datagrams.
func (m *misfortune) drop(p *netrelay.Packet) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return !m.meets(p)
}

// corrupt is a Filter that changes one of the first 50 bytes, often in a header. Like the runner,
// it spares Version Negotiation, which is the answer to an Initial with a corrupt version.
func (m *misfortune) corrupt(p *netrelay.Packet) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if version, _, _, ok := wire.ParseInvariant(p.Data); ok && version == 0 {
		return true
	}
	if m.meets(p) {
		p.Data[m.rng.IntN(min(50, len(p.Data)))] ^= byte(1 + m.rng.IntN(255))
	}
	return true
}

// dropUp is a Filter that loses the datagrams to the server with these numbers, counted from 1.
func dropUp(lost ...int) func(*netrelay.Packet) bool {
	var mu sync.Mutex
	count := 0
	return func(p *netrelay.Packet) bool {
		if p.Dir != netrelay.Up {
			return true
		}
		mu.Lock()
		defer mu.Unlock()
		count++
		return !slices.Contains(lost, count)
	}
}
