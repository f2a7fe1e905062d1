package conn_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/congestion"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/internal/script"
)

// TestSendRuns plays stories with runs and without. Each endpoint sends the same datagrams at the
// same times.
func TestSendRuns(t *testing.T) {
	stories := uint64(40)
	if testing.Short() {
		stories = 10
	}
	packets, with := 0, 0
	script.Seeds(t, stories, func(t *testing.T, seed uint64) {
		s := drawStory(seed, script.FromSeed(seed))
		if seed%4 != 0 {
			s.prolong(20)
		}
		off, _, flaw := s.playRuns(t, true)
		on, n, other := s.playRuns(t, false)
		if on != off || (flaw == nil) != (other == nil) {
			t.Errorf("runs change what is sent: %x and %x, %v and %v", off[:4], on[:4], flaw, other)
		}
		if packets += n; n > 0 {
			with++
		}
	})
	t.Logf("%d packets in runs, in %d stories", packets, with)
}

// playRuns is play with runs or without. It returns how many packets went in runs.
func (s story) playRuns(t *testing.T, off bool) (hash [32]byte, packets int, found *script.Flaw) {
	var counts []*int
	hash, found = s.playWith(t, func(cfg *conn.EndpointConfig) { counts = append(counts, cfg.WatchRuns(off)) })
	for _, n := range counts {
		packets += *n
	}
	return hash, packets, found
}

// prolong makes streams times as long.
func (s *story) prolong(times int64) {
	for _, c := range s.Clients {
		for _, d := range c.Dials {
			for i := range d.Streams {
				for _, h := range []*half{&d.Streams[i].There, &d.Streams[i].Back} {
					h.Bytes, h.After, h.Piece = times*h.Bytes, times*h.After, int(times)*h.Piece
					if h.Stop > 0 {
						h.Stop = 1 + times*(h.Stop-1)
					}
				}
			}
		}
	}
}

// TestSendRunsOfBulk is TestSendRuns for transfers that consist of runs.
func TestSendRunsOfBulk(t *testing.T) {
	const seeds = 20
	ran, all := 0, 0
	for seed := range uint64(seeds) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			d := script.FromSeed(seed)
			link := conntest.Link{Delay: d.Time(100*time.Microsecond, 50*time.Millisecond), Rate: int64(d.Between(20e6, 10e9))}
			link.Queue = int(d.Between(20_000, 2e6))
			if d.One(2) {
				link.Loss, link.Reorder, link.Duplicate = d.Some(4, 0.02), d.Some(4, 0.02), d.Some(4, 0.02)
			}
			link.Mark = d.Some(3, 0.05)
			if d.One(4) {
				link.Faults = []conntest.Fault{{From: 100 * time.Millisecond, To: time.Hour, MTU: 1300}}
			}
			window := int64(d.Between(5_000, 4e6))
			every := script.Pick(d, 0, 0, time.Millisecond, 20*time.Millisecond)
			keys, rude := d.One(3), d.One(4)
			sc := scenario{
				seed: seed, streams: script.Pick(d, 1, 1, 1, 2, 3), upload: int64(d.Between(1, 2e6)), download: int64(d.Between(1e5, 2e6)),
				segments: script.Pick(d, 0, 0, 45, 10, 2), coalesce: d.One(2), limit: 10 * time.Minute,
			}.both(link)
			control := script.Pick(d, congestion.NewCubic, congestion.NewReno, congestion.NewBBR)
			sc.configure = func(cfg *conn.Config) {
				cfg.Congestion = control
				cfg.InitialMaxStreamData, cfg.MaxStreamData, cfg.MaxDatagramFrameSize = window, 4*window, 1200
			}
			if rude {
				sc.rude = func(p *peer, id conn.StreamID) manners {
					return manners{reset: int64(seed * 1e4), stop: int64(id) * 1e5, drop: -1}
				}
			}
			var next time.Duration
			sc.step = func(w *world) {
				if every == 0 || w.client.connected == 0 || w.server.conn == nil || w.client.now() < next {
					return
				}
				next = w.client.now() + every
				for _, p := range []*peer{w.client, w.server} {
					p.conn.SendDatagram([]byte("between"), conn.DatagramOptions{})
					if keys {
						p.conn.UpdateKeys() // it fails while the last update is not answered
					}
				}
			}
			var outs [2]outcome
			var counts [2][]*int
			for i := range outs {
				next = 0
				sc.endpoint = func(cfg *conn.EndpointConfig) { counts[i] = append(counts[i], cfg.WatchRuns(i == 0)) }
				outs[i] = sc.run(t)
			}
			require.Equal(t, outs[0], outs[1])
			packets := *counts[1][0] + *counts[1][1]
			t.Logf("%d of %d packets in runs", packets, outs[1].client.PacketsSent+outs[1].server.PacketsSent)
			require.Zero(t, *counts[0][0]+*counts[0][1])
			ran, all = ran+1, all+packets
		})
	}
	if ran == seeds {
		require.Positive(t, all)
	}
}
