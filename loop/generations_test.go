package loop_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/loop/looptest"
	"github.com/lazoquic/lazo/udpio"
)

// A seat is a socket that several processes share. One of them reads.
type seat struct {
	loop.Backend
	reading bool // belongs to the loop
	reads   *atomic.Int64
	woken   chan struct{}
}

func (s *seat) ReadBatch(ms []udpio.Message, deadline time.Time) (int, error) {
	if s.reading {
		n, err := s.Backend.ReadBatch(ms, deadline)
		s.reads.Add(int64(n))
		return n, err
	}
	var due <-chan time.Time
	if !deadline.IsZero() {
		due = time.After(time.Until(deadline))
	}
	select {
	case <-s.woken:
	case <-due:
	}
	return 0, nil
}

func (s *seat) Wake() {
	select {
	case s.woken <- struct{}{}:
	default:
	}
	s.Backend.Wake()
}

func (s *seat) Close() error { return nil } // others have it, too

// A dynasty is the generations of one server.
type dynasty struct {
	t      *testing.T
	seats  []*seat
	groups []*loop.Group
	socket loop.Backend
	moved  [3]atomic.Int64 // datagrams that generations have forwarded
	key    [32]byte
}

// found starts the next generation. It reads nothing yet.
func (d *dynasty) found() {
	d.t.Helper()
	gen := len(d.groups)
	s := &seat{Backend: d.socket, woken: make(chan struct{}, 1), reads: new(atomic.Int64)}
	cfg := serverConfig(nil)
	cfg.Endpoint.ResetKey = d.key
	cfg.Endpoint.TokenKeys = [][32]byte{d.key}
	cfg.Generations = &loop.Generations{Own: gen, Steer: 0x9e3779b1, Forward: func(l *loop.Loop, to int, ds []conn.Datagram) {
		for _, dg := range ds {
			d.moved[gen].Add(1)
			if lost := d.groups[to].Receive(dg); lost > 0 {
				d.t.Errorf("%d datagrams found no room", lost)
			}
		}
	}}
	g, err := loop.New(cfg, s)
	if err != nil {
		d.t.Fatal(err)
	}
	d.seats, d.groups = append(d.seats, s), append(d.groups, g)
}

// read makes the loop of a generation read, or makes it stop.
func (d *dynasty) read(gen int, on bool) {
	d.groups[gen].Loops()[0].Do(context.Background(), func(time.Time) { d.seats[gen].reading = on })
}

// serve sends n bytes, drawn from the number that a client asks for, to each client of g.
func (d *dynasty) serve(g *loop.Group, n int64) {
	for {
		c, err := g.Accept(context.Background())
		if err != nil {
			return
		}
		go func() {
			s, err := c.AcceptStream(context.Background())
			if err != nil {
				return
			}
			defer s.Close()
			var seed [1]byte
			if _, err := io.ReadFull(s, seed[:]); err == nil {
				io.CopyN(s, rand.NewChaCha8([32]byte{seed[0]}), n)
			}
		}()
	}
}

// TestGenerations passes one socket through three generations, while clients shake hands and
// download. None of them fails, or gets a wrong byte.
func TestGenerations(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("LAZO_SEED"); s != "" {
		seed, _ = strconv.ParseUint(s, 10, 64)
	}
	defer func() {
		if t.Failed() {
			t.Logf("LAZO_SEED=%d go test -count=1 -run '^TestGenerations$' ./loop", seed)
		}
	}()
	const size, clients = 200_000, 60
	synctest.Test(t, func(t *testing.T) {
		link := conntest.Link{Delay: 40 * time.Millisecond, Jitter: 10 * time.Millisecond, Loss: 0.05, Rate: 50_000_000}
		n := looptest.New(t, seed, link)
		d := &dynasty{t: t, socket: n.Listen(serverAddr), key: [32]byte{1}}
		for range 3 {
			d.found()
		}
		for _, g := range d.groups {
			go d.serve(g, size)
			defer g.Close()
		}
		d.read(0, true)

		var wg sync.WaitGroup
		for i := range clients {
			g, err := loop.New(nil, n.Listen(fmt.Sprintf("10.0.1.%d:5000", i)))
			if err != nil {
				t.Fatal(err)
			}
			wg.Go(func() {
				defer g.Close()
				time.Sleep(time.Duration(i) * 10 * time.Millisecond)
				if err := fetchDrawn(g, byte(i), size); err != nil {
					t.Errorf("client %d: %v", i, err)
				}
			})
		}
		alive := map[int][]conn.ConnID{}
		for gen := range 2 {
			time.Sleep(200 * time.Millisecond)
			d.read(gen, false)
			alive[gen] = d.groups[gen].HandshakeIDs()
			if len(alive[gen]) == 0 {
				t.Errorf("generation %d has no handshakes in progress: the test is too slow", gen)
			}
			d.groups[gen+1].SetElsewhere(alive)
			d.read(gen+1, true)
		}
		wg.Wait()
		for gen, g := range d.groups {
			st := g.Stats()
			t.Logf("generation %d: %d connections, %d datagrams read, %d forwarded", gen, st.Accepted, d.seats[gen].reads.Load(), d.moved[gen].Load())
			if st.Accepted == 0 || st.StatelessResetsSent > 0 || gen > 0 && d.moved[gen].Load() == 0 {
				t.Errorf("generation %d: %+v", gen, st.EndpointStats)
			}
		}
	})
}

// fetchDrawn gets the bytes that belong to seed, and compares them.
func fetchDrawn(g *loop.Group, seed byte, size int) error {
	c, err := g.Dial(context.Background(), serverAddr, conntest.ClientConfig())
	if err != nil {
		return err
	}
	s, err := c.OpenStream(context.Background(), conn.Bidi)
	if err != nil {
		return err
	}
	s.Write([]byte{seed})
	s.CloseWrite()
	got, err := io.ReadAll(s)
	if err != nil {
		return err
	}
	want := make([]byte, size)
	rand.NewChaCha8([32]byte{seed}).Read(want)
	if string(got) != string(want) {
		return fmt.Errorf("got %d bytes, not the right %d", len(got), size)
	}
	return nil
}
