package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/lazoquic/lazo/internal/netrelay"
)

// An exchange is one GET over a connection of its own, from its first packet to its last.
type exchange struct {
	http3   bool
	resumed bool
	size    int64 // bytes of the response
}

var exchanges = [...]exchange{
	{false, false, 100}, {true, false, 100},
	{false, true, 100}, {true, true, 100},
	{false, false, 1_000_000}, {true, false, 1_000_000},
}

func (e *exchange) name() string {
	s := protocolName(e.http3)
	if e.resumed {
		s += ", resumed"
	}
	if e.size >= 1e6 {
		return fmt.Sprintf("%s, %g MB", s, float64(e.size)/1e6)
	}
	return fmt.Sprintf("%s, %d bytes", s, e.size)
}

// measureBytes counts the bytes of all exchanges.
func measureBytes(ctx context.Context, o *options) (*figures, error) {
	fig := &figures{
		title: "Bytes beyond the response that a GET takes",
		head: []string{"", "packets up", "down", "bytes of IP packets", "beyond the response", "in the clear",
			"of these a packet", "under keys that everybody has"},
	}
	res := make([]sides, len(exchanges)*o.runs)
	err := o.each(ctx, len(exchanges)*o.runs, func(ctx context.Context, i int) (err error) {
		e := &exchanges[i/o.runs]
		if res[i], err = e.run(ctx, o); err != nil {
			err = fmt.Errorf("%s: %w", e.name(), err)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	for i := range exchanges {
		e, runs := &exchanges[i], res[i*o.runs:][:o.runs]
		if i%2 == 0 {
			fig.groups = append(fig.groups, group{name: exchangeGroup(e)})
		}
		fig.addExchange(e, runs)
	}
	return fig, nil
}

// addExchange adds the medians of all runs of an exchange.
func (f *figures) addExchange(e *exchange, runs []sides) {
	of := func(count func(s *sides) int) int {
		var v []int
		for i := range runs {
			v = append(v, count(&runs[i]))
		}
		return median(v)
	}
	up := of(func(s *sides) int { return s[netrelay.Up].packets })
	down := of(func(s *sides) int { return s[netrelay.Down].packets })
	bytes := of(func(s *sides) int { return s[0].bytes + s[1].bytes })
	clear := of(func(s *sides) int { return s[0].clear + s[1].clear })
	initial := of(func(s *sides) int { return s[0].initial + s[1].initial })
	beyond := bytes - int(e.size)
	text := fmt.Sprint(beyond)
	if e.size >= 1e6 {
		text += fmt.Sprintf(" (%.1f %%)", 100*float64(beyond)/float64(e.size))
	}
	f.rows = append(f.rows, []string{e.name(), fmt.Sprint(up), fmt.Sprint(down), fmt.Sprint(bytes), text, fmt.Sprint(clear),
		fmt.Sprintf("%.0f", float64(clear)/float64(up+down)), fmt.Sprint(initial)})
	g := &f.groups[len(f.groups)-1]
	g.bars = append(g.bars, bar{e.name(), float64(beyond), text}, bar{protocolName(e.http3) + ": in the clear", float64(clear), fmt.Sprint(clear)})
}

// exchangeGroup returns the heading of the bars of an exchange.
func exchangeGroup(e *exchange) string {
	if e.resumed {
		return "A resumed session"
	}
	return "A first visit"
}

// sides are what was sent each way, by netrelay.Dir.
type sides [2]observer

// A tally counts what passes through a Tunnel while it is on.
type tally struct {
	mu      sync.Mutex
	sides   sides
	connIDs [2]int
	err     error
	on      bool
}

// filter is for a Tunnel.
func (t *tally) filter(dir netrelay.Dir, p []byte) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.on || p[0]>>4 != 4 || p[9] != tcp && p[9] != udp {
		return true // the kernel looks for routers over IPv6, and refuses late datagrams by ICMP
	}
	o := &t.sides[dir]
	o.connIDs, o.dir = &t.connIDs, int(dir)
	if err := o.packet(p); err != nil && t.err == nil {
		t.err = err
	}
	return true
}

// run makes the exchange.
func (e *exchange) run(ctx context.Context, o *options) (sides, error) {
	var t tally
	link := netrelay.Link{Delay: o.rtt / 2}
	s, err := serviceConfig{http3: e.http3, cc: cubic, chain: usualChain, up: link, down: link, filter: t.filter, keys: o.keys}.serve()
	if err != nil {
		return sides{}, err
	}
	defer s.close()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	ss := newSessions()
	if e.resumed {
		v := visit{http3: e.http3}
		if err := v.earlier(ctx, s, ss); err != nil {
			return sides{}, err
		}
		time.Sleep(4 * o.rtt) // the last packets are not of this exchange
	}
	t.set(true)
	c, err := s.client(ss, false)
	if err != nil {
		return sides{}, err
	}
	defer c.close()
	_, err = c.fetch(ctx, e.size)
	c.leave()
	time.Sleep(4 * o.rtt) // the last packets are on their way, and nobody must refuse them
	t.set(false)
	if err == nil {
		err = t.err // the filter writes no more
	}
	return t.sides, err
}

func (t *tally) set(on bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.on = on
}
