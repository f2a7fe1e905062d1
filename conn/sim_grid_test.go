package conn_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/congestion"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/internal/require"
)

// A gridPath is a path of the grid.
type gridPath struct{ mbit, ms, percent int64 } // round trip, and loss each way

func (p gridPath) String() string {
	return fmt.Sprintf("%3d Mbit/s %3d ms %d %%", p.mbit, p.ms, p.percent)
}

// link returns one direction of the path. Its queue holds a round trip.
func (p gridPath) link() conntest.Link {
	return conntest.Link{
		Delay: time.Duration(p.ms) * time.Millisecond / 2, Rate: p.mbit * 1e6,
		Queue: int(max(p.mbit*1e6/8*p.ms/1000, 64_000)), Loss: float64(p.percent) / 100,
	}
}

// A grid measures downloads in virtual time.
type grid struct {
	t          *testing.T
	congestion func(congestion.Params) congestion.Controller
	// what arrives in between counts: not what slow start brings
	from, until time.Duration
	alone       map[gridPath]float64
}

// goodput returns how many bits a second a download gets over the paths.
func (g *grid) goodput(paths ...gridPath) float64 {
	var w *world
	var at [2]int64 // bytes that had arrived at from, and later
	sc := scenario{seed: 8, streams: 1, download: 1e12}.both(paths[0].link())
	sc.configure = func(cfg *conn.Config) { cfg.Congestion = g.congestion }
	sc.event = func(p *peer, ev conn.Event) {
		if f, ok := flowOf(ev); ok && p == w.client {
			if at[1] = f.got; w.client.now() < g.from {
				at[0] = f.got
			}
		}
	}
	if len(paths) == 2 {
		w = startTwoPaths(g.t, sc, paths[1].link()).world
	} else {
		w = sc.start(g.t)
	}
	w.net.RunFor(g.until)
	require.False(g.t, w.client.closed)
	w.finish()
	return 8 * float64(at[1]-at[0]) / (g.until - g.from).Seconds()
}

func flowOf(ev conn.Event) (*flow, bool) {
	if ev.Kind != conn.EventStreamReadable {
		return nil, false
	}
	f, ok := ev.Stream.UserData.(*flow)
	return f, ok
}

// A gridRow compares two paths at once with each alone.
type gridRow struct {
	a, b              gridPath
	both, sum, better float64 // bits per second
	ofSum, ofBetter   float64
}

func (g *grid) row(a, b gridPath) gridRow {
	one := func(p gridPath) float64 {
		if _, ok := g.alone[p]; !ok {
			g.alone[p] = g.goodput(p)
		}
		return g.alone[p]
	}
	r := gridRow{a: a, b: b, both: g.goodput(a, b), sum: one(a) + one(b), better: max(one(a), one(b))}
	r.ofSum, r.ofBetter = r.both/r.sum, r.both/r.better
	return r
}

func (r gridRow) String() string {
	return fmt.Sprintf("| %v | %v | %5.1f | %5.1f | %5.1f | %.2f | %.2f |", r.a, r.b, r.better/1e6, r.sum/1e6, r.both/1e6, r.ofSum, r.ofBetter)
}

// gridPaths are the paths of the whole grid.
func gridPaths() (all []gridPath) {
	for _, mbit := range []int64{10, 30, 100} {
		for _, ms := range []int64{10, 50, 200} {
			for _, percent := range []int64{0, 1, 3} {
				all = append(all, gridPath{mbit, ms, percent})
			}
		}
	}
	return all
}

// On pairs of paths a download gets nearly as much as it gets over each of them alone, added up. CI
// runs a few pairs. LAZO_GRID=bbr or LAZO_GRID=cubic runs all, and prints a table;
// LAZO_GRID_PART=3/8 runs the third of eight parts. LAZO_GRID_LONG=1 counts from 10 s to 40 s, not
// from 3 s to 10 s.
func TestMultipathGrid(t *testing.T) {
	g := &grid{t: t, congestion: congestion.NewBBR, from: 3 * time.Second, until: 8 * time.Second, alone: make(map[gridPath]float64)}
	if name := os.Getenv("LAZO_GRID"); name != "" {
		if name == "cubic" {
			g.congestion = congestion.NewCubic
		}
		g.until = 10 * time.Second
		if os.Getenv("LAZO_GRID_LONG") != "" {
			g.from, g.until = 10*time.Second, 40*time.Second
		}
		g.table(t)
		return
	}
	for _, pair := range [][2]gridPath{
		{{10, 10, 0}, {10, 200, 0}}, {{20, 50, 0}, {10, 10, 3}},
	} {
		r := g.row(pair[0], pair[1])
		t.Log(r)
		require.Greater(t, r.ofSum, 0.9)
		require.Greater(t, r.ofBetter, 0.95)
	}
}

// table prints the whole grid, or a part of it.
func (g *grid) table(t *testing.T) {
	part, parts := 1, 1
	if s := os.Getenv("LAZO_GRID_PART"); s != "" {
		_, err := fmt.Sscanf(s, "%d/%d", &part, &parts)
		require.NoError(t, err)
	}
	fmt.Println("| first path | second path | the better one alone | both alone, added | at once, Mbit/s | of the sum | of the better |")
	paths, n, least, leastBetter := gridPaths(), 0, 9.9, 9.9
	for i := range paths {
		for _, b := range paths[i:] {
			if n++; n%parts != part-1 {
				continue
			}
			r := g.row(paths[i], b)
			fmt.Println(r)
			least, leastBetter = min(least, r.ofSum), min(leastBetter, r.ofBetter)
		}
	}
	fmt.Printf("the least: %.2f of the sum, %.2f of the better path\n", least, leastBetter)
}
