// Package nethttp gives HTTP/3 to the [http.Server] and the [http.Transport] of a program. It uses
// the hooks of net/http in Go 1.27, and is empty before that.
//
// The hooks are there, and net/http calls them if [http.Protocols] has HTTP/3. No release has
// exported the method that sets this so far (golang/go#77440). Until it comes, programs use h3http
// itself: [h3http.Server] and [h3http.Transport] have the fields of their counterparts.
//
// What net/http does not pass on does not work through it: Close of an http.Server does not end
// connections of HTTP/3, ConnContext and ConnState are not called for them, and an http.Transport
// has no Alt-Svc for them.
package nethttp
