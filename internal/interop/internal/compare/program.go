// Package compare has what programs need that measure one server against others: each on its own
// processor, one after the other.
package compare

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// The processors of what is measured, and of everything else.
const serverCPU, otherCPU = "0", "1"

// pinned is the environment variable that says that this process runs on otherCPU.
const pinned = "LAZO_COMPARE_PINNED"

// Pin makes sure that this program runs on the processor that the measured programs do not have. If
// it does not, it starts again there, in place of this process.
func Pin() error {
	if os.Getenv(pinned) != "" {
		return nil
	}
	path, err := exec.LookPath("taskset")
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	args := append([]string{"taskset", "-c", otherCPU, self}, os.Args[1:]...)
	return syscall.Exec(path, args, append(os.Environ(), pinned+"=1"))
}

// Build builds a program of the module lazo, such as "./examples/lb", to a file.
func Build(name, file string) error {
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/lazoquic/lazo").Output()
	if err != nil {
		return fmt.Errorf("go list, which needs the directory internal/interop: %w", err)
	}
	build := exec.Command("go", "build", "-o", file, name)
	build.Dir = strings.TrimSpace(string(dir))
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// A Program is one of those that are measured. It runs until Stop.
type Program struct {
	cmd *exec.Cmd
	out bytes.Buffer
}

// Start starts a program on the processor of those that are measured. env is added to the
// environment of this process.
func Start(args []string, env ...string) (*Program, error) {
	if len(args) == 0 {
		return nil, errors.New("compare: no program")
	}
	p := &Program{cmd: exec.Command("taskset", append([]string{"-c", serverCPU}, args...)...)}
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	p.cmd.Env = append(os.Environ(), env...)
	return p, p.cmd.Start()
}

// Stop kills the program, and returns what it has printed.
func (p *Program) Stop() string {
	p.cmd.Process.Kill()
	p.cmd.Wait()
	return p.out.String()
}

// CPU returns the processor time that the program has used so far, in all threads.
func (p *Program) CPU() (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	// Fields 14 and 15 of proc_pid_stat(5). The name, which may have spaces, ends field 2.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	var ticks int64
	for _, field := range fields[11:13] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / 100, nil // USER_HZ
}

// FreeAddr returns an address of loopback whose port nobody uses, for a network such as "udp".
func FreeAddr(network string) (string, error) {
	if strings.HasPrefix(network, "udp") {
		c, err := net.ListenPacket(network, "127.0.0.1:0")
		if err != nil {
			return "", err
		}
		defer c.Close()
		return c.LocalAddr().String(), nil
	}
	ln, err := net.Listen(network, "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer ln.Close()
	return ln.Addr().String(), nil
}
