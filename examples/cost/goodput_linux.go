package main

import (
	"context"
	"fmt"
	"time"

	"github.com/lazoquic/lazo/internal/netrelay"
)

// A download is one over a path that loses packets.
type download struct {
	http3 bool
	cc    controller
	loss  float64
}

func (d *download) name() string { return protocolName(d.http3) + ", " + d.cc.name }

func protocolName(http3 bool) string {
	if http3 {
		return "HTTP/3"
	}
	return "HTTP/2"
}

// path returns the links of the options. The queue takes one bandwidth-delay product, and what is
// on its way in one direction.
func (o *options) path(loss float64) (up, down netrelay.Link) {
	up = netrelay.Link{Delay: o.rtt / 2, Loss: loss}
	down = up
	down.Rate = o.rate
	down.Queue = int(float64(o.rate) / 8 * o.rtt.Seconds() * 3 / 2)
	return up, down
}

// measureGoodput measures downloads with both controllers and several losses.
func measureGoodput(ctx context.Context, o *options) (*figures, error) {
	losses := []float64{0, 0.001, 0.005, 0.01, 0.02, 0.05}
	var all []download
	for _, cc := range []controller{cubic, bbr} {
		for _, http3 := range []bool{false, true} {
			for _, loss := range losses {
				all = append(all, download{http3, cc, loss})
			}
		}
	}
	rates := make([]float64, len(all)*o.runs)
	err := o.each(ctx, len(rates), func(ctx context.Context, i int) (err error) {
		rates[i], err = all[i/o.runs].run(ctx, o, o.seed+uint64(i%o.runs))
		return err
	})
	if err != nil {
		return nil, err
	}
	fig := &figures{
		title: fmt.Sprintf("Goodput of a download, Mbit/s; the path has %g Mbit/s and a round trip of %s", float64(o.rate)/1e6, ms(o.rtt)),
		head:  []string{"loss"},
	}
	for _, loss := range losses {
		row := []string{fmt.Sprintf("%g %%", 100*loss)}
		g := group{name: fmt.Sprintf("%g %% loss", 100*loss)}
		for i := range all {
			if d := &all[i]; d.loss == loss {
				if len(fig.rows) == 0 {
					fig.head = append(fig.head, d.name())
				}
				v := median(rates[i*o.runs:][:o.runs]) / 1e6
				text := fmt.Sprintf("%.1f", v)
				row = append(row, text)
				g.bars = append(g.bars, bar{d.name(), v, text})
			}
		}
		fig.rows = append(fig.rows, row)
		fig.groups = append(fig.groups, g)
	}
	return fig, nil
}

// run downloads for a while, and returns bits per second.
func (d *download) run(ctx context.Context, o *options, seed uint64) (float64, error) {
	up, down := o.path(d.loss)
	s, err := serviceConfig{http3: d.http3, cc: d.cc, chain: usualChain, up: up, down: down, seed: seed, keys: o.keys}.serve()
	if err != nil {
		return 0, err
	}
	defer s.close()
	c, err := s.client(newSessions(), false)
	if err != nil {
		return 0, err
	}
	defer c.close()
	ctx, cancel := context.WithTimeout(ctx, time.Duration(o.secs*float64(time.Second))+time.Minute)
	defer cancel()
	resp, err := c.get(ctx, 1<<40)
	if err != nil {
		return 0, fmt.Errorf("%s, seed %d: %w", d.name(), seed, err)
	}
	defer resp.Body.Close()
	began, n := time.Now(), 0
	buf := make([]byte, 64<<10)
	for {
		k, err := resp.Body.Read(buf)
		if n == 0 { // something has come, so there is a rate
			// then the next Read fails
			end := time.AfterFunc(time.Duration(o.secs*float64(time.Second)), cancel)
			defer end.Stop()
		}
		n += k
		if err != nil && ctx.Err() != nil {
			break
		}
		if err != nil {
			return 0, fmt.Errorf("%s, seed %d: %w", d.name(), seed, err)
		}
	}
	return float64(n) * 8 / time.Since(began).Seconds(), nil
}
