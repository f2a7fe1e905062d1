package loop

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/udpio"
)

// MaxGenerations is how many processes can share an address by [Generations] at one time.
const MaxGenerations = 8

// Generations lets processes share one address. One of them reads its sockets. Each process issues
// connection IDs of its own generation, so that the process that reads can tell to which process a
// packet belongs. Package handover passes the sockets on, and sets all of this.
//
// The generation of an ID, like the Loop that it leads to, follows from its last 4 bytes and a
// secret factor: see [New]. It takes no room in the ID. So it works with every ConnIDSource, and
// does not change the IDs that balancers read. The source is asked for MaxGenerations times as many
// IDs. IDs of two generations are never the same, even if their sources draw the same nonces.
type Generations struct {
	Own int // of this process, 0 to MaxGenerations-1

	// Steer is the secret factor K of [New], an odd number. All generations have the same one, and
	// the same number of Loops.
	Steer uint32

	// Forward is given the datagrams of another generation once a turn. It runs on the goroutine of
	// l, must not block, and must not keep ds or what they hold. The other process passes them to
	// [Group.Receive].
	Forward func(l *Loop, to int, ds []conn.Datagram)
}

// check reports mistakes of the programmer.
func (g *Generations) check() error {
	switch {
	case g.Own < 0 || g.Own >= MaxGenerations:
		return fmt.Errorf("loop: generation %d is not 0 to %d", g.Own, MaxGenerations-1)
	case g.Steer%2 == 0:
		return errors.New("loop: Generations.Steer is not odd")
	case g.Forward == nil:
		return errors.New("loop: Generations without Forward")
	}
	return nil
}

// generationOf returns the generation of an ID of at least steerLen bytes.
func generationOf(id []byte, n int, k uint32) int {
	return udpio.SteerIndex(id, n*MaxGenerations, k) / n
}

// elsewhere is what a Group knows of the generations that live in other processes. It does not
// change: SetElsewhere puts another one in its place.
type elsewhere struct {
	alive [MaxGenerations]bool
	// long headers: see conn.Endpoint.HandshakeIDs
	ids map[conn.ConnID]int
}

// find returns the generation of a packet that belongs to another process.
func (e *elsewhere) find(h *conn.Header, n int, k uint32) (gen int, ok bool) {
	if h.Long {
		// The client may have chosen the ID, so the ID tells nothing by itself.
		if id, short := conn.ConnIDFromSlice(h.DCID); short {
			gen, ok = e.ids[id]
		}
		return gen, ok
	}
	if len(h.DCID) < steerLen {
		return 0, false
	}
	gen = generationOf(h.DCID, n, k)
	return gen, e.alive[gen]
}

// alone reports whether all datagrams are for the only Loop of a Group with Generations.
func (s *sharding) alone() bool { return s.n == 1 && s.elsewhere.Load() == nil }

// ConnIDLen returns the length in bytes of the first connection ID that Endpoint.ConnIDs has
// issued. It is 0 for a Group of one Loop without Generations.
func (g *Group) ConnIDLen() int {
	if s := g.loops[0].shards; s != nil {
		return s.size
	}
	return 0
}

// SetElsewhere says which other generations are alive, and which connection IDs their packets with
// long headers have: those that [Group.HandshakeIDs] returned there. From now on,
// Generations.Forward gets the datagrams of these generations. All others are for this Group.
// SetElsewhere does not keep the map.
func (g *Group) SetElsewhere(alive map[int][]conn.ConnID) {
	if g.elsewhere == nil {
		panic("loop: SetElsewhere without Config.Generations")
	}
	if len(alive) == 0 {
		g.elsewhere.Store(nil)
		return
	}
	e := &elsewhere{ids: make(map[conn.ConnID]int)}
	for gen, ids := range alive {
		e.alive[gen] = true
		for _, id := range ids {
			e.ids[id] = gen
		}
	}
	g.elsewhere.Store(e)
}

// HandshakeIDs returns what [conn.Endpoint.HandshakeIDs] returns for all Loops, after everything
// that has been read so far. It waits for the Loops.
func (g *Group) HandshakeIDs() (ids []conn.ConnID) {
	g.mayWait("HandshakeIDs")
	for _, l := range g.loops {
		// A loop that has stopped has none.
		l.Do(context.Background(), func(time.Time) { ids = append(ids, l.ep.HandshakeIDs()...) })
	}
	return ids
}

// Receive takes in datagrams of one size that another process has read. They are as
// Generations.Forward got them there. Receive copies d.Data. It returns how many datagrams were
// lost, because there was no room or because their Loop has stopped. Any goroutine may call it.
func (g *Group) Receive(d conn.Datagram) (lost int) {
	size := d.SegmentSize
	if size <= 0 {
		size = len(d.Data)
	}
	one := d
	one.SegmentSize = 0
	for b := d.Data; len(b) > 0; b = b[len(one.Data):] {
		one.Data = b[:min(size, len(b))]
		l := g.loops[0]
		if s := l.shards; s != nil {
			h, _ := conn.ParseHeader(one.Data, s.idLen)
			l = g.loops[s.indexOf(h.DCID)]
		}
		if !l.mail.hand(&one) {
			lost++
		}
	}
	return lost
}
