package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"time"

	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/internal/netrelay"
)

// A move is a change of the client's address in the middle of a download. What is on its way to the
// former address is lost.
type move struct {
	name  string
	http3 bool
	told  bool // the client learns of the change at once
	// no reset comes back, as from NATs that drop segments of flows that they do not know
	mute bool
}

var moves = [...]move{
	{name: "HTTP/3, told: migrates", http3: true, told: true},
	{name: "HTTP/2, told: connects anew", told: true},
	{name: "HTTP/3, not told", http3: true},
	{name: "HTTP/2, not told, gets a reset"},
	{name: "HTTP/2, not told, gets nothing", mute: true},
}

// otherAddr is the address that the client gets.
var otherAddr = netip.MustParseAddr("10.77.0.9")

// The move happens when so many seconds of the download have come. What follows is measured for as
// many seconds as come next.
const (
	secondsBefore = 1.5
	secondsAfter  = 2
)

// A moved is what a move did to a download.
type moved struct {
	silence time.Duration // the longest time without a byte
	next    time.Duration // until the bytes of secondsAfter had come
}

// measureMigration measures all moves.
func measureMigration(ctx context.Context, o *options) (*figures, error) {
	res := make([]moved, len(moves)*o.runs)
	err := o.each(ctx, len(res), func(ctx context.Context, i int) (err error) {
		m := &moves[i/o.runs]
		if res[i], err = m.run(ctx, o); err != nil {
			err = fmt.Errorf("%s: %w", m.name, err)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	mb := float64(o.rate) / 8e6 * secondsAfter
	fig := &figures{
		title: "Silence in a download when the client's address changes",
		head:  []string{"", "silence", "longest of all runs", fmt.Sprintf("the next %g MB", mb)},
	}
	g := group{name: fmt.Sprintf("%g Mbit/s, round trip of %s", float64(o.rate)/1e6, ms(o.rtt))}
	for i := range moves {
		var silences, nexts []time.Duration
		for _, r := range res[i*o.runs:][:o.runs] {
			silences, nexts = append(silences, r.silence), append(nexts, r.next)
		}
		s, n := median(silences), median(nexts)
		fig.rows = append(fig.rows, []string{moves[i].name, ms(s), ms(silences[len(silences)-1]), fmt.Sprintf("%.1f s", n.Seconds())})
		g.bars = append(g.bars, bar{moves[i].name, s.Seconds(), ms(s)})
	}
	fig.groups = []group{g}
	return fig, nil
}

// isReset reports whether an IP packet is a TCP segment with RST.
func isReset(p []byte) bool {
	const rst = 4
	header := int(p[0]&15) * 4
	return p[0]>>4 == 4 && p[9] == tcp && len(p) > header+13 && p[header+13]&rst != 0
}

// A movedDownload is a download with a move.
type movedDownload struct {
	*move
	o      *options
	s      *service
	ss     *sessions
	c      *client
	resp   *http.Response
	cancel context.CancelFunc // of the request
	total  int64
	got    int64
}

// run makes one move.
func (m *move) run(ctx context.Context, o *options) (moved, error) {
	ctx, cancel := context.WithTimeout(ctx, o.patience+time.Minute)
	defer cancel()
	up, down := o.path(0)
	cfg := serviceConfig{http3: m.http3, cc: cubic, chain: usualChain, up: up, down: down, keys: o.keys}
	if m.mute {
		cfg.filter = func(_ netrelay.Dir, p []byte) bool { return !isReset(p) }
	}
	s, err := cfg.serve()
	if err != nil {
		return moved{}, err
	}
	defer s.close()
	second := float64(o.rate) / 8
	before := int64(second * secondsBefore)
	d := &movedDownload{move: m, o: o, s: s, ss: newSessions(), total: before + int64(second*secondsAfter)}
	if err := d.connect(ctx); err != nil {
		return moved{}, err
	}
	defer func() { d.disconnect() }()
	if _, err := d.read(ctx, before, nil); err != nil {
		return moved{}, err
	}
	if err := d.ss.wait(ctx); err != nil {
		return moved{}, err
	}
	migrated := d.change(ctx)
	r, err := d.read(ctx, d.total, d.reconnect)
	if err == nil {
		err = <-migrated
	}
	return r, err
}

// connect asks for what is missing, over a new connection.
func (d *movedDownload) connect(ctx context.Context) error {
	c, err := d.s.client(d.ss, false)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	resp, err := c.get(ctx, d.total-d.got)
	if err != nil {
		cancel()
		c.close()
		return err
	}
	d.c, d.resp, d.cancel = c, resp, cancel
	return nil
}

func (d *movedDownload) disconnect() {
	d.cancel()
	d.resp.Body.Close()
	d.c.close()
}

// reconnect leaves the connection, which is of no use any more, for another.
func (d *movedDownload) reconnect(ctx context.Context) error {
	d.disconnect()
	return d.connect(ctx)
}

// change changes the client's address. The channel gets the result of a migration.
func (d *movedDownload) change(ctx context.Context) <-chan error {
	done := make(chan error, 1)
	d.s.tunnel.Rebind(otherAddr)
	switch {
	case !d.told:
		done <- nil
	case !d.http3:
		d.cancel()
		done <- nil
	default:
		c := h3http.ConnOf(d.resp.Request)
		go func() {
			var local netip.AddrPort
			err := d.s.tunnel.Client.Do(func() (err error) {
				local, err = d.c.socket.AddLocal("udp", netrelay.ClientAddr4+":0")
				return err
			})
			if err == nil {
				err = c.Migrate(ctx, local)
			}
			done <- err
		}()
	}
	return done
}

// read reads until so many bytes have come in all. With repair, which makes another connection, it
// does not wait for one that has failed, or over TCP says nothing for longer than the patience of
// the options.
func (d *movedDownload) read(ctx context.Context, until int64, repair func(context.Context) error) (moved, error) {
	began := time.Now()
	last := began
	var r moved
	buf := make([]byte, 64<<10)
	for d.got < until {
		n, err := d.readOnce(buf[:min(int64(len(buf)), until-d.got)], repair != nil && !d.http3)
		now := time.Now()
		if d.got += int64(n); n > 0 {
			r.silence, last = max(r.silence, now.Sub(last)), now
		}
		if err == io.EOF && d.got == d.total {
			break
		}
		if err != nil && repair != nil && !d.http3 && ctx.Err() == nil {
			err = repair(ctx)
		}
		if err != nil {
			return r, err
		}
	}
	r.next = last.Sub(began)
	return r, nil
}

// readOnce reads once. If it is hasty it gives up after the patience of the options.
func (d *movedDownload) readOnce(b []byte, hasty bool) (int, error) {
	if hasty {
		defer time.AfterFunc(d.o.patience, d.cancel).Stop()
	}
	return d.resp.Body.Read(b)
}
