package netns

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestAddressChange changes the address of a client in the middle of a download of 100 MB at 50
// Mbit/s. The download goes on and arrives bit for bit (RFC 9000, Section 9).
func TestAddressChange(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 20 seconds")
	}
	h := sha256.New()
	io.Copy(h, content())
	want := hex.EncodeToString(h.Sum(nil))
	for i, role := range []string{"rebind", "migrate"} {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			p := newPair(t, i, "50mbit")
			server := p.start(p.server, "server")
			server.want("ready")
			client := p.start(p.client, role)
			client.want("part")
			// A client that migrates has both addresses for a while; one that does not loses the
			// first at once.
			if role == "rebind" {
				p.ip("-n", p.client, "addr", "del", clientAddr+"/24", "dev", "eth0")
			}
			p.ip("-n", p.client, "addr", "add", otherAddr+"/24", "dev", "eth0")
			fmt.Fprintln(client.in, "changed")
			if got := client.want("sum "); got != want {
				t.Errorf("sha256 %s, want %s", got, want)
			}
			if got := server.want("changes "); got != "1" {
				t.Errorf("the server saw %s path changes, want 1", got)
			}
		})
	}
}

// A process is a role that runs.
type process struct {
	t     *testing.T
	role  string
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines chan string
	past  []string // lines that nobody wanted
}

// start starts a role in a namespace. It is killed when the test ends.
func (p *pair) start(ns, role string, env ...string) *process {
	cmd := p.command(ns, role, env...)
	in, err := cmd.StdinPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	pr := &process{t: p.t, role: role, cmd: cmd, in: in, lines: make(chan string, 16)}
	go pr.read(cmd, out)
	p.t.Cleanup(func() { cmd.Process.Kill() })
	return pr
}

func (p *process) read(cmd *exec.Cmd, out io.Reader) {
	for s := bufio.NewScanner(out); s.Scan(); {
		p.lines <- s.Text()
	}
	cmd.Wait()
	close(p.lines)
}

// want waits for a line with the prefix, and returns the rest of it.
func (p *process) want(prefix string) string {
	p.t.Helper()
	late := time.After(4 * time.Minute)
	for {
		select {
		case line, ok := <-p.lines:
			if !ok {
				p.t.Fatalf("the %s ended, want %q of it", p.role, prefix)
			}
			if rest, ok := strings.CutPrefix(line, prefix); ok {
				return rest
			}
			p.t.Logf("%s: %s", p.role, line)
			p.past = append(p.past, line)
		case <-late:
			p.t.Fatalf("the %s does not say %q", p.role, prefix)
		}
	}
}

// wantOnce waits for a line with the prefix unless there was one.
func (p *process) wantOnce(prefix string) {
	p.t.Helper()
	if !slices.ContainsFunc(p.past, func(line string) bool { return strings.HasPrefix(line, prefix) }) {
		p.want(prefix)
	}
}
