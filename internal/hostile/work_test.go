package hostile

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
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
	// a datagram of another may cost.
	pings, workLimit = "100,000 PINGs", 2
	workFormat       = "datagrams sent: %d\n"
)

// workEnv names the attack to a process that runs one, with a - if the attack is not to come.
const workEnv = "LAZO_HOSTILE_WORK"

// workPackages are the packages whose blocks count.
var workPackages = []string{"conn", "conn/congestion", "dgram", "h3", "internal/keys", "internal/memory", "internal/qpack", "internal/rangeset", "internal/stream",
	"internal/timerheap", "internal/wire"}

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
	i := slices.IndexFunc(all, func(a attack) bool { return a.name == pings })
	all[0], all[i] = all[i], all[0] // it sets the limit
	without, limit := make(map[stage]int), 0
	for _, a := range all {
		if without[a.at] == 0 {
			without[a.at], _ = stepsOf(t, bin, a.name+"-")
		}
		steps, datagrams := stepsOf(t, bin, a.name)
		steps -= without[a.at]
		if a.name == pings {
			limit = workLimit * steps / datagrams
		}
		t.Logf("%8d steps, %4d datagrams: %s", steps, datagrams, a.name)
		require.LessOrEqual(t, steps, limit*datagrams, a.name)
		require.Greater(t, steps, 10, "nothing was measured")
	}
}

// stepsOf runs an attack in a process of its own. It returns how many blocks ran, and how many
// datagrams the peer sent in the attack and until its outcome.
func stepsOf(t *testing.T, bin, name string) (steps, datagrams int) {
	t.Helper()
	profile := filepath.Join(t.TempDir(), "profile")
	cmd := exec.Command(bin, "-test.run=^TestWork$", "-test.coverprofile="+profile)
	cmd.Env = append(os.Environ(), workEnv+"="+name)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s: %s", name, out)
	for line := range strings.Lines(string(out)) {
		fmt.Sscanf(line, workFormat, &datagrams)
	}
	f, err := os.Open(profile)
	require.NoError(t, err)
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) == 3 {
			n, err := strconv.Atoi(fields[2])
			require.NoError(t, err)
			steps += n
		}
	}
	return steps, datagrams
}

// runWork runs an attack in virtual time, up to its outcome.
func runWork(t *testing.T, name string) {
	name, without := strings.CutSuffix(name, "-")
	for _, a := range attacks() {
		if a.name == name {
			p := a.prepare(t, newCore(t, a.edit))
			if !without {
				before := p.written
				a.send(p)
				a.check(p)
				fmt.Printf(workFormat, p.written-before)
			}
			return
		}
	}
	t.Fatalf("no attack %q", name)
}
