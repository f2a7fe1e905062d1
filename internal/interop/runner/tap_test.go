package runner

import (
	"bytes"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/netrelay"
	"github.com/lazoquic/lazo/internal/require"
)

// A path is a pair of addresses, as one side sees it.
type path struct{ client, server netip.AddrPort }

// A datagram is what a tap saw at one of its ends.
type datagram struct {
	at       time.Time
	dir      netrelay.Dir
	sent     bool // as it left its sender, not as it reached the other side
	ecn      uint8
	data     []byte
	atClient path
	atServer path
}

// A tap records what passes through relays. The TLS secrets decrypt the record.
type tap struct {
	secrets keyLog

	mu        sync.Mutex
	datagrams []*datagram
}

// relay starts a relay that is tapped on both sides.
func (tp *tap) relay(t testing.TB, cfg netrelay.Config) *netrelay.Relay {
	t.Helper()
	scenario, delivered := cfg.Filter, cfg.Delivered
	front := make(chan netip.AddrPort, 1)
	frontAddr := sync.OnceValue(func() netip.AddrPort { return <-front })
	record := func(p *netrelay.Packet, sent bool) {
		tp.record(&datagram{
			dir: p.Dir, sent: sent, ecn: p.ECN, data: bytes.Clone(p.Data),
			atClient: path{p.Client, frontAddr()},
			atServer: path{p.Source, cfg.Server},
		})
	}
	cfg.Filter = func(p *netrelay.Packet) bool {
		record(p, true)
		return scenario == nil || scenario(p)
	}
	cfg.Delivered = func(p *netrelay.Packet) {
		record(p, false)
		if delivered != nil {
			delivered(p)
		}
	}
	r, err := netrelay.New(cfg)
	require.NoError(t, err)
	front <- r.Addr()
	t.Cleanup(r.Close)
	return r
}

func (tp *tap) record(d *datagram) {
	tp.mu.Lock()
	defer tp.mu.Unlock()
	d.at = time.Now()
	tp.datagrams = append(tp.datagrams, d)
}

// recorded returns the datagrams recorded so far.
func (tp *tap) recorded() []*datagram {
	tp.mu.Lock()
	defer tp.mu.Unlock()
	return tp.datagrams[:len(tp.datagrams):len(tp.datagrams)]
}
