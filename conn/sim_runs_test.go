package conn_test

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/congestion"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/internal/script"
)

// seeds runs f with as many seeds as LAZO_RUNS says, by default a few hundred. They begin with
// LAZO_FROM, by default 1. With LAZO_SEED it runs f only with that seed.
func seeds(t *testing.T, f func(t *testing.T, seed uint64)) { script.Seeds(t, 200, f) }

// Any transfer over any network arrives bit for bit or ends in a timeout, and
// replays. Only bad networks may cause timeouts, and seldom.
func TestRuns(t *testing.T) {
	var ran, timeouts int
	seeds(t, func(t *testing.T, seed uint64) {
		sc := randomScenario(seed)
		out := sc.runTwice(t)
		out.check(t, sc)
		ran++
		if out.timeout != nil {
			timeouts++
		}
	})
	t.Logf("%d of %d runs ended in a timeout", timeouts, ran)
	if timeouts > 1+ran/50 {
		t.Error("too many timeouts")
	}
}

// The same while the client moves: behind a NAT that forgets its binding, or to
// another address of its own.
func TestRovingRuns(t *testing.T) {
	seeds(t, func(t *testing.T, seed uint64) {
		sc := randomScenario(seed)
		sc.upload, sc.download = sc.upload+50_000, sc.download+50_000
		configure := sc.configure
		sc.configure = func(cfg *conn.Config) {
			configure(cfg)
			// without it, a client that only receives would not be found again
			cfg.KeepAlive = sc.timeout / 5
		}
		sc.begin = rove
		sc.runTwice(t).check(t, sc)
	})
}

// The same with peers that give up streams in every way and at any point, send
// datagrams and update keys meanwhile.
func TestRudeRuns(t *testing.T) {
	seeds(t, func(t *testing.T, seed uint64) {
		sc := randomScenario(seed)
		sc.streams += 5
		sc.makeRude()
		sc.runTwice(t).check(t, sc)
	})
}

// check checks that only a bad network made the scenario time out.
func (out outcome) check(t *testing.T, sc scenario) {
	t.Helper()
	// A damaged datagram is as useless as a lost one.
	worst := max(sc.up.Loss+sc.up.Corrupt, sc.down.Loss+sc.down.Corrupt)
	if out.timeout != nil && (!isTimeout(out.timeout) || worst < 0.1) {
		t.Errorf("%v, though at most %.2f of the datagrams are lost", out.timeout, worst)
	}
}

// A chance draws the random parts of a scenario.
type chance struct{ *rand.Rand }

func newChance(seed, use uint64) chance { return chance{rand.New(rand.NewPCG(seed, use))} }

// one reports true in one case of n.
func (c chance) one(n int) bool { return c.IntN(n) == 0 }

// between draws a number from lo to hi. Each order of magnitude is equally likely.
func (c chance) between(lo, hi float64) float64 { return lo * math.Pow(hi/lo, c.Float64()) }

// size draws the size of a transfer.
func (c chance) size() int64 {
	if c.one(4) {
		return c.Int64N(2)
	}
	return int64(c.between(1, 60e3))
}

// link draws a link whose delay is half of rtt.
func (c chance) link(rtt time.Duration) conntest.Link {
	sometimes := func(n int, most float64) float64 {
		p := c.Float64() * most
		if !c.one(n) {
			return 0
		}
		return p
	}
	l := conntest.Link{
		Delay:     rtt / 2,
		Rate:      int64(c.between(100e3, 10e9)),
		Queue:     int(c.between(4, 200) * 1500),
		MTU:       1200 + c.IntN(400),
		Loss:      sometimes(2, 0.2),
		Duplicate: sometimes(3, 0.3),
		Corrupt:   sometimes(3, 0.1),
		Reorder:   sometimes(3, 0.2),
		Mark:      sometimes(4, 0.2),
	}
	if c.one(3) {
		l.Jitter = time.Duration(c.Int64N(int64(rtt)))
	}
	return l
}

