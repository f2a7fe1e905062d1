package conn_test

import (
	"testing"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
)

// A simulation is a Network whose Endpoints must all be empty in the end.
type simulation struct {
	*conntest.Network
	t     testing.TB
	nodes []*conntest.Node
}

// simulate returns a Network. When the test ends, it closes all connections, waits until the
// Network comes to rest, and checks that its Endpoints have forgotten everything.
func simulate(t testing.TB, seed uint64) *simulation {
	n := &simulation{Network: conntest.New(t, seed), t: t}
	n.OnStep = func(a *conntest.Node) {
		if err := a.CheckMemory(); err != nil {
			t.Fatalf("%v: %v", a.Addr, err)
		}
	}
	t.Cleanup(n.end)
	return n
}

// Add puts an Endpoint on the Network.
func (n *simulation) Add(addr string, cfg *conn.EndpointConfig) *conntest.Node {
	n.t.Helper()
	a := n.Network.Add(addr, cfg)
	n.nodes = append(n.nodes, a)
	return a
}

// rest runs the Network until nothing can happen any more.
func (n *simulation) rest() {
	n.t.Helper()
	for steps := 0; n.Step(); steps++ {
		if steps == 1e6 {
			n.t.Fatal("the network does not come to rest")
		}
	}
}

func (n *simulation) end() {
	if n.t.Failed() {
		return
	}
	for _, a := range n.nodes {
		a.OnEvent = discard
		for c := range a.Conns() {
			c.Close(closeCode, "")
		}
	}
	n.rest()
	for _, a := range n.nodes {
		if err := a.CheckEmpty(n.Now()); err != nil {
			n.t.Errorf("%v: %v", a.Addr, err)
		}
	}
}
