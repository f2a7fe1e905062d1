package compat

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/require"
)

// A cost is what one run of a program spends on something.
type cost struct {
	what  string
	value float64
	unit  string
}

func (c cost) String() string { return fmt.Sprintf("%s %.1f %s", c.what, c.value, c.unit) }

// micros, millis and kib return costs in the units of their names.
func micros(what string, d time.Duration) cost { return cost{what, float64(d) / 1e3, "µs"} }
func millis(what string, d time.Duration) cost { return cost{what, float64(d) / 1e6, "ms"} }
func kib(what string, bytes int) cost          { return cost{what, float64(bytes) / 1024, "KiB"} }

// engines are what programs are built with to be compared.
var engines = []string{"quic-go", "Lazo"}

// turns is how often each of both programs is measured: in turns, because machines change their
// speed.
const turns = 5

// measureBoth builds a program with quic-go and with Lazo, and logs what measure finds: rows of a
// table in Markdown, with the medians of all turns.
func measureBoth(t *testing.T, module, main string, measure func(t *testing.T, binary string, share int) []cost) {
	share, _ := strconv.Atoi(os.Getenv("LAZO_MEASURE"))
	if share <= 0 {
		t.Skip("LAZO_MEASURE=1 measures " + module)
	}
	binaries := make(map[string]string)
	for _, engine := range engines {
		binaries[engine] = measuredProgram(t, module, main, engine)
	}
	runs := make(map[string][][]cost)
	for range turns {
		for _, engine := range engines {
			run := measure(t, binaries[engine], share)
			t.Logf("%-7s %v", engine, run)
			runs[engine] = append(runs[engine], run)
		}
	}
	table := new(strings.Builder)
	fmt.Fprintf(table, "| %s | quic-go | Lazo | Lazo / quic-go |\n| --- | --- | --- | --- |\n", strings.Split(module, "/")[2])
	for i, c := range runs[engines[0]][0] {
		theirs, ours := median(runs[engines[0]], i), median(runs[engines[1]], i)
		fmt.Fprintf(table, "| %s | %.1f %s | %.1f %s | %.2f |\n", c.what, theirs, c.unit, ours, c.unit, ours/theirs)
	}
	t.Logf("\n%s", table)
}

// median returns the median of cost i of several runs.
func median(runs [][]cost, i int) float64 {
	var all []float64
	for _, run := range runs {
		all = append(all, run[i].value)
	}
	slices.Sort(all)
	return all[len(all)/2]
}

// measuredProgram returns the program built with an engine. LAZO_MEASURE_BINARIES names a folder
// that keeps what was built: what is there is not built again, so that a measurement can begin at
// once.
func measuredProgram(t *testing.T, module, main, engine string) string {
	t.Helper()
	keep := os.Getenv("LAZO_MEASURE_BINARIES")
	if keep == "" {
		keep = t.TempDir()
	}
	keep, err := filepath.Abs(keep)
	require.NoError(t, err)
	binary := filepath.Join(keep, strings.Split(module, "/")[2]+"-"+engine)
	if of, err := os.Stat(binary); err == nil {
		t.Logf("%s was built at %s", binary, of.ModTime().Format(time.DateTime))
		return binary
	}
	p := programOf(module)
	var dir string
	if engine == "Lazo" {
		lazo, translator := translatorCopy(t)
		dir = p.prepare(t, lazo, translator)
	} else {
		dir = p.original(t)
	}
	command(t, dir, "go", "build", "-o", binary, main)
	return binary
}

// clockTick is the unit of times in /proc, which is the same on all Linux machines of today. What
// is measured has to take many of them: a share of more than 8 says little.
const clockTick = time.Second / 100

// cpuOf returns the time that a process has run (proc_pid_stat(5), fields 14 and 15).
func cpuOf(t *testing.T, pid int) time.Duration {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	require.NoError(t, err)
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	user, err := strconv.Atoi(f[11])
	require.NoError(t, err)
	system, err := strconv.Atoi(f[12])
	require.NoError(t, err)
	return time.Duration(user+system) * clockTick
}

// rssOf returns the resident memory of a process in bytes (proc_pid_statm(5), field 2).
func rssOf(t *testing.T, pid int) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	require.NoError(t, err)
	pages, err := strconv.Atoi(strings.Fields(string(b))[1])
	require.NoError(t, err)
	return pages * os.Getpagesize()
}
