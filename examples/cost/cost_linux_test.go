package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/netrelay"
	"github.com/lazoquic/lazo/internal/require"
)

// brief returns options for runs that take little, and the context of a test.
func brief(t *testing.T) (context.Context, *options) {
	t.Helper()
	tun, err := netrelay.NewTunnel(netrelay.TunnelConfig{})
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) {
		t.Skipf("needs root and TUN devices: %v", err)
	}
	require.NoError(t, err)
	tun.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	t.Cleanup(cancel)
	return ctx, &options{runs: 1, parallel: 4, seed: 1, rate: 8e6, rtt: 20 * time.Millisecond, secs: 0.5, patience: time.Second}
}

// TestRoundTrips counts the round trips before the first byte of each visit. No visit can take
// fewer. A busy machine can make one take longer, so the best of several counts.
func TestRoundTrips(t *testing.T) {
	want := [len(visits)]time.Duration{3, 2, 3, 2, 1, 3, 3, 1, 1}
	ctx, o := brief(t)
	const rtt = 100 * time.Millisecond
	for i, v := range visits {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			best := time.Duration(1 << 62)
			for tries := 0; tries < 40 && best >= (want[i]+1)*rtt; tries++ {
				times, err := v.measure(ctx, rtt, o)
				require.NoError(t, err)
				require.True(t, times[0] >= want[i]*rtt, "%v is less than %d round trips of %v", times[0], want[i], rtt)
				best = min(best, times[0])
			}
			require.True(t, best < (want[i]+1)*rtt, "%v is more than %d round trips of %v", best, want[i], rtt)
		})
	}
}

func TestGoodput(t *testing.T) {
	t.Parallel()
	ctx, o := brief(t)
	for _, d := range []download{{true, cubic, 0}, {false, cubic, 0}, {true, bbr, 0.05}, {false, bbr, 0.05}} {
		rate, err := d.run(ctx, o, 1)
		require.NoError(t, err)
		require.True(t, rate > 0, "%s: %v", d.name(), rate)
	}
}

// TestMigration makes each move. Whatever happens to the connection, all bytes come.
func TestMigration(t *testing.T) {
	ctx, o := brief(t)
	for _, m := range moves {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			r, err := m.run(ctx, o)
			require.NoError(t, err)
			require.True(t, r.next >= r.silence && r.silence > 0, "silence %v, next %v", r.silence, r.next)
			if m.mute {
				require.True(t, r.silence >= o.patience, "silence %v", r.silence)
			}
		})
	}
}

func TestBytes(t *testing.T) {
	ctx, o := brief(t)
	for i := 0; i < len(exchanges); i += 2 {
		t.Run(exchanges[i].name(), func(t *testing.T) {
			t.Parallel()
			two, err := exchanges[i].run(ctx, o)
			require.NoError(t, err)
			three, err := exchanges[i+1].run(ctx, o)
			require.NoError(t, err)
			for dir := range two {
				a, b := &two[dir], &three[dir]
				require.True(t, b.packets > 0 && a.clear > b.clear, "in the clear: HTTP/2 %+v, HTTP/3 %+v", a, b)
				require.True(t, a.clear < a.bytes && b.clear+b.initial < b.bytes, "%+v, %+v", a, b)
				require.True(t, a.initial == 0 && b.initial >= 1000, "initial packets: %d, %d", a.initial, b.initial)
			}
			down := int64(three[netrelay.Down].bytes)
			require.True(t, down > exchanges[i].size, "%d bytes", down)
		})
	}
}

// TestFailure has one of several runs fail.
func TestFailure(t *testing.T) {
	o := &options{parallel: 2}
	broken := errors.New("broken")
	err := o.each(t.Context(), 5, func(_ context.Context, i int) error {
		if i == 3 {
			return broken
		}
		return nil
	})
	require.ErrorIs(t, err, broken)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, o.each(ctx, 1, func(context.Context, int) error { return nil }), context.Canceled)
}

func TestCommandLine(t *testing.T) {
	for _, args := range []string{"", "all", "bytes goodput", "-runs 0 bytes", "-rate 1 goodput", "-patience 0 migration", "-svg /none/x.svg bytes"} {
		err := run(t.Context(), strings.Fields(args), t.Output())
		require.Error(t, err, args)
		require.NotErrorIs(t, err, fs.ErrPermission)
	}
}

// TestCommand runs the program as a person does, and looks at what it writes.
func TestCommand(t *testing.T) {
	brief(t)
	var out strings.Builder
	dir := t.TempDir()
	file, keys, qlogs := filepath.Join(dir, "x.svg"), filepath.Join(dir, "keys"), filepath.Join(dir, "qlog")
	t.Setenv("SSLKEYLOGFILE", keys)
	t.Setenv("QLOGDIR", qlogs)
	require.NoError(t, run(t.Context(), []string{"-runs", "1", "-rtt", "2ms", "-svg", file, "bytes"}, &out))
	require.Equal(t, 2+len(exchanges), strings.Count(out.String(), "\n"))
	svg, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, 2*len(exchanges)+1, strings.Count(string(svg), "<rect"))
	secrets, err := os.ReadFile(keys)
	require.NoError(t, err)
	require.True(t, strings.Count(string(secrets), "CLIENT_TRAFFIC_SECRET_0") >= len(exchanges))
	logs, err := os.ReadDir(qlogs)
	require.NoError(t, err)
	require.True(t, len(logs) >= len(exchanges), "%d qlogs", len(logs)) // both sides of HTTP/3
}

func TestFigures(t *testing.T) {
	f := &figures{
		title:  "a < b",
		head:   []string{"", "x"},
		rows:   [][]string{{"HTTP/3", "2"}, {"HTTP/2", "4"}},
		groups: []group{{"g", []bar{{"HTTP/3", 2, "two"}, {"HTTP/2", 4, "four"}}}},
	}
	require.Equal(t, "|  | x |\n|---|---|\n| HTTP/3 | 2 |\n| HTTP/2 | 4 |\n", f.markdown())
	svg := f.chart()
	require.Contains(t, svg, "a &lt; b")
	require.Contains(t, svg, fmt.Sprintf(`width="%d" height="%d" fill="#c52"`, barWidth/2, barHeight))
	require.Contains(t, svg, fmt.Sprintf(`width="%d" height="%d" fill="#9ab"`, barWidth, barHeight))
}
