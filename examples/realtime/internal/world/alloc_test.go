package world

import (
	"testing"

	"github.com/lazoquic/lazo/internal/require"
)

// TestAllocs checks that positions, ticks and snapshots allocate nothing, on either side.
func TestAllocs(t *testing.T) {
	w := New(start, 1)
	var all []*player
	for range 100 {
		p := join(t, w, start, "bot")
		for _, kind := range []Kind{Chat, Inventory} {
			p.kind[kind].Close() // as bots do not hear of coins
		}
		all = append(all, p)
	}
	clients := make([]*Client, len(all))
	for i := range clients {
		clients[i] = NewClient(start)
		clients[i].Ages = new(Ages)
	}
	position, snapshot := make([]byte, 0, positionLen), make([]byte, 0, MaxSnapshot)
	now := start
	tick := func() {
		now = now.Add(Tick)
		for i, p := range all {
			p.s.Datagram(now, clients[i].Position(now, 1000+i, 1000, position))
		}
		w.Tick(now)
		for i, p := range all {
			clients[i].Datagram(now, p.s.Snapshot(now, snapshot))
		}
	}
	for range 100 {
		tick() // until all have come to their places, and the cells of the grid have their size
	}
	require.Equal(t, 0.0, testing.AllocsPerRun(10, tick))
	require.True(t, clients[0].Stats().Seen == MaxSeen-1 && clients[0].Ages.N() > 0)
}
