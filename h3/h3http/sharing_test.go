package h3http

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/require"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/internal/netrelay"
	"github.com/lazoquic/lazo/loop/looptest"
)

// Long transfers beside short ones, and beside each other. The client states no priorities.

const (
	sharingRTT = 50 * time.Millisecond
	smallCount = 149
	smallSize  = 1000
)

// A faucet has any number of bytes.
type faucet struct{ ctx context.Context }

func (f faucet) Read(p []byte) (int, error) { return len(p), f.ctx.Err() }

// exchangeBytes serves as many bytes as the path says, or bytes without end. It reads the bytes of
// a POST.
func exchangeBytes(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		io.Copy(io.Discard, r.Body)
	}
	n, err := strconv.ParseInt(strings.TrimPrefix(r.URL.Path, "/"), 10, 64)
	if err != nil {
		n = 1 << 60
	}
	io.Copy(w, io.LimitReader(faucet{r.Context()}, n))
}

// An occupied is a pair with a connection that has a transfer without end.
type occupied struct {
	*pair
	cancel context.CancelFunc
}

// occupy begins a download or an upload without end. It waits for ten round trips.
func occupy(t *testing.T, p *pair, method string) *occupied {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	o := &occupied{pair: p, cancel: cancel}
	r, err := http.NewRequestWithContext(ctx, method, p.url+"/endless", nil)
	require.NoError(t, err)
	if method == http.MethodPost {
		r.Body = io.NopCloser(faucet{ctx})
		go p.c.Do(r)
	} else {
		resp, err := p.c.Do(r)
		require.NoError(t, err)
		go func() {
			defer resp.Body.Close()
			io.Copy(io.Discard, resp.Body)
		}()
	}
	time.Sleep(10 * sharingRTT)
	return o
}

// small sends a request for a small resource every few milliseconds. It returns how long each took.
func (o *occupied) small(t *testing.T, method string) []time.Duration {
	t.Helper()
	took := make([]time.Duration, smallCount)
	var wg sync.WaitGroup
	for i := range took {
		wg.Go(func() {
			began := time.Now()
			var body io.Reader
			if method == http.MethodPost {
				body = strings.NewReader(strings.Repeat("x", smallSize))
			}
			r, err := http.NewRequest(method, fmt.Sprint(o.url, "/", smallSize), body)
			if err != nil {
				t.Error(err)
				return
			}
			resp, err := o.c.Do(r)
			if err != nil {
				t.Errorf("small resource %d: %v", i, err)
				return
			}
			defer resp.Body.Close()
			if got, err := io.ReadAll(resp.Body); err != nil || len(got) != smallSize {
				t.Errorf("small resource %d: %d bytes, %v", i, len(got), err)
			}
			took[i] = time.Since(began)
		})
		time.Sleep(7 * time.Millisecond)
	}
	wg.Wait()
	slices.Sort(took)
	return took
}

func quantile(sorted []time.Duration, q float64) time.Duration {
	return sorted[int(q*float64(len(sorted)-1))]
}

// TestSmallBesideEndless: a transfer without end delays short ones by at most half a round trip.
// With loss, short ones wait only for their own lost packets.
func TestSmallBesideEndless(t *testing.T) {
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		for _, loss := range []float64{0, 0.02} {
			t.Run(fmt.Sprintf("%s, %g %% loss", method, 100*loss), func(t *testing.T) {
				link := conntest.Link{Delay: sharingRTT / 2, Loss: loss}
				simulate(t, link, func(t *testing.T, n *looptest.Network) {
					o := occupy(t, newSimPair(t, n, http.HandlerFunc(exchangeBytes)), method)
					defer o.cancel()
					took := o.small(t, method)
					t.Logf("p50 %v, p99 %v, longest %v", quantile(took, 0.5), quantile(took, 0.99), took[len(took)-1])
					last := sharingRTT * 3 / 2
					require.LessOrEqual(t, quantile(took, 0.5), last)
					if loss > 0 {
						last = sharingRTT * 5
					}
					require.LessOrEqual(t, quantile(took, 0.99), last)
				})
			})
		}
	}
}

// TestSmallBesideEndlessOfFixedWindow: where the client's window for the connection is the limit,
// the server keeps some of it for short answers. Most clients have such a window.
func TestSmallBesideEndlessOfFixedWindow(t *testing.T) {
	for _, window := range []int64{128 << 10, 512 << 10, 1 << 20} {
		t.Run(fmt.Sprintf("%d KiB", window>>10), func(t *testing.T) {
			simulate(t, conntest.Link{Delay: sharingRTT / 2}, func(t *testing.T, n *looptest.Network) {
				o := occupy(t, newSimPair(t, n, http.HandlerFunc(exchangeBytes), func(p *pair) {
					p.tr.QUICConfig = &conn.Config{InitialMaxData: window, MaxData: window}
				}), http.MethodGet)
				defer o.cancel()
				took := o.small(t, http.MethodGet)
				t.Logf("p50 %v, p99 %v, longest %v", quantile(took, 0.5), quantile(took, 0.99), took[len(took)-1])
				require.LessOrEqual(t, quantile(took, 0.99), sharingRTT*3/2)
			})
		})
	}
}

