package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/examples/internal/envlog"
	"github.com/lazoquic/lazo/examples/internal/trust"
	"github.com/lazoquic/lazo/examples/realtime/internal/world"
	"github.com/lazoquic/lazo/loop"
)

// A fleet is bots on one loop, with one socket.
type fleet struct {
	g    *loop.Group
	to   conn.Target
	cfg  *conn.Config
	logs func() error

	// These belong to the goroutine of the loop.
	rng      *rand.Rand
	bots     []*bot
	started  int        // how many of bots have begun to connect
	answered int        // and have joined, or failed
	ages     world.Ages // of the positions that bots see, since the last report
}

// clientConfig returns the configuration of players who speak QUIC without HTTP.
func clientConfig(tc *tls.Config) (cfg *conn.Config, endLogs func() error, err error) {
	tc.NextProtos = []string{protocol}
	cfg = &conn.Config{TLS: tc, MaxDatagramFrameSize: 1500}
	endLogs, err = envlog.Attach(tc, cfg, slog.Default())
	return cfg, endLogs, err
}

// newFleet lets o.bots bots connect, one after another. Bots that lose their connection come again.
func newFleet(o *options, to string, tc *tls.Config) (*fleet, error) {
	addr, err := net.ResolveUDPAddr("udp", to)
	if err != nil {
		return nil, err
	}
	host, _, err := net.SplitHostPort(to)
	if err != nil {
		return nil, err
	}
	tc.ServerName = host
	f := &fleet{rng: rand.New(rand.NewPCG(o.seed, 1))}
	ap := addr.AddrPort()
	f.to.Remote = netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	if f.cfg, f.logs, err = clientConfig(tc); err != nil {
		return nil, err
	}
	local := "0.0.0.0:0"
	if f.to.Remote.Addr().Is6() {
		local = "[::]:0"
	}
	if f.g, err = loop.Open("udp", local, 1, nil); err != nil {
		return nil, errors.Join(err, f.logs())
	}
	l := f.g.Loops()[0]
	for range o.bots {
		f.bots = append(f.bots, &bot{f: f, l: l})
	}
	l.Post(f.dialMore)
	return f, nil
}

// dialing is how many bots connect at the same time. Handshakes take time, of the server too.
const dialing = 8

// dialMore lets bots connect, as many as may do so at the same time.
func (f *fleet) dialMore(now time.Time) {
	for f.started < len(f.bots) && f.started-f.answered < dialing {
		f.started++
		f.bots[f.started-1].dial(now)
	}
}

// close ends all bots.
func (f *fleet) close() error {
	f.g.Loops()[0].Post(func(time.Time) {
		for _, b := range f.bots {
			if b.gone = true; b.c != nil {
				b.c.Close(codeEnd, "")
			}
		}
	})
	grace, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	f.g.Shutdown(grace)
	return f.logs()
}

// sendBots lets bots play on a server elsewhere, until ctx is done.
func sendBots(ctx context.Context, o *options, stdout io.Writer) error {
	tc, err := trust.Config(o.ca, o.insecure)
	if err != nil {
		return err
	}
	f, err := newFleet(o, o.connect, tc)
	if err != nil {
		return err
	}
	failed := make(chan error, 1)
	go func() { failed <- f.g.Wait() }()
	err = o.watch(ctx, failed, func() { f.report(stdout) })
	return errors.Join(err, f.close())
}

// again is how soon a bot comes again that has lost its connection.
const again = time.Second

// A bot is a player that walks about. It is the Handler of its connection.
type bot struct {
	f      *fleet
	l      *loop.Loop
	c      *conn.Conn
	gone   bool // it does not come again
	known  bool // it was answered
	joined bool
	client *world.Client
	in     world.Messages
	next   time.Time // when to say where it is
	buf    [64]byte

	x, y, speed  float64
	goalX, goalY float64
}

// dialIn connects after some time.
func (b *bot) dialIn(d time.Duration) {
	time.AfterFunc(d, func() { b.l.Post(b.dial) })
}

// dial connects.
func (b *bot) dial(now time.Time) {
	if b.gone {
		return
	}
	b.client, b.in, b.joined = world.NewClient(now), world.Messages{}, false
	b.client.Ages = &b.f.ages
	c, err := b.l.Endpoint().Dial(now, b.f.to, b.f.cfg)
	if err != nil {
		slog.Warn("realtime: a bot cannot connect", "err", err)
		b.answered()
		b.dialIn(again)
		return
	}
	b.c = c
	b.l.SetHandler(c, b)
}

// answered notes that the bot has joined, or failed, and lets another one connect.
func (b *bot) answered() {
	if !b.known {
		b.known = true
		b.f.answered++
		b.l.Post(b.f.dialMore)
	}
}

// HandleEvent says hello, walks, and looks.
func (b *bot) HandleEvent(now time.Time, ev conn.Event) {
	switch ev.Kind {
	case conn.EventConnected:
		b.hello()
	case conn.EventStreamReadable:
		b.read(now, ev.Stream)
	case conn.EventDatagramReadable:
		for d, ok := b.c.ReceiveDatagram(); ok; d, ok = b.c.ReceiveDatagram() {
			b.client.Datagram(now, d)
		}
	case conn.EventTimer:
		b.walk(now)
	case conn.EventClosed:
		b.c, b.joined = nil, false
		b.answered()
		if !b.gone {
			b.dialIn(again)
		}
	}
}

// Flush has nothing to do.
func (b *bot) Flush(time.Time, *conn.Conn) {}

// hello opens the stream of signalling, and says hello.
func (b *bot) hello() {
	st, err := b.c.OpenStream(conn.Bidi)
	if err != nil {
		b.c.Close(codeProtocol, err.Error())
		return
	}
	name := fmt.Sprintf("bot %d", 1+b.f.rng.IntN(9999))
	st.Write(world.AppendMessage([]byte{byte(world.Signalling)}, world.Message{Name: name}))
}

// read reads the welcome.
func (b *bot) read(now time.Time, st *conn.Stream) {
	for {
		p, err := st.Peek(1)
		if len(p) == 0 {
			if !errors.Is(err, conn.ErrWouldBlock) {
				st.Release()
			}
			return
		}
		got, err := b.in.Read(p)
		st.Discard(len(p))
		if err != nil {
			b.c.Close(codeProtocol, err.Error())
			return
		}
		for _, m := range got {
			if m.Welcome != nil && !b.joined {
				b.joined = true
				b.answered()
				b.x, b.y = float64(m.Welcome.X), float64(m.Welcome.Y)
				b.goalX, b.goalY = b.x, b.y
				b.next = now.Add(time.Duration(b.f.rng.Int64N(int64(world.Tick))))
				b.c.SetTimer(b.next)
			}
		}
	}
}

// walk goes a step, and says so.
func (b *bot) walk(now time.Time) {
	dx, dy := b.goalX-b.x, b.goalY-b.y
	if d := dx*dx + dy*dy; d < b.speed*b.speed+1 {
		rng := b.f.rng
		b.goalX, b.goalY, b.speed = rng.Float64()*world.Size, rng.Float64()*world.Size, 2+10*rng.Float64()
	} else {
		step := min(b.speed/math.Sqrt(d), 1)
		b.x, b.y = b.x+dx*step, b.y+dy*step
	}
	p := b.client.Position(now, int(b.x), int(b.y), b.buf[:0])
	// What cannot be sent before the next one would be old.
	b.c.SendDatagram(p, conn.DatagramOptions{MaxAge: world.Tick})
	for !b.next.After(now) {
		b.next = b.next.Add(world.Tick)
	}
	b.c.SetTimer(b.next)
}
