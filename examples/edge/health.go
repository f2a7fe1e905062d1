package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"time"
)

// watch checks b until ctx is done.
func (p *pool) watch(ctx context.Context, b *backend) {
	c := p.config.Health
	tick := time.NewTimer(0)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := b.check(ctx, c)
		if ctx.Err() != nil {
			return
		}
		if b.condition.checked(err == nil) {
			p.log.Warn("a backend changed", "backend", b.name, "up", err == nil, slog.Any("error", err))
		}
		// The random part spreads the checks of edges that were started at the same time.
		tick.Reset(time.Duration(float64(c.Interval) * (0.9 + 0.2*rand.Float64())))
	}
}

// check sends b one request. Any status below 400 is good.
func (b *backend) check(ctx context.Context, c *checkConfig) error {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(c.Timeout))
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, b.url.String()+c.Path, nil)
	if err != nil {
		return err
	}
	if c.Host != "" {
		r.Host = c.Host
	}
	r.Header.Set("User-Agent", "edge-health-check")
	resp, err := b.way.Load().RoundTrip(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	return err
}
