package masque

import (
	"io"
	"net/http"
	"testing"

	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/internal/require"
)

// BenchmarkGetThroughTunnel gets 16 MiB over HTTP/3 through a proxy on loopback.
func BenchmarkGetThroughTunnel(b *testing.B) {
	b.Run("datagrams", func(b *testing.B) { benchmarkGet(b) })
	b.Run("capsules", func(b *testing.B) { benchmarkGet(b, noDatagrams) })
}

func benchmarkGet(b *testing.B, change ...func(*pair)) {
	const size = 16 << 20
	p := newPair(b, change...)
	origin := serve(b, &h3http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Write(make([]byte, size))
	})})
	tr := &h3http.Transport{TLSClientConfig: conntest.ClientTLS(), Dial: p.client.DialQUIC}
	defer tr.Close()
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		resp, err := tr.RoundTrip(must(http.NewRequest("GET", origin, nil)))
		require.NoError(b, err)
		n, err := io.Copy(io.Discard, resp.Body)
		require.NoError(b, err)
		require.EqualValues(b, size, n)
		resp.Body.Close()
	}
}

// BenchmarkPayload sends payloads of 1,200 bytes to an echo and back, one by one.
func BenchmarkPayload(b *testing.B) {
	p := newPair(b)
	c := p.dial(newEcho(b))
	payload := make([]byte, 1200)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Write(payload); err != nil {
			b.Fatal(err)
		}
		if _, err := c.Read(payload); err != nil {
			b.Fatal(err)
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
