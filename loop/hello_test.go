package loop_test

import (
	"crypto/tls"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
)

// helloRecord is what callbacks saw of their ClientHelloInfo.
type helloRecord struct {
	mu    sync.Mutex
	seen  []string
	conns []net.Conn
}

func (r *helloRecord) add(where string, hello *tls.ClientHelloInfo) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if hello.Conn == nil {
		r.seen = append(r.seen, where+": no Conn")
		return
	}
	r.conns = append(r.conns, hello.Conn)
	r.seen = append(r.seen, where+": "+hello.Conn.RemoteAddr().String()+" to "+hello.Conn.LocalAddr().String())
}

// watch makes both callbacks of tc leave notes. GetCertificate also does so in the configuration
// that GetConfigForClient returns.
func (r *helloRecord) watch(tc *tls.Config, name string) *tls.Config {
	certs := tc.Certificates
	inner := tc.Clone()
	inner.Certificates = nil
	inner.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		r.add(name+" GetCertificate", hello)
		return &certs[0], nil
	}
	outer := inner.Clone()
	outer.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		r.add(name+" GetConfigForClient", hello)
		return inner, nil
	}
	return outer
}

// TestHelloConn: the callbacks of a server see the addresses of the connection, whichever
// configuration the connection has. A hook of the program is called too.
func TestHelloConn(t *testing.T) {
	r := &helloRecord{}
	cfg := serverConfig(nil)
	server := cfg.Endpoint.Server
	other := *server
	server.TLS, other.TLS = r.watch(server.TLS, "Server"), r.watch(other.TLS, "other")
	useOther := false
	cfg.Endpoint.ConfigForClient = func(conn.AdmissionRequest) (*conn.Config, error) {
		if useOther {
			return &other, nil
		}
		return nil, nil
	}
	hooked := 0
	cfg.Endpoint.ClientHello = func(hello *tls.ClientHelloInfo, local, remote netip.AddrPort) {
		if hello.Conn != nil && local.String() == serverAddr && remote.String() == clientAddr {
			hooked++
		}
	}
	run(t, setup{link: near, server: cfg}, func(t *testing.T, w *world) {
		for range 2 {
			c, _ := w.dial(nil)
			c.Close(0, "")
			useOther = true
		}
	})
	at := ": " + clientAddr + " to " + serverAddr
	want := []string{
		"Server GetConfigForClient" + at, "Server GetCertificate" + at,
		"other GetConfigForClient" + at, "other GetCertificate" + at,
	}
	if !slices.Equal(r.seen, want) {
		t.Errorf("callbacks saw %q", r.seen)
	}
	if hooked != len(want) {
		t.Errorf("the hook was called %d times", hooked)
	}
	for _, c := range r.conns {
		_, read := c.Read(make([]byte, 1))
		_, write := c.Write([]byte("x"))
		for _, err := range []error{
			read, write, c.Close(), c.SetDeadline(time.Time{}), c.SetReadDeadline(time.Time{}), c.SetWriteDeadline(time.Time{}),
		} {
			if err == nil {
				t.Error("the Conn of a ClientHelloInfo takes part in the connection")
			}
		}
	}
}
