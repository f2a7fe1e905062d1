package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A result is one run of a contender.
type result struct {
	round          int
	other          float64 // share of two cores that others used meanwhile
	server, client report
}

// number returns a number of a report; 0 if it is not there.
func (r report) number(key string) float64 {
	v, _ := r[key].(float64)
	return v
}

// runTime is how long a run may take.
const runTime = 3 * time.Minute

// measure runs a test once.
func (c *comparison) measure(ctx context.Context, t *test, p *contender) (res result, err error) {
	ctx, cancel := context.WithTimeout(ctx, runTime)
	defer cancel()
	begin, busy := time.Now(), busyTime()
	var used float64
	switch p.name {
	case "udplimit":
		used, err = c.floorUDP(ctx, t, p, &res)
	case "tlslimit":
		used, err = c.floorTLS(ctx, t, p, &res)
	default:
		used, err = c.pair(ctx, t, p, &res)
	}
	res.other = (busyTime() - busy - used) / (2 * time.Since(begin).Seconds())
	return res, err
}

// command runs a program on a core.
func command(ctx context.Context, core int, path string, args ...string) *exec.Cmd {
	if taskset, err := exec.LookPath("taskset"); err == nil && core >= 0 {
		return exec.CommandContext(ctx, taskset, append([]string{"-c", strconv.Itoa(core), path}, args...)...)
	}
	return exec.CommandContext(ctx, path, args...)
}

// A background is a program that says "ready" on its standard error, and runs until it is told to
// end.
type background struct {
	cmd *exec.Cmd
	out bytes.Buffer
}

func start(cmd *exec.Cmd) (*background, error) {
	b := &background{cmd: cmd}
	cmd.Stdout = &b.out
	errs, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	r := bufio.NewReader(errs)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			cmd.Process.Kill()
			cmd.Wait()
			return nil, fmt.Errorf("%s said %q, and then: %w", filepath.Base(cmd.Path), line, err)
		}
		if strings.HasPrefix(line, "ready") {
			break
		}
		fmt.Fprint(os.Stderr, line) // a warning
	}
	go io.Copy(io.Discard, r)
	return b, nil
}

// end waits for the program, and returns its report.
func (b *background) end(signal os.Signal) (report, error) {
	if signal != nil {
		b.cmd.Process.Signal(signal)
	}
	if err := b.cmd.Wait(); err != nil {
		return nil, err
	}
	return parseReport(b.out.Bytes())
}

// parseReport parses the last line.
func parseReport(out []byte) (report, error) {
	lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
	var r report
	err := json.Unmarshal(lines[len(lines)-1], &r)
	return r, err
}

// cpuOf returns the CPU seconds that a program that has ended used.
func cpuOf(cmd *exec.Cmd) float64 {
	if cmd.ProcessState == nil {
		return 0
	}
	return (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
}

// pair runs the client of a contender against its server.
func (c *comparison) pair(ctx context.Context, t *test, p *contender, res *result) (used float64, err error) {
	addr := "127.0.0.1:" + strconv.Itoa(freePort())
	role := "server"
	if p.name == "echo" {
		role = "echo"
	}
	args := append([]string{role, "--listen", addr}, p.server...)
	if t.mode == "datagram" {
		args = append(args, p.datagrams...)
	}
	if t.rsa {
		args = append(args, c.rsa...)
	}
	cmd := command(ctx, c.serverCore, p.path, args...)
	cmd.Env = append(os.Environ(), p.env...)
	s, err := start(cmd)
	if err != nil {
		return 0, err
	}
	args = append([]string{"client", "--connect", addr, "--server-pid", strconv.Itoa(s.cmd.Process.Pid)}, t.flags(c.scale)...)
	if args = append(args, p.client...); t.mode == "idle" {
		args = append(args, p.idle...)
	}
	path := cmp.Or(p.clientPath, p.path)
	if t.resumes {
		path = c.self // other clients do not resume
	}
	client := command(ctx, c.clientCore, path, args...)
	out, err := client.Output()
	time.Sleep(100 * time.Millisecond) // the server notices that the connection is closed
	var serverErr error
	res.server, serverErr = s.end(syscall.SIGTERM)
	used = cpuOf(s.cmd) + cpuOf(client)
	if err = errors.Join(err, serverErr); err == nil {
		res.client, err = parseReport(out)
	}
	return used, err
}

// floorUDP sends what a test does without a protocol: GSO to GRO, with AES-GCM.
func (c *comparison) floorUDP(ctx context.Context, t *test, p *contender, res *result) (used float64, err error) {
	addr := "127.0.0.1:" + strconv.Itoa(freePort())
	from, to := c.serverCore, c.clientCore
	if t.name == "upload" {
		from, to = to, from
	}
	r, err := start(command(ctx, to, p.path, "recv", "--listen", addr, "--rx", "gro", "--crypto"))
	if err != nil {
		return 0, err
	}
	mib := strconv.Itoa(int(2048 * c.scale))
	sender := command(ctx, from, p.path, "send", "--connect", addr, "--tx", "gso", "--crypto", "--mib", mib)
	out, err := sender.Output()
	received, recvErr := r.end(nil)
	used = cpuOf(sender) + cpuOf(r.cmd)
	if err = errors.Join(err, recvErr); err != nil {
		return used, err
	}
	sent, err := parseReport(out)
	if res.server, res.client = sent, received; t.name == "upload" {
		res.server, res.client = received, sent
	}
	res.client["bytes"], res.client["gbit_s"] = received["bytes"], received["gbit_s"]
	return used, err
}

// These find the cost of a handshake for a server with crypto/tls alone, which sends a session
// ticket, as the servers beside it do.
var (
	tlsFull    = regexp.MustCompile(`X25519 full, \+ticket sent .*?server us ([0-9.]+)`)
	tlsResumed = regexp.MustCompile(`X25519 resumed .*?server us ([0-9.]+)`)
)

// floorTLS does the handshakes of crypto/tls in memory.
func (c *comparison) floorTLS(ctx context.Context, t *test, p *contender, res *result) (used float64, err error) {
	cmd := command(ctx, c.serverCore, p.path, "-n", "600")
	out, err := cmd.Output()
	if err != nil {
		return cpuOf(cmd), err
	}
	server := tlsFull
	if t.resumes {
		server = tlsResumed
	}
	m := server.FindSubmatch(out)
	if m == nil {
		return cpuOf(cmd), fmt.Errorf("no figure in %q", out)
	}
	us, err := strconv.ParseFloat(string(m[1]), 64)
	res.server, res.client = report{"cpu": us / 1e6}, report{"ops": 1.}
	return cpuOf(cmd), err
}
