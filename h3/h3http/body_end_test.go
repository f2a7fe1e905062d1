package h3http

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop/looptest"
)

// TestEndComesWithTheLastBytes: Read of a body returns io.EOF with the last bytes if the end has
// come with them, and the trailer section is there then. Later calls return it again, until Close.
func TestEndComesWithTheLastBytes(t *testing.T) {
	simulate(t, conntest.Link{Delay: 10 * time.Millisecond}, func(t *testing.T, net *looptest.Network) {
		p := newSimPair(t, net, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Second) // the body of the request has come whole
			b := make([]byte, 10)
			n, err := r.Body.Read(b)
			require.Equal(t, io.EOF, err)
			require.Equal(t, "request", string(b[:n]))
			w.Header().Set("Trailer", "Sum")
			io.WriteString(w, "response")
			w.Header().Set("Sum", "8")
		}))
		r := p.request("POST", "/", strings.NewReader("request"))
		resp, err := p.c.Do(r)
		require.NoError(t, err)
		time.Sleep(time.Second)
		synctest.Wait()
		b := make([]byte, 5)
		n, err := resp.Body.Read(b)
		require.NoError(t, err)
		require.Equal(t, "respo", string(b[:n]))
		n, err = resp.Body.Read(b)
		require.Equal(t, io.EOF, err)
		require.Equal(t, "nse", string(b[:n]))
		require.Equal(t, "8", resp.Trailer.Get("Sum"))
		n, err = resp.Body.Read(b)
		require.Equal(t, io.EOF, err)
		require.Zero(t, n)
		require.NoError(t, resp.Body.Close())
		_, err = resp.Body.Read(b)
		require.ErrorIs(t, err, http.ErrBodyReadAfterClose)
	})
}
