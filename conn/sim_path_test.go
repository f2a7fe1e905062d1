package conn_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
)

// "An endpoint [...] might see a change in peer address [...] caused by NAT
// rebinding" RFC 9000, Section 9.3. The transfer goes on, and the server validates
// the new address.
func TestRebinding(t *testing.T) {
	link := conntest.Link{Delay: 20 * time.Millisecond, Rate: 10e6, Queue: 50_000}
	sc := scenario{seed: 1, streams: 2, upload: 1e6, download: 1e6}.both(link)
	changed := 0
	sc.event = func(p *peer, ev conn.Event) {
		if ev.Kind == conn.EventPathChanged && p.name == "server" {
			changed++
			require.Equal(t, "192.0.2.9:61000", ev.Remote.String())
		}
	}
	w := sc.start(t)
	w.net.RunFor(300 * time.Millisecond)
	w.net.Rebind(w.client.node, "192.0.2.9:61000")
	w.work()
	require.True(t, w.done())
	require.Equal(t, 1, changed)
	require.EqualValues(t, 1, w.server.conn.Stats().PathChanges)
	require.Equal(t, "192.0.2.9:61000", w.server.conn.RemoteAddr().String())
	w.finish()
}
