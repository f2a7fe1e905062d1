package debug_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/internal/browser"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/loop/debug"
)

// TestChromium: the list leads to the page of a connection, whose plots move. Nothing is an error.
func TestChromium(t *testing.T) {
	b := browser.Start(t)
	g, err := loop.Listen("udp", "127.0.0.1:0", 1, &loop.Config{Endpoint: conn.EndpointConfig{Server: conntest.ServerConfig()}})
	require.NoError(t, err)
	defer g.Close()
	c, err := loop.Dial(t.Context(), g.LocalAddr().String(), conntest.ClientConfig())
	require.NoError(t, err)
	defer c.Close(0, "")
	mux := http.NewServeMux()
	mux.Handle("/debug/quic/", debug.Handler(g))
	srv := httptest.NewServer(mux)
	defer srv.Close()

	p := b.Open(srv.URL + "/debug/quic/")
	p.Wait(`document.querySelectorAll('tbody tr').length === 1`)
	require.Equal(t, c.ID().String(), p.Eval(`document.querySelector('tbody a').textContent`))
	p.Eval(`document.querySelector('tbody a').click()`)
	p.Wait(`(document.getElementById('note')?.textContent ?? '').startsWith('2 samples')`)
	require.Equal(t, "handshake_confirmed", p.Eval(`document.querySelector('[data-key=state]').textContent`))
	for i, colors := range p.Eval(`[...document.querySelectorAll('canvas')].map(c =>
		new Set(new Uint32Array(c.getContext('2d').getImageData(0, 0, c.width, c.height).data.buffer)).size)`).([]any) {
		require.Greater(t, colors.(float64), 2, "plot %d is empty", i)
	}
	require.NoError(t, g.Close())
	p.Wait(`document.getElementById('note').textContent === 'This connection has ended.'`)
	for _, e := range p.Errors() {
		require.Contains(t, e, "404", "but for the answer that it has ended")
	}
}
