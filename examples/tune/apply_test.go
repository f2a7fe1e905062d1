package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lazoquic/lazo/internal/require"
)

// apply runs tune apply on a tree, with an answer.
func apply(t *testing.T, dir, answer string, flags ...string) (out string, err error) {
	t.Helper()
	var b bytes.Buffer
	err = run(t.Context(), append([]string{"apply", "-root", dir}, flags...), strings.NewReader(answer), &b)
	return b.String(), err
}

func read(t *testing.T, dir, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name)))
	require.NoError(t, err)
	return string(b)
}

// TestApplyAsks checks that nothing is done with -n, and after any answer but yes.
func TestApplyAsks(t *testing.T) {
	dir := unpack(t, "arm")
	for _, test := range []struct{ flag, answer, want string }{
		{"-n", "y\n", "Nothing was done (-n).\n"},
		{"-yes=false", "", "Do it? [y/N] \nNothing was done.\n"},
		{"-yes=false", "\n", "Do it? [y/N] Nothing was done.\n"},
		{"-yes=false", "no\n", "Do it? [y/N] Nothing was done.\n"},
	} {
		out, err := apply(t, dir, test.answer, test.flag)
		require.NoError(t, err)
		require.Contains(t, out, "  net.core.rmem_max: 212992 -> 4194304\n")
		require.Contains(t, out, "  net.ipv4.udp_mem: 2048 3000 4096 -> 4096 6000 8192\n")
		require.Contains(t, out, "Changes that need other commands: 4. See tune check.\n")
		require.True(t, strings.HasSuffix(out, test.want), "%s", out)
	}
	require.Equal(t, "212992\n", read(t, dir, "proc/sys/net/core/rmem_max"))
	_, err := os.Stat(filepath.Join(dir, "etc"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

// TestApplyInterrupted checks that Ctrl-C at the question is a no.
func TestApplyInterrupted(t *testing.T) {
	dir := unpack(t, "arm")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	pr, pw := io.Pipe() // nobody answers
	defer pw.Close()
	var out bytes.Buffer
	require.NoError(t, run(ctx, []string{"apply", "-root", dir}, pr, &out))
	require.True(t, strings.HasSuffix(out.String(), "Do it? [y/N] \nNothing was done.\n"), "%s", &out)
}

// TestApply makes all changes, so that check has no more of them.
func TestApply(t *testing.T) {
	dir := unpack(t, "arm")
	out, err := apply(t, dir, "y\n")
	require.NoError(t, err)
	require.Contains(t, out, "Done.")
	const want = sysctlHead + `net.core.rmem_max = 4194304
net.core.wmem_max = 4194304
net.ipv4.udp_mem = 4096 6000 8192
net.core.netdev_max_backlog = 4000
net.core.netdev_budget = 600
net.core.netdev_budget_usecs = 16000
net.netfilter.nf_conntrack_max = 16384
net.netfilter.nf_conntrack_udp_timeout_stream = 120
fs.file-max = 200000
`
	require.Equal(t, want, read(t, dir, sysctlName))
	require.Equal(t, "4096 6000 8192\n", read(t, dir, "proc/sys/net/ipv4/udp_mem"))
	got := check(t, dir)
	for _, name := range []string{"receive buffer", "send buffer", "memory of all UDP sockets", "connection tracking"} {
		require.Equal(t, good, got[name].Verdict, "%s", name)
	}
}

// TestApplyAgain checks that a second change keeps what the file has from before.
func TestApplyAgain(t *testing.T) {
	dir := unpack(t, "server")
	out, err := apply(t, dir, "", "-yes")
	require.NoError(t, err)
	require.Equal(t, "There is nothing to change by sysctl.\n", out)

	file := filepath.Join(dir, "quic.conf")
	require.NoError(t, os.WriteFile(file, []byte(sysctlHead+"# by hand\nvm.swappiness = 1\nnet.core.wmem_max=1\n"), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "proc/sys/net/core/wmem_max"), []byte("212992\n"), 0o644))
	_, err = apply(t, dir, "", "-yes", "-file", file)
	require.NoError(t, err)
	require.Equal(t, sysctlHead+"# by hand\nvm.swappiness = 1\nnet.core.wmem_max = 4194304\n", read(t, dir, "quic.conf"))
}

// TestApplyRefused checks that there is no file if the kernel does not take a value.
func TestApplyRefused(t *testing.T) {
	dir := t.TempDir()
	p := &plan{root: dir, file: filepath.Join(dir, "quic.conf"), settings: []setting{{"net.core.rmem_max", "1"}}}
	err := p.do()
	require.ErrorContains(t, err, "net.core.rmem_max is not set: ")
	require.ErrorContains(t, err, "quic.conf is not written")
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left)
}
