package loop_test

import (
	"crypto/ecdh"
	"crypto/rand"
	"crypto/tls"
	"net"
	"net/netip"
	"slices"
	"strings"
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

// echKey returns a key for Encrypted Client Hello (RFC 9849, Section 4), and the list with its
// configuration, which hides behind a public name.
func echKey(t *testing.T) (key tls.EncryptedClientHelloKey, list []byte) {
	t.Helper()
	private, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public := private.PublicKey().Bytes()
	name := "public.example"
	b := []byte{1, 0, 0x20, 0, byte(len(public))} // the ID, and DHKEM(X25519, HKDF-SHA256)
	b = append(b, public...)
	b = append(b, 0, 4, 0, 1, 0, 1, 32, byte(len(name))) // HKDF-SHA256, AES-128-GCM
	b = append(b, name...)
	b = append(b, 0, 0) // no extensions
	config := append([]byte{0xfe, 0x0d, 0, byte(len(b))}, b...)
	key = tls.EncryptedClientHelloKey{Config: config, PrivateKey: private.Bytes(), SendAsRetry: true}
	return key, append([]byte{0, byte(len(config))}, config...)
}

// TestEncryptedClientHello: a server has the keys in its TLS configuration, or in a callback, which
// sees the addresses as others do.
func TestEncryptedClientHello(t *testing.T) {
	key, list := echKey(t)
	keys := []tls.EncryptedClientHelloKey{key}
	for _, callback := range []bool{false, true} {
		r := &helloRecord{}
		var name string
		cfg := serverConfig(func(c *conn.Config) {
			c.TLS = c.TLS.Clone()
			c.TLS.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
				name = hello.ServerName
				return nil, nil
			}
			if !callback {
				c.TLS.EncryptedClientHelloKeys = keys
				return
			}
			c.TLS.GetEncryptedClientHelloKeys = func(hello *tls.ClientHelloInfo) ([]tls.EncryptedClientHelloKey, error) {
				r.add(hello.ServerName, hello)
				return keys, nil
			}
		})
		run(t, setup{link: near, server: cfg}, func(t *testing.T, w *world) {
			c, s := w.dial(func(c *conn.Config) {
				c.TLS = c.TLS.Clone()
				c.TLS.EncryptedClientHelloConfigList = list
			})
			if !c.TLS().ECHAccepted || !s.TLS().ECHAccepted || name == "public.example" || name != s.TLS().ServerName {
				t.Errorf("callback %t: the server sees %q, accepted %t and %t", callback, name, c.TLS().ECHAccepted, s.TLS().ECHAccepted)
			}
		})
		at := ": " + clientAddr + " to " + serverAddr
		if callback && (len(r.seen) == 0 || r.seen[0] != "public.example"+at) {
			t.Errorf("the callback saw %q", r.seen)
		}
		for _, seen := range r.seen { // crypto/tls may ask more than once
			if !strings.HasSuffix(seen, at) {
				t.Errorf("the callback saw %q", seen)
			}
		}
	}
}
