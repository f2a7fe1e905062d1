package programs

import (
	"context"
	"crypto/rand"
	"sync"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/quiclb"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/udpio"
)

// A balancerView sees what a balancer in front of the server would: the connection IDs
// of packets on their way there.
type balancerView struct {
	loop.Backend
	dec *quiclb.Decoder

	mu      sync.Mutex
	servers map[string]int // packets by server ID
}

func (v *balancerView) WriteBatch(ms []udpio.Message) (int, error) {
	n, err := v.Backend.WriteBatch(ms)
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, m := range ms[:n] {
		h, ok := conn.ParseHeader(m.Buf, v.dec.Len)
		if !ok || h.Long {
			continue // the client's own choice, before it knows the server's
		}
		id, ok := v.dec.ServerID(nil, h.DCID)
		if !ok {
			id = []byte("unknown")
		}
		v.servers[string(id)]++
	}
	return n, err
}

// TestBalancing issues connection IDs with the server's ID in them, on two Loops. It changes their
// form and all keys while the server runs.
func TestBalancing(t *testing.T) {
	ctx := testContext(t)
	server, client := protos("echo")
	before := quiclb.Config{ServerID: []byte{0, 0, 7}, NonceLen: 9, Key: &[16]byte{1}}
	sources := make([]*quiclb.Source, 2)
	g := listen(t, len(sources), &loop.Config{
		Endpoint: conn.EndpointConfig{Server: &conn.Config{TLS: server}, TokenKeys: [][32]byte{{1}}},
		Shard: func(i int, cfg *loop.Config) {
			src, err := quiclb.NewSource(before, rand.Reader)
			if err != nil {
				panic(err) // a configuration that is known to be good
			}
			sources[i], cfg.Endpoint.ConnIDs = src, src
		},
	})
	go echo(ctx, g)
	after := before
	after.ID, after.NonceLen = 1, 12
	dec, err := quiclb.NewDecoder(before, after)
	require.NoError(t, err)

	sock, err := udpio.Listen("udp", "127.0.0.1:0", &udpio.Config{DisableGSO: true})
	require.NoError(t, err)
	view := &balancerView{Backend: sock, dec: dec, servers: make(map[string]int)}
	dialer, err := loop.New(nil, view)
	require.NoError(t, err)
	defer dialer.Close()
	talk := func() {
		c, err := dialer.Dial(ctx, g.LocalAddr().String(), &conn.Config{TLS: client})
		require.NoError(t, err)
		s, err := c.OpenStream(ctx, conn.Bidi)
		require.NoError(t, err)
		say(t, s, "whichever server this is")
		require.NoError(t, c.Close(0, ""))
	}
	talk()
	rotate(ctx, t, g, sources, after)
	talk()

	view.mu.Lock()
	defer view.mu.Unlock()
	require.Len(t, view.servers, 1, "%v", view.servers)
	require.NotZero(t, view.servers["\x00\x00\x07"])
}

// rotate changes the keys of tokens and the configuration of connection IDs.
func rotate(ctx context.Context, t *testing.T, g *loop.Group, sources []*quiclb.Source, lb quiclb.Config) {
	t.Helper()
	for i, l := range g.Loops() {
		require.NoError(t, l.Do(ctx, func(time.Time) {
			l.Endpoint().SetTokenKeys([][32]byte{{2}, {1}})
			if err := sources[i].SetConfig(lb); err != nil {
				t.Error(err)
			}
		}))
	}
}
