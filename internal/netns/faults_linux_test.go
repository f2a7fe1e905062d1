package netns

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// nftEnv says that nft must be there.
const nftEnv = "LAZO_NFT"

// freezeEnv is for how long processes are frozen, as a time.Duration.
const freezeEnv = "LAZO_FREEZE"

// A fault is of the machine of one side. It happens in the middle of a download.
type fault struct {
	name       string
	side       string // "server" or "client"
	setup      string // a command before all
	begin, end string // commands; what can be lived with has no end
	env        string // of the side's process
	sign       string // what that says when it has met the fault; empty if it cannot notice
	peers      bool   // the sign is of the other side's process
	healed     string // what the process says when it works again, besides the download
	do         func(t *testing.T, side *process, begin bool)
	visits     bool          // another client gets what it wants during the fault, and afterwards
	after      string        // what it says after the end; empty if it cannot notice
	lasts      time.Duration // since the sign; briefly if it is 0
}

// briefly is a few round trips and some probe timeouts.
const briefly = 200 * time.Millisecond

// faults are those of both sides. The commands run in the namespace of the side; of their words,
// PEER is the other side's address, and OWN that of this side.
func faults(t *testing.T) (all []fault) {
	for _, side := range []string{"server", "client"} {
		all = append(all, []fault{
			{name: "interface down", begin: "ip link set eth0 down", end: "ip link set eth0 up", lasts: time.Second},
			{name: "no route", begin: "ip route del 10.77.0.0/24", end: "ip route add 10.77.0.0/24 dev eth0 src OWN", sign: "met ENETUNREACH"},
			{name: "no address", begin: "ip addr del OWN/24 dev eth0", end: "ip addr add OWN/24 dev eth0", sign: "met ENETUNREACH"},
			{name: "prohibited", begin: "ip route add prohibit PEER", end: "ip route del prohibit PEER", sign: "met EACCES"},
			{name: "unreachable", begin: "ip route add unreachable PEER", end: "ip route del unreachable PEER", sign: "met EHOSTUNREACH"},
			{name: "invalid", begin: "ip route add blackhole PEER", end: "ip route del blackhole PEER", sign: "met EINVAL"},
			{name: "firewall", begin: "nft add rule ip lazo out drop", end: "nft flush chain ip lazo out", sign: "met EPERM"},
			{name: "nobody there", begin: "nft add rule ip lazo in reject with icmp port-unreachable", end: "nft flush chain ip lazo in", sign: "met ECONNREFUSED", peers: true},
			{name: "frozen", do: freeze, lasts: frozenFor(t)},
			{name: "no descriptors", do: limitFiles, env: dialsEnv + "=1", sign: "met EMFILE", healed: "dials"},
			{name: "full disk", env: diskEnv + "=16384", sign: "met ENOSPC"},
			{name: "wall clock", do: setWallClock, visits: true, env: clockEnv + "=1", sign: "met a wall clock ahead", after: "met a wall clock behind"},
			{name: "suspended", do: suspend, visits: true, env: clockEnv + "=1", sign: "met an hour"},
		}...)
		for i := range all {
			if all[i].side == "" {
				all[i].side = side
			}
		}
	}
	return append(all,
		fault{name: "no memory", side: "server", setup: "tc qdisc replace dev eth0 root tbf rate 50mbit burst 20kb limit 20kb", sign: "met ENOBUFS"},
		fault{name: "no room", side: "server", env: writeBufferEnv + "=20000", sign: "met EAGAIN"},
		fault{name: "smaller packets", side: "server", begin: "ip link set eth0 mtu 1280", sign: "met EMSGSIZE"},
	)
}

func frozenFor(t *testing.T) time.Duration {
	v := os.Getenv(freezeEnv)
	if v == "" {
		return 2 * time.Second
	}
	d, err := time.ParseDuration(v)
	if err != nil {
		t.Fatal(freezeEnv, err)
	}
	return d
}

