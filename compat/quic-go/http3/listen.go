package http3

import (
	"crypto/tls"
	"net/http"

	"github.com/lazoquic/lazo/conn"

	"github.com/quic-go/quic-go"
)

// handOver gives a stream to HTTP/3. If it is too late for that, handOver closes the connection.
func handOver(c *quic.Conn, to interface{ HandleStream(conn.StreamID) error }, str interface{ StreamID() quic.StreamID }) {
	err := to.HandleStream(conn.StreamID(str.StreamID()))
	if err != nil && c.Context().Err() == nil {
		c.CloseWithError(quic.ApplicationErrorCode(ErrCodeInternalError), err.Error())
	}
}

// ListenAndServeQUIC serves HTTP/3 at addr, with a certificate from two files.
func ListenAndServeQUIC(addr, certFile, keyFile string, handler http.Handler) error {
	return (&Server{Addr: addr, Handler: handler}).ListenAndServeTLS(certFile, keyFile)
}

// ListenAndServeTLS serves HTTP/3, and HTTP over TCP at the same port. Responses over TCP announce
// HTTP/3. ListenAndServeTLS returns when one of them fails.
func ListenAndServeTLS(addr, certFile, keyFile string, handler http.Handler) error {
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return err
	}
	if addr == "" {
		addr = ":https"
	}
	config := &tls.Config{Certificates: []tls.Certificate{cert}}
	handler = handlerOf(handler)
	over3 := &Server{Addr: addr, TLSConfig: config, Handler: handler}
	overTCP := &http.Server{
		Addr:      addr,
		TLSConfig: config.Clone(),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			over3.SetQUICHeaders(w.Header())
			handler.ServeHTTP(w, r)
		}),
	}
	ended := make(chan error, 2)
	go func() { ended <- overTCP.ListenAndServeTLS("", "") }()
	go func() { ended <- over3.ListenAndServe() }()
	err = <-ended
	overTCP.Close()
	over3.Close()
	<-ended
	return err
}
