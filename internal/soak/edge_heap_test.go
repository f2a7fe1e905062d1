package soak

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/require"
)

// heapDetail is GODEBUG of the edge: its heap profile samples one allocation in so many bytes.
const heapDetail = "memprofilerate=4096"

// collections is how often the edge collects its garbage before it counts what is left. Pools keep
// what they hold for one collection. What the answers themselves take may be there in some.
const collections = 6

// rest returns what the edge holds without garbage, and the profile of its heap.
func (d *deployment) rest() (least holding, profile []byte, err error) {
	for i := range collections {
		if profile, err = d.ask("/debug/pprof/heap?gc=1"); err != nil {
			return least, nil, err
		}
		h, err := d.holds()
		if err != nil {
			return least, nil, err
		}
		if i == 0 || h.heap < least.heap {
			least = h
		}
	}
	return least, profile, nil
}

// ask asks the edge's port for operators.
func (d *deployment) ask(path string) ([]byte, error) {
	c := http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := c.Get("http://" + d.admin + path)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", path, resp.Status)
	}
	return io.ReadAll(resp.Body)
}

// heapRows is how many functions the page names at most.
const heapRows = 12

// heapGrowth names the functions whose allocations the heap holds more of after than before.
func heapGrowth(t *testing.T, before, after []byte) string {
	dir := t.ArtifactDir()
	first, second := filepath.Join(dir, "heap-before"), filepath.Join(dir, "heap-after")
	require.NoError(t, os.WriteFile(first, before, 0o600))
	require.NoError(t, os.WriteFile(second, after, 0o600))
	cmd := exec.Command("go", "tool", "pprof", "-top", "-unit=kb", "-sample_index=inuse_space",
		fmt.Sprintf("-nodecount=%d", heapRows), "-diff_base", first, second)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	require.NoError(t, err)
	_, all, _ := strings.Cut(string(out), "%\n") // what comes before says when it was
	typeArguments := regexp.MustCompile(`\[go\.shape.*\]`)
	var rows strings.Builder
	for row := range strings.Lines(all) {
		if !strings.HasPrefix(strings.TrimSpace(row), "0 ") { // it has allocated something itself
			rows.WriteString(typeArguments.ReplaceAllString(row, "[...]"))
		}
	}
	return rows.String()
}
