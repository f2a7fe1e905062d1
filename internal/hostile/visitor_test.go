package hostile

import (
	"context"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/internal/require"
)

// A visitor is an honest client that asks for the page again and again, on a new connection each
// time.
type visitor struct {
	server string // who it visits
	stop   chan struct{}
	done   chan error
	pages  atomic.Int64
	failed atomic.Bool
	again  int             // connections that did not come about
	took   []time.Duration // each visit
}

func visit(server string, addr netip.AddrPort) *visitor {
	v := &visitor{server: server, stop: make(chan struct{}), done: make(chan error, 1)}
	go func() {
		err := v.run(addr)
		v.failed.Store(err != nil)
		v.done <- err
	}()
	return v
}

func (v *visitor) run(addr netip.AddrPort) error {
	for {
		began := time.Now()
		// A handshake that the server has given up for lost packets begins again, for up to five
		// minutes.
		err := getPage(addr)
		for ; err != nil && time.Since(began) < 5*time.Minute; err = getPage(addr) {
			v.again++
		}
		if err != nil {
			return err
		}
		v.took = append(v.took, time.Since(began))
		v.pages.Add(1)
		select {
		case <-v.stop:
			return nil
		default:
		}
	}
}

// leave ends the visits. Each of them must have got its page. It returns how long half of the
// visits took at most, and nine of ten.
func (v *visitor) leave(t *testing.T) (half, most time.Duration) {
	close(v.stop)
	require.NoError(t, <-v.done)
	slices.Sort(v.took)
	half, most = v.took[len(v.took)/2], v.took[max(min(len(v.took)*9/10, len(v.took)-2), 0)]
	t.Logf("an honest client of the %s server got its page %d times, with %d attempts more: half within %v, nine of ten within %v, all within %v",
		v.server, len(v.took), v.again, half, most, v.took[len(v.took)-1])
	return half, most
}

// These are the limits of a visit during an attack. On a machine that does nothing else, the client
// of a server that nobody attacks has its page within 20 ms, and a second is 50 times as much. If
// the machine is busy, that client waits too, and the second is longer by as much.
const (
	visitTime    = time.Second
	visitTimes   = 50
	leastVisited = 10 // during an attack
)

// endure attacks s. All along an honest client gets its page from s in time. Another one does so
// from a server that nobody attacks, on the same machine at the same time. The attack goes on while
// more reports that it should.
func endure(t *testing.T, s *realServer, attack func(more func() bool)) {
	calm := newRealServer(t, nil)
	v, other := visit("attacked", s.g.LocalAddr()), visit("other", calm.g.LocalAddr())
	attack(func() bool { return v.pages.Load() < leastVisited && !v.failed.Load() })
	took, _ := v.leave(t)
	_, usual := other.leave(t)
	require.LessOrEqual(t, took, max(visitTime, visitTimes*usual), "the honest client waits")
}

func getPage(addr netip.AddrPort) error {
	tr := &h3http.Transport{
		TLSClientConfig: conntest.ClientTLS(),
		QUICConfig:      &conn.Config{HandshakeTimeout: time.Minute, InitialRTT: 50 * time.Millisecond},
	}
	defer tr.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", "https://"+addr.String()+"/", nil)
	if err != nil {
		return err
	}
	res, err := tr.RoundTrip(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err == nil && string(b) != page {
		return io.ErrUnexpectedEOF
	}
	return err
}
