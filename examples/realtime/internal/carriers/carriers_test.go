package carriers

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/lazoquic/lazo/examples/realtime/internal/world"
	"github.com/lazoquic/lazo/internal/netrelay"
	"github.com/lazoquic/lazo/internal/require"
)

// TestMeter: the age of what a client has rises until something newer comes.
func TestMeter(t *testing.T) {
	const ms = time.Millisecond
	m := newMeter(100*ms, 20*ms)
	m.took(50*ms, 10*ms) // before the meter looks
	m.took(110*ms, 30*ms)
	m.took(112*ms, 20*ms) // was overtaken
	m.look(120 * ms)
	// At 100, 102 ... 108 it was 90 to 98 ms old; at 110, when the newer one comes, 100 or 80.
	require.Equal(t, uint64(10), m.ages.N())
	require.Equal(t, 80*ms, m.ages.Quantile(0))
	require.Equal(t, 98*ms, m.ages.Quantile(0.99))
	require.Equal(t, 90*ms, m.ages.Quantile(0.5))
	m.took(130*ms, 120*ms) // nothing is counted twice, nor after the end
	m.look(140 * ms)
	require.Equal(t, uint64(10), m.ages.N())
}

// TestCompare loses many of the packets. Ages have lower bounds, which hold on a busy machine
// too: a snapshot takes half of a round trip, and a lost one that is waited for takes three halves.
func TestCompare(t *testing.T) {
	cfg := Config{Link: netrelay.Link{Delay: 40 * time.Millisecond, Loss: 0.15}, Seed: 1, For: 3 * time.Second}
	results, err := Compare(t.Context(), cfg)
	names := []string{"datagrams", "one reliable stream", "a WebSocket over TCP"}
	if errors.Is(err, ErrNoTCP) {
		t.Logf("without TCP: %v", err)
		names = names[:2]
	} else {
		require.NoError(t, err)
	}
	t.Logf("\n%s", Table(cfg, results))
	require.Len(t, results, len(names))
	for i, r := range results {
		require.Equal(t, names[i], r.Name)
		require.Equal(t, uint64(cfg.For/lookEvery), r.Ages.N())
		require.GreaterOrEqual(t, r.Ages.Quantile(0), cfg.Link.Delay)
		if i > 0 {
			require.Greater(t, r.Ages.Quantile(0.99), 2*cfg.Link.Delay+world.Tick)
		}
	}
	checkReport(t, cfg, results)
}

// TestCompareWithoutTCP compares over the path that needs no privileges.
func TestCompareWithoutTCP(t *testing.T) {
	cfg := Config{Link: netrelay.Link{Delay: 10 * time.Millisecond}, Seed: 1, For: time.Second}
	p := &relayed{seed: cfg.Seed, link: cfg.Link}
	c := &comparison{begin: time.Now(), opened: []func(){p.close}}
	defer c.close()
	require.NoError(t, c.open(t.Context(), p))
	results, err := c.measure(t.Context(), cfg.For)
	require.NoError(t, err)
	require.Len(t, results, 2)
	for _, r := range results {
		require.Equal(t, uint64(cfg.For/lookEvery), r.Ages.N())
		require.GreaterOrEqual(t, r.Ages.Quantile(0), cfg.Link.Delay)
	}
	checkReport(t, cfg, results)
}

// TestCompareFails: a carrier that ends early is an error, not a row.
func TestCompareFails(t *testing.T) {
	c := &comparison{begin: time.Now(), carriers: []*carrier{{"nothing", func(func([]byte)) error { return io.ErrUnexpectedEOF }}}}
	_, err := c.measure(t.Context(), time.Hour)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.ErrorContains(t, err, "nothing")
}

// checkReport checks that a table and a plot have all results.
func checkReport(t *testing.T, cfg Config, results []Result) {
	t.Helper()
	table, plot := Table(cfg, results), Plot(cfg, results)
	for _, r := range results {
		require.Contains(t, table, "| "+r.Name+" | ")
		require.Contains(t, plot, ">"+r.Name+"</text>")
	}
	require.Equal(t, len(results), strings.Count(plot, "<polyline "))
	require.NotContains(t, table+plot, "%!")
	require.NotContains(t, plot, "NaN")
	for d := xml.NewDecoder(strings.NewReader(plot)); ; {
		if _, err := d.Token(); err == io.EOF {
			break
		} else {
			require.NoError(t, err)
		}
	}
}
