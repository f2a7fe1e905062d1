package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/quiclb"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
)

// A rotatingServer is a server that can change the format of its connection IDs.
type rotatingServer struct {
	*loop.Group
	id      []byte
	sources []*quiclb.Source // by loop
}

func startRotating(t *testing.T, id byte, cfg quiclb.Config) *rotatingServer {
	s := &rotatingServer{id: []byte{10, id}}
	cfg.ServerID = s.id
	s.Group = echoServer(t, func(int) conn.ConnIDSource {
		source, err := quiclb.NewSource(cfg, rand.Reader)
		require.NoError(t, err)
		s.sources = append(s.sources, source)
		return source
	})
	return s
}

// rotate has all loops issue IDs of another configuration.
func (s *rotatingServer) rotate(t *testing.T, cfg quiclb.Config) {
	cfg.ServerID = s.id
	for i, l := range s.Loops() {
		var failed error
		require.NoError(t, l.Do(context.Background(), func(time.Time) { failed = s.sources[i].SetConfig(cfg) }))
		require.NoError(t, failed)
	}
}

// TestRotation: the format of connection IDs changes while clients live whose addresses change. The
// balancer learns the new format, then servers issue it, and when the connections of the old one
// have ended the balancer forgets that. No connection is lost, and none is found by luck.
func TestRotation(t *testing.T) {
	before := quiclb.Config{ID: 0, NonceLen: 6, Key: &[16]byte{1}}
	after := quiclb.Config{ID: 1, NonceLen: 14, Key: &[16]byte{2}} // IDs are longer, too
	servers := []*rotatingServer{startRotating(t, 0, before), startRotating(t, 1, before)}
	file := func(configs ...quiclb.Config) string {
		text := "ids:\n"
		for _, c := range configs {
			text += fmt.Sprintf("  - {config: %d, server_id_bytes: 2, nonce_bytes: %d, key: \"%x\"}\n", c.ID, c.NonceLen, *c.Key)
		}
		text += "backends:\n"
		for _, s := range servers {
			text += fmt.Sprintf("  - {address: %q, server_ids: [\"%x\"]}\n", s.LocalAddr(), s.id)
		}
		return text + "health: {off: true}\n"
	}
	b := startBalancer(t, file(before))
	reload := func(configs ...quiclb.Config) {
		text := "listen: 127.0.0.1:0\n" + file(configs...)
		require.NoError(t, os.WriteFile(b.config.file.Name, []byte(text), 0o600))
		require.NoError(t, b.reload())
	}
	// move lets clients move, and returns how many datagrams were not found by the server ID.
	move := func(clients []*echoClient) (others uint64) {
		f := b.forwarders[0]
		count := func() (n uint64) {
			for why := range f.picked {
				if reason(why) != byServerID {
					n += f.picked[why].Load()
				}
			}
			return n
		}
		n := count()
		for range demoChanges {
			for _, c := range clients {
				c.sendMoving()
			}
		}
		return count() - n
	}
	dial := func() (clients []*echoClient) {
		for range 6 {
			clients = append(clients, dialEcho(t, b.addr()))
			clients[len(clients)-1].sendMoving() // the handshake is over
		}
		return clients
	}
	old := dial()
	require.Zero(t, move(old))
	reload(before, after)
	require.Zero(t, move(old))
	for _, s := range servers {
		s.rotate(t, after)
	}
	young := dial()
	require.Zero(t, move(old))
	require.Zero(t, move(young))
	for _, c := range old {
		require.NoError(t, c.group.Close())
	}
	require.Zero(t, move(young)) // what old clients sent has passed the balancer then, too
	reload(after)
	require.Zero(t, move(young))
}
