package h3http

import (
	"io"
	"net/http"
	"testing"
)

// BenchmarkGet measures small requests, on both sides together.
func BenchmarkGet(b *testing.B) {
	url, c := benchPair(b, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "hello")
	}))
	b.ReportAllocs()
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			resp, err := c.Get(url)
			if err != nil {
				b.Error(err)
				return
			}
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
	})
}

// BenchmarkDownload measures a large body.
func BenchmarkDownload(b *testing.B) {
	const size = 64 << 20
	block := make([]byte, 32<<10)
	url, c := benchPair(b, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for range size / len(block) {
			w.Write(block)
		}
	}))
	b.SetBytes(size)
	for b.Loop() {
		resp, err := c.Get(url)
		if err != nil {
			b.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, resp.Body); n != size {
			b.Fatal(n, err)
		}
		resp.Body.Close()
	}
}

func benchPair(b *testing.B, h http.Handler) (url string, c *http.Client) {
	tr := &Transport{TLSClientConfig: clientConfig()}
	url = serveLoopback(b, &Server{Handler: h, TLSConfig: serverConfig()}, tr)
	return url, &http.Client{Transport: tr}
}
