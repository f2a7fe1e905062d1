package main

import (
	_ "embed"
	"encoding/json"
	"net/http"
)

//go:embed page.html
var pageHTML []byte

//go:embed page.js
var pageJS []byte

// pageHandler serves the page. It asks for /server when it connects, also after the server has
// started again, with another certificate.
func pageHandler(url, hash string) http.Handler {
	mux := http.NewServeMux()
	serve := func(pattern, contentType string, b []byte) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, _ *http.Request) {
			// With these, the browser's clock tells microseconds.
			w.Header().Set("Cross-Origin-Opener-Policy", "same-origin")
			w.Header().Set("Cross-Origin-Embedder-Policy", "require-corp")
			w.Header().Set("Content-Type", contentType)
			w.Header().Set("Cache-Control", "no-store")
			w.Write(b)
		})
	}
	serve("GET /{$}", "text/html; charset=utf-8", pageHTML)
	serve("GET /page.js", "text/javascript; charset=utf-8", pageJS)
	where, err := json.Marshal(map[string]string{"url": url, "hash": hash})
	if err != nil {
		panic(err) // two strings always have a form as JSON
	}
	serve("GET /server", "application/json", where)
	return mux
}
