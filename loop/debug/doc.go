// Package debug shows the connections of a running program in a browser, as net/http/pprof shows
// its goroutines:
//
//	mux.Handle("/debug/quic/", debug.Handler(group))
//
// A list has the connections with their state, round trip, window and losses. A page for each has
// its paths and streams, with plots that move. Any page is JSON with ?format=json.
//
// The pages have no data of requests: no paths, fields or payloads. They have addresses of peers,
// connection IDs, and reasons that peers gave for closing. Mount them where only operators can
// reach them.
//
// A program that does not mount the handler pays nothing. A request asks each Loop once. The Loop
// steps over MaxListed connections at most, and copies the figures of one page.
package debug
