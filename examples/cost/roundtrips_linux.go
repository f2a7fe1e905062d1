package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/internal/netrelay"
)

// A visit is a way to come to a server for the first byte of a response.
type visit struct {
	name    string
	http3   bool
	resumed bool // with a session of an earlier connection
	early   bool // the request is early data
	open    bool // the connection is there already
	chain   int
}

// longChain is more than a server may send before it knows the client's address, three times the
// two datagrams of a ClientHello with ML-KEM (RFC 9000, Section 8.1).
const longChain = 9_000

var visits = [...]visit{
	{name: "HTTP/2, first visit", chain: usualChain},
	{name: "HTTP/3, first visit", http3: true, chain: usualChain},
	{name: "HTTP/2, resumed", resumed: true, chain: usualChain},
	{name: "HTTP/3, resumed", http3: true, resumed: true, chain: usualChain},
	{name: "HTTP/3, 0-RTT", http3: true, resumed: true, early: true, chain: usualChain},
	{name: "HTTP/2, certificates of 9 KB", chain: longChain},
	{name: "HTTP/3, certificates of 9 KB", http3: true, chain: longChain},
	{name: "HTTP/2, connection open", open: true, chain: usualChain},
	{name: "HTTP/3, connection open", http3: true, open: true, chain: usualChain},
}

// measureRoundTrips measures the time to the first byte of all visits on three paths.
func measureRoundTrips(ctx context.Context, o *options) (*figures, error) {
	rtts := []time.Duration{10 * time.Millisecond, 50 * time.Millisecond, 200 * time.Millisecond}
	times := make([][]time.Duration, len(visits)*len(rtts))
	err := o.each(ctx, len(times), func(ctx context.Context, i int) (err error) {
		times[i], err = visits[i/len(rtts)].measure(ctx, rtts[i%len(rtts)], o)
		return err
	})
	if err != nil {
		return nil, err
	}
	fig := &figures{title: "Time to the first byte of a response", head: []string{"", "round trips"}}
	for _, rtt := range rtts {
		fig.head = append(fig.head, ms(rtt))
		fig.groups = append(fig.groups, group{name: "Round trip of " + ms(rtt)})
	}
	for i, v := range visits {
		row := []string{v.name, ""}
		for j, rtt := range rtts {
			d := median(times[i*len(rtts)+j])
			row = append(row, ms(d))
			fig.groups[j].bars = append(fig.groups[j].bars, bar{v.name, d.Seconds(), ms(d)})
			row[1] = fmt.Sprint(int(d / rtt)) // on the longest path the rest matters least
		}
		fig.rows = append(fig.rows, row)
	}
	return fig, nil
}

// measure makes visits one after another, and returns how long each waited for the first byte.
func (v *visit) measure(ctx context.Context, rtt time.Duration, o *options) ([]time.Duration, error) {
	link := netrelay.Link{Delay: rtt / 2}
	s, err := serviceConfig{http3: v.http3, cc: cubic, chain: v.chain, up: link, down: link, keys: o.keys}.serve()
	if err != nil {
		return nil, err
	}
	defer s.close()
	var times []time.Duration
	for range o.runs {
		d, err := v.once(ctx, s)
		if err != nil {
			return nil, fmt.Errorf("%s, %v: %w", v.name, rtt, err)
		}
		times = append(times, d)
	}
	return times, nil
}

// once makes one visit.
func (v *visit) once(ctx context.Context, s *service) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	ss := newSessions()
	if v.resumed {
		if err := v.earlier(ctx, s, ss); err != nil {
			return 0, err
		}
	}
	c, err := s.client(ss, v.early)
	if err != nil {
		return 0, err
	}
	defer c.close()
	if v.open {
		if _, err := c.fetch(ctx, 100); err != nil {
			return 0, err
		}
	}
	began := time.Now()
	resp, err := c.get(ctx, 100)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if _, err := resp.Body.Read(make([]byte, 1)); err != nil && err != io.EOF {
		return 0, err
	}
	took := time.Since(began)
	switch {
	case !v.open && resp.TLS.DidResume != v.resumed:
		return 0, fmt.Errorf("resumed: %v, want %v", resp.TLS.DidResume, v.resumed)
	case v.early && !h3http.ConnOf(resp.Request).EarlyDataAccepted():
		return 0, errors.New("the server did not take early data")
	}
	return took, nil
}

// earlier makes the connection whose session the visit has.
func (v *visit) earlier(ctx context.Context, s *service, ss *sessions) error {
	c, err := s.client(ss, v.early)
	if err != nil {
		return err
	}
	defer c.close()
	if _, err := c.fetch(ctx, 100); err != nil {
		return err
	}
	return ss.wait(ctx)
}