func randomScenario(seed uint64) scenario {
	c := newChance(seed, 1)
	rtt := time.Duration(c.between(100e3, 2e9))
	sc := scenario{
		seed: seed, up: c.link(rtt), down: c.link(rtt),
		streams: 1 + c.IntN(8), upload: c.size(), download: c.size(),
		segments: []int{0, 1, 2, 10}[c.IntN(4)], coalesce: c.one(2),
	}
	sc.timeout = max(patience(sc.up), patience(sc.down))
	sc.retry = c.one(5)
	smallWindows, fewStreams, smallBuffers := c.one(4), c.one(4), c.one(4)
	controller := []func(congestion.Params) congestion.Controller{nil, congestion.NewReno, congestion.NewBBR}[c.IntN(3)]
	noPacing, noAckFrequency, fixedMTU := c.one(8), c.one(4), c.one(8)
	window, limit, unsent := int64(c.between(100, 20e3)), int64(1+c.IntN(3)), 1+c.IntN(5000)
	sc.configure = func(cfg *conn.Config) {
		if smallWindows {
			cfg.InitialMaxData, cfg.InitialMaxStreamData = 2*window, window
			cfg.MaxData, cfg.MaxStreamData = 4*window, 2*window
		}
		if fewStreams {
			cfg.InitialMaxStreamsBidi = limit
		}
		if smallBuffers {
			cfg.UnsentBytes = unsent
		}
		cfg.Congestion = controller
		if fixedMTU {
			cfg.MaxMTU = 1200
		}
		cfg.DisablePacing, cfg.DisableAckFrequency = noPacing, noAckFrequency
	}
	return sc
}

// makeRude makes the peers of sc rude. They also send datagrams and update keys.
func (sc *scenario) makeRude() {
	seed, configure := sc.seed, sc.configure
	sc.rude = func(p *peer, id conn.StreamID) manners {
		c := newChance(seed<<8^uint64(id), uint64(len(p.name))<<32+uint64(p.name[0]))
		m := polite
		for _, point := range []*int64{&m.reset, &m.stop, &m.drop} {
			if c.one(4) {
				*point = int64(c.between(1, float64(p.sends+p.expects+2))) - 1
			}
		}
		return m
	}
	sc.configure = func(cfg *conn.Config) {
		configure(cfg)
		cfg.MaxDatagramFrameSize = 1200
	}
	seen := make(map[*peer]map[uint64]bool)
	sc.event = func(p *peer, ev conn.Event) {
		switch ev.Kind {
		case conn.EventConnected:
			seen[p] = make(map[uint64]bool)
			for i := range uint64(20) {
				p.sendDatagram(i)
			}
		case conn.EventDatagramReadable:
			p.readDatagrams(seen[p])
		case conn.EventStreamReadable:
			if (uint64(ev.Stream.ID())+seed)%4 == 0 {
				ev.Conn.UpdateKeys() // the error only says that it is too early
			}
		}
	}
}

// sendDatagram sends datagram number i if it is taken.
func (p *peer) sendDatagram(i uint64) {
	b := make([]byte, min(p.conn.MaxDatagramSize(), int(8+i*50)))
	if len(b) < 8 {
		return
	}
	pattern(b[8:], i, 0)
	binary.BigEndian.PutUint64(b, i)
	if _, err := p.conn.SendDatagram(b, conn.DatagramOptions{}); err != nil {
		p.errorf("SendDatagram of %d bytes: %v", len(b), err)
	}
}

// readDatagrams reads the datagrams that have come. Each may come at most once.
func (p *peer) readDatagrams(seen map[uint64]bool) {
	for {
		b, ok := p.conn.ReceiveDatagram()
		if !ok {
			return
		}
		if len(b) < 8 {
			p.errorf("datagram of %d bytes", len(b))
			return
		}
		i := binary.BigEndian.Uint64(b)
		if seen[i] || mismatch(b[8:], i, 0) >= 0 {
			p.errorf("datagram %d is wrong, or arrives twice", i)
		}
		seen[i] = true
	}
}
