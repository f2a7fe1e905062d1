package conn

import (
	"bufio"
	"fmt"
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// What can one packet cost? For each type of frame and of packet, costRows makes the most expensive
// datagram that a peer can send, in the state that is most favourable to the peer.
//
// Cost is counted in steps. A step is a basic block of this package, or of a package that it uses.
// Steps count until all events are taken and all answers are written. The coverage counters of the
// compiler count them, so a new loop counts by itself. Each row runs in processes of its own, once
// with the datagram and once without it. The difference is the cost.

const (
	// costLimit is how many times as much as a datagram full of PINGs another datagram may cost.
	costLimit = 4
	// costPacket is how many more steps it may cost for each packet that was in flight. That is
	// enough to acknowledge the packet, or to declare it lost and send it again. Each packet costs
	// them only once: TestAckWorkIsBounded and others test the ledger.
	costPacket = 400
	// costAllocs is how many allocations a datagram may make.
	costAllocs = 600
	// costJunk is the divisor of both limits for datagrams that anybody can make.
	costJunk = 8
	// costEnv names the row to a process that runs one, with a + if its datagram is to come.
	costEnv = "LAZO_COST_ROW"
)

// costPackages are the packages whose blocks count.
var costPackages = []string{
	"github.com/lazoquic/lazo/conn/...", "github.com/lazoquic/lazo/internal/keys", "github.com/lazoquic/lazo/internal/memory",
	"github.com/lazoquic/lazo/internal/rangeset", "github.com/lazoquic/lazo/internal/stream", "github.com/lazoquic/lazo/internal/timerheap",
	"github.com/lazoquic/lazo/internal/wire", "slices", "maps", "crypto/hmac", "crypto/sha256",
	"crypto/internal/fips140/sha256", "crypto/internal/fips140/hmac",
}

func TestCost(t *testing.T) {
	if name := os.Getenv(costEnv); name != "" {
		runCostRow(t, name)
		return
	}
	if testing.Short() {
		t.Skip("it builds the tests once more, with counters")
	}
	checkCostRows(t)
	bin := filepath.Join(t.TempDir(), "cost.test")
	build := exec.Command("go", "test", "-c", "-covermode=count", "-coverpkg="+strings.Join(costPackages, ","), "-o", bin, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	limit := 0
	for _, row := range costRows {
		base, _ := costOf(t, bin, row.name)
		with, said := costOf(t, bin, row.name+"+")
		steps := with - base - costPacket*said.inFlight
		t.Logf("%7d steps %5d allocations: %s", with-base, said.allocs, row.name)
		if row.name == "PING" {
			limit = costLimit * steps
		}
		most, allocs := limit, costAllocs
		if row.junk {
			most, allocs = most/costJunk, allocs/costJunk
		}
		if steps > most || said.allocs > allocs {
			t.Errorf("%s: %d steps and %d allocations, more than %d and %d", row.name, steps, said.allocs, most, allocs)
		}
		if said.closed != row.closes {
			t.Errorf("%s: it ended the connection: %v", row.name, said.closed)
		}
		if with-base < 10 {
			t.Errorf("%s: %d steps: nothing was measured", row.name, with-base)
		}
	}
}

// checkCostRows checks that there is a row for each type of frame that package wire knows, and that
// the row of PING comes first.
func checkCostRows(t *testing.T) {
	t.Helper()
	if costRows[0].name != "PING" {
		t.Fatal("the row that all others are compared with is not the first")
	}
	file, err := parser.ParseFile(gotoken.NewFileSet(), "../internal/wire/frame.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	known := 0
	for name, obj := range file.Scope.Objects {
		if obj.Kind != ast.Con || !strings.HasPrefix(name, "Frame") {
			continue
		}
		known++
		has := func(r costRow) bool { return slices.Contains(r.frames, strings.TrimPrefix(name, "Frame")) }
		if !slices.ContainsFunc(costRows, has) {
			t.Errorf("costRows have none for wire.%s", name)
		}
	}
	if known < 20 {
		t.Errorf("package wire has %d types of frames", known)
	}
}

// A costReport is the report of a process that ran a row.
type costReport struct {
	allocs, inFlight int
	closed           bool // the datagram ended a connection
}

// costFormat is the format of the report.
const costFormat = "row: allocations %d in flight %d closed %t\n"

// costOf runs a row in a process of its own, and returns how many blocks ran.
func costOf(t *testing.T, bin, name string) (steps int, said costReport) {
	t.Helper()
	profile := filepath.Join(t.TempDir(), "profile")
	cmd := exec.Command(bin, "-test.run=^TestCost$", "-test.coverprofile="+profile)
	cmd.Env = append(os.Environ(), costEnv+"="+name)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", name, err, out)
	}
	for line := range strings.Lines(string(out)) {
		fmt.Sscanf(line, costFormat, &said.allocs, &said.inFlight, &said.closed)
	}
	f, err := os.Open(profile)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		line := s.Text() // file:from,to statements count
		if n, err := strconv.Atoi(line[strings.LastIndexByte(line, ' ')+1:]); err == nil {
			steps += n
		}
	}
	return steps, said
}

// runCostRow runs the row of a name.
func runCostRow(t *testing.T, name string) {
	name, measured := strings.CutSuffix(name, "+")
	i := slices.IndexFunc(costRows, func(r costRow) bool { return r.name == name })
	if i < 0 {
		t.Fatalf("there is no row %q", name)
	}
	x := costRows[i].make(t)
	x.settle()
	if !measured {
		return
	}
	said, conns := costReport{}, x.e.stats.Conns
	for c := x.e.first; c != nil; c = c.next {
		said.inFlight += int(c.ledger.packets)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	x.e.Receive(x.now, Datagram{Data: x.datagram, Remote: x.from, Local: x.to})
	x.settle()
	runtime.ReadMemStats(&after)
	said.allocs, said.closed = int(after.Mallocs-before.Mallocs), x.e.stats.Conns < conns
	fmt.Printf(costFormat, said.allocs, said.inFlight, said.closed)
}