// freeze stops the process, and lets it go on.
func freeze(t *testing.T, side *process, begin bool) {
	s := syscall.SIGCONT
	if begin {
		s = syscall.SIGSTOP
	}
	if err := side.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// limitFiles lets the process open nothing, or as much as before.
func limitFiles(t *testing.T, side *process, begin bool) {
	var l unix.Rlimit
	if err := unix.Prlimit(side.cmd.Process.Pid, unix.RLIMIT_NOFILE, nil, &l); err != nil {
		t.Fatal(err)
	}
	l.Cur = l.Max
	if begin {
		l.Cur = 0
	}
	if err := unix.Prlimit(side.cmd.Process.Pid, unix.RLIMIT_NOFILE, &l, nil); err != nil {
		t.Fatal(err)
	}
}

// TestFaults has faults in the middle of downloads, as a kernel makes them. When a fault ends, or
// if it can be lived with, the download goes on and arrives bit for bit.
func TestFaults(t *testing.T) {
	h := sha256.New()
	io.Copy(h, supplies())
	want := hex.EncodeToString(h.Sum(nil))
	for i, f := range faults(t) {
		t.Run(f.name+", "+f.side, func(t *testing.T) {
			t.Parallel()
			p := newPair(t, 10+i, "50mbit")
			f.prepare(t, p)
			var env [2][]string
			env[f.index()] = []string{f.env}
			if f.visits {
				env[1] = append(env[1], visitsEnv+"=1")
			}
			server := p.start(p.server, "supply", env[0]...)
			server.want("ready")
			client := p.start(p.client, "fetch", env[1]...)
			client.want("part")
			side, other := server, client
			if f.side == "client" {
				side, other = client, server
			}
			f.run(t, p, side, true)
			fmt.Fprintln(client.in, "go on")
			if f.peers {
				other.wantOnce(f.sign)
			} else if f.sign != "" {
				side.wantOnce(f.sign)
			}
			f.visit(client)
			time.Sleep(max(f.lasts, briefly))
			f.run(t, p, side, false)
			if f.healed != "" {
				side.want(f.healed)
			}
			if f.after != "" {
				side.wantOnce(f.after)
			}
			f.visit(client)
			fmt.Fprintln(client.in, "sum")
			if got := client.want("sum "); got != want {
				t.Errorf("sha256 %s, want %s", got, want)
			}
		})
	}
}

// visit has the client open another connection, and get a part on it.
func (f *fault) visit(client *process) {
	if f.visits {
		fmt.Fprintln(client.in, "visit")
		client.want("visited")
	}
}

// index is 0 for the server.
func (f *fault) index() int {
	if f.side == "server" {
		return 0
	}
	return 1
}

// prepare makes what the fault and the commands of nft need.
func (f *fault) prepare(t *testing.T, p *pair) {
	if f.setup != "" {
		f.command(p, f.setup)
	}
	if !strings.HasPrefix(f.begin, "nft") {
		return
	}
	if _, err := exec.LookPath("nft"); err != nil && os.Getenv(nftEnv) == "" {
		t.Skip("needs nft, of nftables")
	}
	for _, c := range []string{
		"nft add table ip lazo",
		"nft add chain ip lazo in { type filter hook input priority 0; }",
		"nft add chain ip lazo out { type filter hook output priority 0; }",
	} {
		f.command(p, c)
	}
}

// run begins or ends the fault.
func (f *fault) run(t *testing.T, p *pair, side *process, begin bool) {
	c := f.begin
	if !begin {
		c = f.end
	}
	if c != "" {
		f.command(p, c)
	}
	if f.do != nil {
		f.do(t, side, begin)
	}
}

func (f *fault) command(p *pair, c string) {
	p.t.Helper()
	ns, own, peer := p.server, serverAddr, clientAddr
	if f.side == "client" {
		ns, own, peer = p.client, clientAddr, serverAddr
	}
	c = strings.NewReplacer("OWN", own, "PEER", peer).Replace(c)
	p.ip(append([]string{"netns", "exec", ns}, strings.Fields(c)...)...)
}
