package netns

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/require"
)

// No kernel gives a running process another clock. But a process reads its clocks from the code of
// the vDSO, which the kernel has mapped into it, and which its parent may write to.

// clockCode replaces clock_gettime of the vDSO. It asks the kernel, and adds seconds to the wall
// clock and to the monotonic clock: the two numbers that follow it.
var clockCode = []byte{
	0xb8, 0xe4, 0x00, 0x00, 0x00, // mov    $228,%eax, the call clock_gettime
	0x0f, 0x05, // syscall
	0x85, 0xc0, // test   %eax,%eax
	0x75, 0x15, // jne    done
	0x83, 0xff, 0x01, // cmp    $1,%edi, CLOCK_MONOTONIC; CLOCK_REALTIME is 0
	0x77, 0x10, // ja     done
	0x89, 0xfa, // mov    %edi,%edx
	0x48, 0x8d, 0x0d, 0x0f, 0x00, 0x00, 0x00, // lea    the numbers,%rcx
	0x48, 0x8b, 0x14, 0xd1, // mov    (%rcx,%rdx,8),%rdx
	0x48, 0x01, 0x16, // add    %rdx,(%rsi), the seconds
	0xc3,                                     // done: ret
	0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, // never run
}

// setClocks sets the clocks of a process: how far they are ahead of those of the machine. Both jump
// at the same moment.
func setClocks(t *testing.T, p *process, wall, monotonic time.Duration) {
	t.Helper()
	mem, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", p.cmd.Process.Pid), os.O_RDWR, 0)
	require.NoError(t, err)
	defer mem.Close()
	from, to := findVDSO(t, p)
	at := from + findClock(t, mem, from, to)
	for pause(t, p); inside(t, p, from, to); pause(t, p) { // a thread looks at the clock just now
		require.NoError(t, p.cmd.Process.Signal(syscall.SIGCONT))
	}
	b := slices.Clone(clockCode)
	for _, d := range []time.Duration{wall, monotonic} {
		b = binary.LittleEndian.AppendUint64(b, uint64(d/time.Second))
	}
	_, err = mem.WriteAt(b, int64(at))
	require.NoError(t, err)
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGCONT))
}

// findVDSO returns where the vDSO of a process is.
func findVDSO(t *testing.T, p *process) (from, to uint64) {
	t.Helper()
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", p.cmd.Process.Pid))
	require.NoError(t, err)
	for line := range strings.Lines(string(maps)) {
		if strings.HasSuffix(line, "[vdso]\n") {
			_, err := fmt.Sscanf(line, "%x-%x", &from, &to)
			require.NoError(t, err)
			return from, to
		}
	}
	t.Fatalf("no vDSO in %s", maps)
	return 0, 0
}

// findClock returns where in the vDSO clock_gettime is. The symbols stay as they are when the code
// is replaced.
func findClock(t *testing.T, mem *os.File, from, to uint64) uint64 {
	t.Helper()
	image := make([]byte, to-from)
	_, err := mem.ReadAt(image, int64(from))
	require.NoError(t, err)
	f, err := elf.NewFile(bytes.NewReader(image))
	require.NoError(t, err)
	symbols, err := f.DynamicSymbols()
	require.NoError(t, err)
	i := slices.IndexFunc(symbols, func(s elf.Symbol) bool { return s.Name == "__vdso_clock_gettime" })
	require.True(t, i >= 0, "%v", symbols)
	require.GreaterOrEqual(t, symbols[i].Size, uint64(len(clockCode)+16), "the function has room for another")
	return symbols[i].Value
}

// pause stops a process, and waits until none of its threads runs.
func pause(t *testing.T, p *process) {
	t.Helper()
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGSTOP))
	require.Eventually(t, func() bool {
		return !slices.ContainsFunc(threads(t, p, "stat"), func(stat string) bool {
			_, state, _ := strings.Cut(stat, ") ") // after the name
			return !strings.HasPrefix(state, "T")
		})
	}, time.Minute, time.Millisecond, "threads that do not stop")
}

// inside reports whether a thread of a process that is stopped is between two addresses.
func inside(t *testing.T, p *process, from, to uint64) bool {
	t.Helper()
	return slices.ContainsFunc(threads(t, p, "syscall"), func(s string) bool {
		fields := strings.Fields(s) // the last one is the program counter
		var pc uint64
		_, err := fmt.Sscanf(fields[len(fields)-1], "0x%x", &pc)
		require.NoError(t, err, s)
		return from <= pc && pc < to
	})
}

// threads returns what a file in /proc says of each thread, and nothing useful of one that has just
// ended.
func threads(t *testing.T, p *process, file string) (all []string) {
	t.Helper()
	names, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/%s", p.cmd.Process.Pid, file))
	require.NoError(t, err)
	require.NotEmpty(t, names)
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			b = []byte(err.Error())
		}
		all = append(all, string(b))
	}
	return all
}

// needClocks skips the test where setClocks does not work.
func needClocks(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("replaces code of amd64")
	}
}

// setWallClock sets the clock of the wall an hour ahead, and later two hours back.
func setWallClock(t *testing.T, side *process, begin bool) {
	needClocks(t)
	if begin {
		setClocks(t, side, time.Hour, 0)
	} else {
		setClocks(t, side, -time.Hour, 0)
	}
}

// suspend makes all clocks jump by an hour, as those of a virtual machine do that was stopped.
func suspend(t *testing.T, side *process, begin bool) {
	needClocks(t)
	if begin {
		setClocks(t, side, time.Hour, time.Hour)
	}
}

// watchClocks says on standard output when clocks jump.
func watchClocks() {
	for last := time.Now(); ; {
		time.Sleep(time.Millisecond)
		now := time.Now()
		switch wall, monotonic := now.Round(0).Sub(last.Round(0)), now.Sub(last); {
		case monotonic > time.Hour/2:
			fmt.Println("met an hour")
		case wall > time.Hour/2:
			fmt.Println("met a wall clock ahead")
		case wall < -time.Hour/2:
			fmt.Println("met a wall clock behind")
		}
		last = now
	}
}
