package hostile

import (
	"bufio"
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/metrics"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/lazoquic/lazo/internal/require"
)

// Work is counted in steps. A step is a basic block of one of the packages below, as the coverage
// counters of the compiler count them. Each attack runs in a process of its own, to the end and
// without its attack. The difference is the work, and it has that of the peer's packets, too.

const (
	// pings is the attack that others are compared with, and workLimit how many times as many steps
	// a datagram of another may cost. Beside a session or a tunnel the PINGs have a longer name.
	pings, workLimit = "100,000 PINGs", 3
	// workAllocs is how many allocations a datagram may make. Some are those of the target's
	// network. workStart is what the goroutines of a site may make beside that, whatever comes.
	workAllocs, workStart = 600, 3000
	workFormat            = "datagrams sent: %d, allocations: %d\n"
)

// workEnv names the attack to a process that runs one, with a - if the attack is not to come.
const workEnv = "LAZO_HOSTILE_WORK"

// workPackages are the packages whose blocks count.
var workPackages = []string{"conn", "conn/congestion", "dgram", "h3", "internal/keys", "internal/memory", "internal/qpack", "internal/rangeset", "internal/stream",
	"internal/timerheap", "internal/wire", "loop", "h3/h3http", "h3/webtransport", "h3/masque"}

func TestWork(t *testing.T) {
	if name := os.Getenv(workEnv); name != "" {
		runWork(t, name)
		return
	}
	if testing.Short() {
		t.Skip("it builds the tests once more, with counters")
	}
	bin := filepath.Join(t.TempDir(), "work.test")
	const module = "github.com/lazoquic/lazo/"
	build := exec.Command("go", "test", "-c", "-covermode=count", "-coverpkg="+module+strings.Join(workPackages, ","+module), "-o", bin, ".")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	all := attacks()
	slices.SortStableFunc(all, func(a, b attack) int { // those that set the limits
		return -cmp.Compare(strings.Index(a.name, pings), strings.Index(b.name, pings))
	})
	without, limit := make(map[stage]int), make(map[stage]int)
	for _, a := range all {
		if without[a.at] == 0 {
			without[a.at] = measure(t, bin, a.name+"-").steps
		}
		m := measure(t, bin, a.name)
		m.steps -= without[a.at]
		switch a.name {
		case pings:
			for _, at := range []stage{stranger, connected, client} {
				limit[at] = workLimit * m.steps / m.datagrams
			}
		case pings + " beside a session":
			limit[session] = workLimit * m.steps / m.datagrams
			limit[idle] = limit[session]
		case pings + " beside a tunnel":
			limit[tunnel] = workLimit * m.steps / m.datagrams
		}
		t.Logf("%8d steps, %6d allocations, %4d datagrams: %s", m.steps, m.allocs, m.datagrams, a.name)
		if m.steps > limit[a.at]*m.datagrams || m.allocs > workAllocs*m.datagrams+workStart {
			t.Errorf("%s: %d steps and %d allocations for each of %d datagrams, more than %d and %d", a.name,
				m.steps/m.datagrams, m.allocs/m.datagrams, m.datagrams, limit[a.at], workAllocs)
		}
		require.Greater(t, m.steps, 10, "nothing was measured")
	}
}

// A measurement is what an attack took.
type measurement struct{ steps, datagrams, allocs int }

// measure runs an attack in a process of its own. It returns how many blocks ran, how many
// datagrams the peer sent in the attack and until its outcome, and how many allocations there were
// meanwhile.
func measure(t *testing.T, bin, name string) (m measurement) {
	t.Helper()
	profile := filepath.Join(t.TempDir(), "profile")
	cmd := exec.Command(bin, "-test.run=^TestWork$", "-test.cpu=1", "-test.coverprofile="+profile)
	cmd.Env = append(os.Environ(), workEnv+"="+name)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s: %s", name, out)
	for line := range strings.Lines(string(out)) {
		fmt.Sscanf(line, workFormat, &m.datagrams, &m.allocs)
	}
	f, err := os.Open(profile)
	require.NoError(t, err)
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) == 3 {
			n, err := strconv.Atoi(fields[2])
			require.NoError(t, err)
			m.steps += n
		}
	}
	return m
}

// runWork runs an attack in virtual time, up to its outcome.
func runWork(t *testing.T, name string) {
	name, without := strings.CutSuffix(name, "-")
	for _, a := range attacks() {
		if a.name != name {
			continue
		}
		a.inVirtualTime(t, func(t *testing.T, to target) {
			p := a.prepare(t, to)
			if without {
				return
			}
			before, meter := p.written, new(meter)
			to.count(meter)
			a.send(p)
			a.check(p)
			fmt.Printf(workFormat, p.written-before, meter.allocs)
		})
		return
	}
	t.Fatalf("no attack %q", name)
}

// A meter counts the allocations of a target while it takes a datagram. A nil one counts nothing.
type meter struct{ allocs, from uint64 }

func (m *meter) start() {
	if m != nil {
		m.from = mallocs()
	}
}

func (m *meter) stop() {
	if m != nil {
		m.allocs += mallocs() - m.from
	}
}

func mallocs() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:objects"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}