// A stallMeter reads bodies, and notes how long each stood still.
type stallMeter struct {
	mu      sync.Mutex
	longest time.Duration
}

// read reads a body from its first byte to its last.
func (m *stallMeter) read(body io.Reader) (n int, err error) {
	buf := make([]byte, 64<<10)
	last := time.Time{}
	for {
		k, err := body.Read(buf)
		now := time.Now()
		if n += k; k > 0 {
			if !last.IsZero() {
				m.mu.Lock()
				m.longest = max(m.longest, now.Sub(last))
				m.mu.Unlock()
			}
			last = now
		}
		if err != nil {
			return n, err
		}
	}
}

// downloads makes 8 downloads at once. It returns the longest time for which one of them stood
// still, and the times at which they ended.
func downloads(t *testing.T, p *pair, size int) (stall time.Duration, ends []time.Duration) {
	t.Helper()
	m := &stallMeter{}
	began := time.Now()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			resp, err := p.c.Get(fmt.Sprint(p.url, "/", size))
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			if n, err := m.read(resp.Body); n != size || err != io.EOF {
				t.Errorf("%d bytes of %d: %v", n, size, err)
			}
			m.mu.Lock()
			defer m.mu.Unlock()
			ends = append(ends, time.Since(began))
		})
	}
	wg.Wait()
	slices.Sort(ends)
	return m.longest, ends
}

// TestDownloadsShare: none of 8 downloads stands still for longer than the path needs. They end
// together.
func TestDownloadsShare(t *testing.T) {
	for _, loss := range []float64{0, 0.02} {
		t.Run(fmt.Sprintf("%g %% loss", 100*loss), func(t *testing.T) {
			link := conntest.Link{Delay: sharingRTT / 2, Rate: 50e6, Queue: 300_000, Loss: loss}
			simulate(t, link, func(t *testing.T, n *looptest.Network) {
				p := newSimPair(t, n, http.HandlerFunc(exchangeBytes))
				stall, ends := downloads(t, p, 500_000)
				t.Logf("longest stall %v, ends %v", stall, ends)
				if loss == 0 {
					// Slow start fills the queue, which doubles the round trip. Packets that do not
					// fit are lost, and sent again two round trips later.
					require.LessOrEqual(t, stall, 5*sharingRTT)
				} else {
					require.LessOrEqual(t, stall, 8*sharingRTT)
				}
				require.Less(t, ends[7]-ends[0], ends[7]/3)
			})
		})
	}
}

// relayPair is a pair on real sockets, whose packets go through a relay.
func relayPair(t *testing.T, link netrelay.Link) *pair {
	t.Helper()
	p := newPair(t, http.HandlerFunc(exchangeBytes), func(p *pair) { p.c.Timeout = 0 })
	relay, err := netrelay.New(netrelay.Config{
		Server: netip.MustParseAddrPort(strings.TrimPrefix(p.url, "https://")), Up: link, Down: link, Seed: 1,
	})
	require.NoError(t, err)
	t.Cleanup(relay.Close)
	p.url = "https://" + relay.Addr().String()
	return p
}

// TestSharingOnRealSockets is both tests, through a relay. A busy machine adds to the times here,
// so the test prints them and checks only that everything arrives. If streams were sent in order,
// nothing would arrive behind the endless transfer.
func TestSharingOnRealSockets(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	for _, loss := range []float64{0, 0.02} {
		t.Run(fmt.Sprintf("%g %% loss", 100*loss), func(t *testing.T) {
			link := netrelay.Link{Delay: sharingRTT / 2, Rate: 50e6, Queue: 300_000, Loss: loss}
			for _, method := range []string{http.MethodGet, http.MethodPost} {
				o := occupy(t, relayPair(t, link), method)
				took := o.small(t, method)
				o.cancel()
				t.Logf("%s beside an endless one: p50 %v, p99 %v, longest %v", method, quantile(took, 0.5), quantile(took, 0.99), took[len(took)-1])
			}
			size := 500_000
			if loss > 0 {
				size = 100_000
			}
			stall, ends := downloads(t, relayPair(t, link), size)
			t.Logf("8 at once: longest stall %v, ends %v", stall, ends)
			require.Less(t, ends[7]-ends[0], ends[7]/2)
		})
	}
}
