// Package h3loop serves HTTP/3 (RFC 9114) on the goroutine of the loop.
//
// Package h3http starts a goroutine for each request, which may block. Here a [Server] calls its
// Handler on the goroutine that reads the socket. Nothing is started, woken or allocated for a
// request but the strings of its fields. That suits small answers that are at hand: from memory, or
// from a cache. A Handler must not block, because every connection of its [loop.Loop] waits for it.
//
//	srv := &h3loop.Server{Handler: func(r *h3loop.Request) {
//		r.Respond([]h3.Field{{Name: ":status", Value: "200"}}, []byte("hello\n"))
//	}}
//	g, err := loop.Listen("udp", ":443", runtime.GOMAXPROCS(0), srv.LoopConfig(&conn.Config{TLS: tc}))
//
// # Longer answers, and bodies
//
// A Handler that does not answer at once calls [Request.Follow]. Its [Follower] gets the events
// that come later: more of the body, trailers, room for more of the response, and the end. The
// answer may come from elsewhere, too. A goroutine that has it passes it to the loop by
// [loop.Loop.Post]:
//
//	l := r.Loop()
//	r.Follow(w) // w notes in its last event that r must not be used any more
//	go func() {
//		answer := lookUp()
//		l.Post(func(time.Time) { w.answer(answer) })
//	}()
//
// # Fields
//
// Fields are sent and received as they are, with pseudo-header fields first (RFC 9114, Section
// 4.3). Package h3 checks them both ways: a Handler does not see malformed requests. Nothing is
// added to a response, neither a date (RFC 9110, Section 6.6.1 wants one) nor a length.
//
// # Limits
//
// Limits of package h3 hold, and those of the Server: see docs/limits.md. A body that the Handler
// does not read is held back by the windows of package conn. Of a response, a stream takes
// [conn.Config.UnsentBytes], and Write no more until [h3.EventWritable]. Respond keeps at most
// [MaxBody] bytes besides. All of it counts against [conn.EndpointConfig.MaxBuffered].
package h3loop
