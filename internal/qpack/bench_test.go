package qpack

import (
	"fmt"
	"testing"

	"github.com/lazoquic/lazo/internal/require"
)

// browse returns the requests of a browser that loads a page with its resources,
// and the responses of a server to them.
func browse() (requests, responses [][]Field) {
	for i := range 100 {
		kind := []string{"image/webp", "text/css", "text/javascript", "application/json"}[i%4]
		requests = append(requests, []Field{
			{Name: ":method", Value: "GET"},
			{Name: ":authority", Value: "www.lazo.test"},
			{Name: ":scheme", Value: "https"},
			{Name: ":path", Value: fmt.Sprintf("/static/%08x/resource-%d", i*2654435761, i)},
			{Name: "sec-ch-ua", Value: `"Chromium";v="140", "Not=A?Brand";v="24"`},
			{Name: "sec-ch-ua-mobile", Value: "?0"},
			{Name: "user-agent", Value: "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"},
			{Name: "sec-ch-ua-platform", Value: `"Linux"`},
			{Name: "accept", Value: "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"},
			{Name: "sec-fetch-site", Value: "same-origin"},
			{Name: "sec-fetch-mode", Value: "no-cors"},
			{Name: "sec-fetch-dest", Value: []string{"image", "style", "script", "empty"}[i%4]},
			{Name: "referer", Value: "https://www.lazo.test/index.html"},
			{Name: "accept-encoding", Value: "gzip, deflate, br, zstd"},
			{Name: "accept-language", Value: "en-US,en;q=0.9"},
			{Name: "cookie", Value: "session=0f8fad5bd9cb469fa16570867728950e; theme=dark"},
			{Name: "priority", Value: "u=2, i"},
		})
		responses = append(responses, []Field{
			{Name: ":status", Value: "200"},
			{Name: "server", Value: "lazo/1.0"},
			{Name: "date", Value: fmt.Sprintf("Mon, 23 Nov 2026 09:%02d:%02d GMT", i/60, i%60)},
			{Name: "content-type", Value: kind},
			{Name: "content-length", Value: fmt.Sprint(1000 + i*37)},
			{Name: "last-modified", Value: fmt.Sprintf("Sun, 22 Nov 2026 10:00:%02d GMT", i%60)},
			{Name: "etag", Value: fmt.Sprintf(`"%x"`, i*7919)},
			{Name: "cache-control", Value: "public, max-age=86400, immutable"},
			{Name: "strict-transport-security", Value: "max-age=63072000; includeSubDomains; preload"},
			{Name: "alt-svc", Value: `h3=":443"; ma=86400`},
			{Name: "vary", Value: "Accept-Encoding, Origin"},
			{Name: "x-content-type-options", Value: "nosniff"},
		})
	}
	return requests, responses
}

// transfer sends messages over a link and returns the bytes that it took, on all
// streams. Instructions arrive late by some messages, as over a network.
func transfer(t testing.TB, l *link, messages [][]Field) (bytes int) {
	const late = 4
	var queue []pendingSection
	for i, fields := range messages {
		id := uint64(i) * 4
		b := l.encode(id, fields)
		bytes += len(b) + len(l.toD)
		require.NoError(t, l.deliver(len(l.toD)))
		queue = append(queue, pendingSection{id, b, fields})
		if len(queue) < late {
			continue
		}
		ok, err := l.decode(queue[0])
		require.NoError(t, err)
		require.True(t, ok)
		queue = queue[1:]
		back := l.d.Instructions()
		bytes += len(back)
		require.NoError(t, l.e.DecoderStream(back))
	}
	return bytes
}

// TestBytesOfAPageLoad: the dynamic table saves bytes on what browsers and servers send.
func TestBytesOfAPageLoad(t *testing.T) {
	requests, responses := browse()
	for name, messages := range map[string][][]Field{"requests": requests, "responses": responses} {
		static := transfer(t, newLink(0, 0, 0), messages)
		careful := transfer(t, newLink(4096, 0, 4096), messages)
		dynamic := transfer(t, newLink(4096, 16, 4096), messages)
		t.Logf("100 %s: %d bytes static, %d with a table, %d if streams may block", name, static, careful, dynamic)
		require.Less(t, careful, static*6/10)
		require.LessOrEqual(t, dynamic, careful)
	}
}

func BenchmarkPageLoad(b *testing.B) {
	requests, _ := browse()
	for _, c := range []struct {
		name     string
		capacity uint64
	}{{"static", 0}, {"dynamic", 4096}} {
		l := newLink(c.capacity, 16, 4096)
		transfer(b, l, requests)
		b.Run("encode/"+c.name, func(b *testing.B) {
			b.ReportAllocs()
			var out []byte
			i := 0
			for b.Loop() {
				l.e.Begin(uint64(i))
				for _, f := range requests[i%100] {
					l.e.Field(f)
				}
				out = l.e.End(out[:0])
				l.e.Instructions()
				l.e.sections = l.e.sections[:0]
				i++
			}
		})
		section := encode(l.e, 0, requests[0]...)
		l.deliver(len(l.toD))
		l.d.EncoderStream(l.e.Instructions())
		b.Run("decode/"+c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := l.d.Decode(0, section); err != nil {
					b.Fatal(err)
				}
				l.d.Instructions()
			}
		})
	}
}
