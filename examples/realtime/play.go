package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"sync"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/examples/internal/trust"
	"github.com/lazoquic/lazo/examples/realtime/internal/world"
	"github.com/lazoquic/lazo/loop"
)

// A terminal is a player on the terminal. It walks in a circle, and chats what stdin says. In
// contrast to a bot it uses the methods of a connection that block, from goroutines of its own.
type terminal struct {
	c      *loop.Conn
	stdout io.Writer

	mu     sync.Mutex // also for stdout
	client *world.Client
	ages   world.Ages
	x, y   int // the middle of the circle
}

// play connects, and plays until ctx is done.
func play(ctx context.Context, o *options, stdin io.Reader, stdout io.Writer) error {
	tc, err := trust.Config(o.ca, o.insecure)
	if err != nil {
		return err
	}
	cfg, endLogs, err := clientConfig(tc)
	if err != nil {
		return err
	}
	c, err := loop.Dial(ctx, o.connect, cfg)
	if err != nil {
		return errors.Join(err, endLogs())
	}
	t := &terminal{c: c, stdout: stdout, client: world.NewClient(time.Now())}
	t.client.Ages = &t.ages
	err = t.play(ctx, o, stdin)
	grace, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	c.Shutdown(grace, codeEnd, "")
	return errors.Join(err, endLogs())
}

// open opens a stream of a kind.
func (t *terminal) open(ctx context.Context, kind world.Kind) (*loop.Stream, error) {
	st, err := t.c.OpenStream(ctx, conn.Bidi)
	if err != nil {
		return nil, err
	}
	_, err = st.Write([]byte{byte(kind)})
	return st, err
}

func (t *terminal) play(ctx context.Context, o *options, stdin io.Reader) error {
	signalling, err := t.open(ctx, world.Signalling)
	if err != nil {
		return err
	}
	if _, err := signalling.Write(world.AppendMessage(nil, world.Message{Name: o.name})); err != nil {
		return err
	}
	welcome := make(chan struct{})
	failed := make(chan error, 3)
	go func() {
		joined := false
		failed <- read(signalling, func(m world.Message) {
			if m.Welcome != nil && !joined {
				joined, t.x, t.y = true, m.Welcome.X, m.Welcome.Y
				close(welcome)
			}
		})
	}()
	select {
	case err := <-failed:
		return err
	case <-welcome:
	case <-ctx.Done():
		return nil
	}
	chat, err := t.open(ctx, world.Chat)
	if err != nil {
		return err
	}
	go func() { failed <- read(chat, t.print) }()
	go say(chat, stdin)
	go t.look(ctx, failed)
	go t.walk(ctx)
	return o.watch(ctx, failed, t.report)
}

// read calls f for the messages on a stream.
func read(st *loop.Stream, f func(world.Message)) error {
	var in world.Messages
	buf := make([]byte, 4096)
	for {
		n, err := st.Read(buf)
		got, bad := in.Read(buf[:n])
		for _, m := range got {
			f(m)
		}
		if err := errors.Join(err, bad); err != nil {
			return err
		}
	}
}

// print prints a line of chat.
func (t *terminal) print(m world.Message) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if m.Refused != "" {
		fmt.Fprintf(t.stdout, "refused: %s\n", m.Refused)
	} else {
		fmt.Fprintf(t.stdout, "%s: %s\n", m.Name, m.Text)
	}
}

// say sends lines as chat.
func say(st *loop.Stream, lines io.Reader) {
	for in := bufio.NewScanner(lines); in.Scan(); {
		if text := strings.TrimSpace(in.Text()); text != "" {
			st.Write(world.AppendMessage(nil, world.Message{Text: text[:min(len(text), world.MaxText)]}))
		}
	}
}

// look takes snapshots in.
func (t *terminal) look(ctx context.Context, failed chan<- error) {
	buf := make([]byte, 1500)
	for {
		n, err := t.c.ReceiveDatagram(ctx, buf)
		if err != nil {
			failed <- err
			return
		}
		t.mu.Lock()
		t.client.Datagram(time.Now(), buf[:n])
		t.mu.Unlock()
	}
}

// walk walks in a circle, until ctx or the connection is done.
func (t *terminal) walk(ctx context.Context) {
	tick := time.NewTicker(world.Tick)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		sin, cos := math.Sincos(float64(i) / world.TickRate)
		t.mu.Lock()
		b := t.client.Position(time.Now(), t.x+int(100*cos), t.y+int(100*sin), nil)
		t.mu.Unlock()
		// What cannot be sent before the next one would be old.
		if t.c.SendDatagram(ctx, b, world.Tick) != nil {
			return
		}
	}
}

// report prints what the player has seen since the last report.
func (t *terminal) report() {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.client.Stats()
	fmt.Fprintf(t.stdout, "(sees %d others; round trip %v; %d snapshots, %d missing; positions of others are %s old)\n",
		s.Seen, s.RTT, s.Snapshots, s.Missing, quantiles(&t.ages))
	t.ages = world.Ages{}
}
