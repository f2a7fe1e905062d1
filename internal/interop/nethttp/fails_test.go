package nethttp

// Reasons that several tests share.
const (
	fakeNet = "it runs on net/http's network in memory, which carries streams of bytes and no datagrams"
	dials   = "it sets Dial or DialContext of the http.Transport, which make streams of bytes; net/http does not call them for HTTP/3"
	cut     = "a response that is shorter or longer than its Content-Length is reset, and QUIC may drop what came before a reset (RFC 9000, Section 3.2)"
	socket  = "it tells connections by the port of the client; two connections of QUIC may share a socket"
	tcp     = "it reaches the server by TCP"
	cancels = "it wants the error value of Request.Cancel, which is inside net/http, and which net/http does not apply to HTTP/3"
	plain   = "it asks for an http URL unless the mode is HTTP/2, and HTTP/3 has https alone"
)

// fails are the tests that fail on Lazo, and why.
var fails = map[string]string{
	"TestServerMaxBytesHeaderRace":            fakeNet,
	"TestServerReadHeaderTimeoutIsCleared":    fakeNet,
	"TestServerKeepAlivesEnabled":             fakeNet,
	"TestTransportGzipConcurrentCloseAndRead": fakeNet,
	"TestTransportNewClientConnRoundTrip":     fakeNet,
	"TestClientConnReserveAll":                fakeNet,
	"TestClientConnReserveParallel":           fakeNet,
	"TestClientConnReserveRelease":            fakeNet,
	"TestClientConnReserveAndConsume":         fakeNet,
	"TestClientConnRoundTripBlocks":           fakeNet,

	"TestClientStripHeadersOnRepeatedRedirect":          dials,
	"TestTransportMaxConnsPerHostIncludeDialInProgress": dials,
	"TestIssue4191_InfiniteGetTimeout":                  dials,
	"TestTransportSocketLateBinding":                    dials,
	"TestTransportDialContext":                          dials,

	"TestWriteHeaderNoCodeCheck":                 cut,
	"TestEarlyHintsRequest":                      cut,
	"TestIdentityResponse":                       cut,
	"TestResponseControllerSetPastWriteDeadline": "the response is reset at its deadline, and QUIC may drop what came before a reset (RFC 9000, Section 3.2)",
	"TestResponseControllerSetPastReadDeadline":  "a read deadline that has passed can be moved, as that of a net.Conn; net/http's comment says that it may do so too",

	"TestCloseIdleConnections":               socket,
	"TestTransportConnectionCloseOnResponse": socket,

	"TestClientTimeoutCancel":  cancels,
	"TestCancelRequestMidBody": cancels,

	"TestTransportAndServerSharedBodyRace": "it cancels by Transport.CancelRequest, which net/http does not apply to HTTP/3",

	"TestTransportEventTrace":         plain,
	"TestTransportEventTrace_NoHooks": plain,
	"TestTransportIDNA":               plain,

	"TestChunkedResponseHeaders":                         "it wants TransferEncoding chunked of all but HTTP/2; HTTP/3 has no Transfer-Encoding (RFC 9114, Section 4.1)",
	"TestTransportUserAgent":                             "it wants the User-Agent of HTTP/1.1, Go-http-client/1.1",
	"TestStarRequestMethod":                              "it wants the path * for a method other than OPTIONS, which RFC 9114, Section 4.3.1, has for OPTIONS alone",
	"TestResponseControllerHijack":                       "it wants Hijack of all but HTTP/2",
	"TestRequestLimit":                                   "the client knows the server's limit, and does not send what is beyond it (RFC 9114, Section 4.2.2)",
	"TestTransportResponseHeaderLength":                  "the server knows the client's limit, and does not send what is beyond it (RFC 9114, Section 4.2.2)",
	"TestRequestHeaderValueCountLimit":                   "it counts the names in a field Trailer as fields; here that is one field",
	"TestClientWriteShutdown":                            tcp,
	"TestServerContext_LocalAddrContextKey":              "it wants the address that the server listens on, here that of all interfaces; the context has the one that the client has sent to",
	"TestServerShutdown":                                 "net/http's Shutdown neither waits for HTTP/3 nor calls ConnState for it",
	"TestTransportPersistConnContextLeakMaxConnsPerHost": "net/http's pool keeps requests that waited for a connection, as with HTTP/2 (golang/go#56021)",
}
