package masque

import (
	"net/http"
	"testing"
	"time"

	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
)

// TestBuffersCount: the buffers of a tunnel count at both of its ends while it is open. They do not
// count afterwards.
func TestBuffersCount(t *testing.T) {
	for name, change := range map[string]func(p *pair){"datagrams": func(*pair) {}, "capsules": noDatagrams} {
		t.Run(name, func(t *testing.T) {
			accounts := make(chan *loop.Account, 1)
			p := newPair(t, change, func(p *pair) {
				p.server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					accounts <- h3http.ConnOf(r).Account()
					p.proxy.ServeHTTP(w, r)
				})
				p.client.CapsuleLimit, p.proxy.CapsuleLimit = maxPayload, maxPayload
			})
			c := p.dial(newEcho(t))
			client, proxy := c.s.Account(), <-accounts
			payload, b := make([]byte, 20_000), make([]byte, maxPayload)
			_, err := c.Write(payload) // in a capsule, whatever the path carries
			require.NoError(t, err)
			c.SetReadDeadline(time.Now().Add(soon))
			n, err := c.Read(b)
			require.NoError(t, err)
			require.Equal(t, len(payload), n)
			// Each end has two buffers for what comes by capsule and by datagram, one for what came
			// last, and one for what it sent.
			least := int64(2*readBuffer + 2*len(payload))
			require.Greater(t, client.Held(), least)
			require.Greater(t, proxy.Held(), least)
			require.NoError(t, c.Close())
			_, err = c.Write(payload)
			require.Error(t, err)
			for _, account := range []*loop.Account{client, proxy} {
				require.Eventually(t, func() bool { return account.Held() == 0 }, soon, time.Millisecond)
			}
		})
	}
}
