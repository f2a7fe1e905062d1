// Package handover restarts a server without losing a connection. A new process takes over the
// sockets of the old one. Meanwhile the old one finishes its connections.
//
// The processes find each other by the path of a Unix socket. The first one finds nobody there:
//
//	h, err := handover.Open(ctx, &handover.Config{Path: path})
//	ln, err := h.Listen("tcp", ":443")       // if there is TCP, too
//	g, err := h.Group("udp", ":443", runtime.GOMAXPROCS(0), cfg)
//	err = h.Ready(ctx)                       // from here on g reads
//	<-h.Superseded()                         // now a successor serves
//	g.Shutdown(ctx)
//	h.Close()
//
// A process that runs the same lines later gets copies of the sockets from its predecessor, with
// the keys of stateless resets and tokens. At Ready the predecessor stops reading, and the
// successor begins. What arrives in between waits in the kernel. Datagrams of connections of the
// predecessor go back to it over another Unix socket; what it sends goes out directly. The
// connection ID alone decides which process gets a datagram:
//
//   - With a short header, the ID has the generation of the process that issued it: see
//     [loop.Generations].
//   - With a long header, a client may have chosen the ID. The predecessor lists the IDs of its
//     handshakes after it has read its last datagram. All other IDs belong to new clients.
//
// So no handshake is lost. A Retry packet of the predecessor stays good: the successor accepts its
// token. More processes can follow while earlier ones still finish, up to [loop.MaxGenerations] at
// a time. Each of them gets its datagrams directly from the one that reads.
//
// If a successor ends before it has taken over, nothing changes. If it ends later, the youngest
// process that is still alive reads again and serves the path again, for as long as its own
// connections last.
//
// It works on Linux only: elsewhere Open fails with an error that matches [errors.ErrUnsupported].
package handover
