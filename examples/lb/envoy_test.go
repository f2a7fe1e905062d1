package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/examples/internal/rebind"
	"github.com/lazoquic/lazo/examples/internal/selfsigned"
	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/udpio"
)

// envoyConfig is for fmt: key, version of the configuration, port, settings of the generator,
// certificate, its key, and what it answers.
const envoyConfig = `static_resources:
  secrets:
    - name: quic_lb
      generic_secret:
        secrets: {encryption_key: {inline_bytes: %q}, configuration_version: {inline_bytes: %q}}
  listeners:
    - name: quic
      address: {socket_address: {protocol: UDP, address: 127.0.0.1, port_value: %d}}
      udp_listener_config:
        quic_options:
          connection_id_generator_config:
            name: envoy.quic.connection_id_generator.quic_lb
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.quic.connection_id_generator.quic_lb.v3.Config
%s
              encryption_parameters: {name: quic_lb}
      filter_chains:
        - transport_socket:
            name: envoy.transport_sockets.quic
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.transport_sockets.quic.v3.QuicDownstreamTransport
              downstream_tls_context:
                common_tls_context:
                  tls_certificates: [{certificate_chain: {filename: %q}, private_key: {filename: %q}}]
          filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                codec_type: HTTP3
                stat_prefix: quic
                http3_protocol_options: {}
                route_config:
                  virtual_hosts:
                    - {name: all, domains: ["*"], routes: [{match: {prefix: /}, direct_response: {status: 200, body: {inline_string: %q}}}]}
                http_filters:
                  - name: envoy.filters.http.router
                    typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
`

// An envoyFormat is a format of connection IDs, as Envoy and as the balancer configure it.
type envoyFormat struct {
	version   byte
	generator func(serverID []byte) string
	idBytes   int // of server IDs
	ids       string
}

// envoyFormats are an encrypted one, and the one that AWS's guide gives Envoy behind its Network
// Load Balancer (github.com/kubernetes-sigs/aws-load-balancer-controller, in
// docs/guide/use_cases/quic).
func envoyFormats() map[string]envoyFormat {
	base64ID := base64.StdEncoding.EncodeToString
	return map[string]envoyFormat{
		"encrypted": {2, func(id []byte) string {
			return fmt.Sprintf("              server_id: {inline_bytes: %q}\n              nonce_length_bytes: 6", base64ID(id))
		}, 2, fmt.Sprintf("[{config: 2, server_id_bytes: 2, nonce_bytes: 6, key: %q}]", demoKey)},
		"AWS": {0, func(id []byte) string {
			return fmt.Sprintf(`              unencrypted_mode: true
              server_id_base64_encoded: true
              server_id: {inline_string: %q}
              nonce_length_bytes: 7`, base64ID(id))
		}, 8, "[{config: 0, server_id_bytes: 8, nonce_bytes: 7}]"},
	}
}

// TestEnvoy: two Envoys issue IDs of QUIC-LB, one with a worker, and one with three. The balancer
// reads them, so clients that change their address stay on their connection. LAZO_ENVOY names the
// program.
func TestEnvoy(t *testing.T) {
	program := os.Getenv("LAZO_ENVOY")
	if program == "" {
		t.Skip("LAZO_ENVOY does not name an Envoy")
	}
	for name, format := range envoyFormats() {
		t.Run(name, func(t *testing.T) { testEnvoy(t, program, &format) })
	}
}

func testEnvoy(t *testing.T, program string, format *envoyFormat) {
	dir := t.TempDir()
	cert, err := selfsigned.Certificate()
	require.NoError(t, err)
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	require.NoError(t, err)
	writePEM(t, filepath.Join(dir, "cert.pem"), "CERTIFICATE", cert.Certificate[0])
	writePEM(t, filepath.Join(dir, "key.pem"), "PRIVATE KEY", key)
	text := "ids: " + format.ids + "\nbackends:\n"
	var addrs []netip.AddrPort
	for i := range 2 {
		free := listen(t, "udp", "127.0.0.1:0")
		addr := free.LocalAddr()
		require.NoError(t, free.Close())
		addrs = append(addrs, addr)
		id := make([]byte, format.idBytes)
		id[0], id[1] = 10, byte(i)
		startEnvoy(t, program, dir, i, addr, format, id)
		text += fmt.Sprintf("  - {address: %q, server_ids: [\"%x\"]}\n", addr, id)
	}
	b := startBalancer(t, text)
	for _, addr := range addrs { // an Envoy takes its time to start
		require.Eventually(t, func() bool { return (&check{addr: addr, interval: time.Second}).probe(t.Context()) == nil }, time.Minute, time.Millisecond)
		healthOf(t, b, addr, well)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert.Leaf)
	seen := make(map[string]int)
	for range 8 {
		seen[askMoving(t, b.addr(), roots)]++
	}
	t.Logf("connections by server: %v, datagrams by reason: %v", seen, attrs(b.forwarders))
	require.Greater(t, b.forwarders[0].picked[byServerID].Load(), uint64(80))
	require.Zero(t, b.forwarders[0].picked[byClient].Load()+b.forwarders[0].picked[byOrphan].Load())
}

func writePEM(t *testing.T, name, kind string, b []byte) {
	require.NoError(t, os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}), 0o600))
}

// startEnvoy starts Envoy i, of 1 worker or 3, until the test ends. Envoy appends a byte for the
// worker to IDs, which balancers need not know.
func startEnvoy(t *testing.T, program, dir string, i int, addr netip.AddrPort, format *envoyFormat, id []byte) {
	name := filepath.Join(dir, fmt.Sprintf("envoy%d.yaml", i))
	text := fmt.Sprintf(envoyConfig, base64.StdEncoding.EncodeToString(unhex(demoKey)),
		base64.StdEncoding.EncodeToString([]byte{format.version}), addr.Port(), format.generator(id),
		filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), fmt.Sprintf("envoy %d", i))
	require.NoError(t, os.WriteFile(name, []byte(text), 0o600))
	c := exec.Command(program, "-c", name, "--concurrency", fmt.Sprint(1+2*i), "--use-dynamic-base-id", "--log-level", "warning")
	c.Stderr = os.Stderr
	require.NoError(t, c.Start())
	t.Cleanup(func() {
		c.Process.Kill()
		c.Wait()
	})
}

// askMoving sends requests on one connection, each from another address, and returns the answer to
// all of them.
func askMoving(t *testing.T, addr netip.AddrPort, roots *x509.CertPool) (answer string) {
	socket, err := udpio.Listen("udp", "127.0.0.1:0", nil)
	require.NoError(t, err)
	nat := &rebind.Socket{Socket: socket}
	g, err := loop.New(nil, nat)
	require.NoError(t, err)
	defer g.Close()
	dials := 0
	tr := &h3http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, Dial: func(ctx context.Context, addr string, cfg *conn.Config) (*loop.Conn, error) {
		dials++
		return g.Dial(ctx, addr, cfg)
	}}
	defer tr.Close()
	for change := range demoChanges + 1 {
		r, err := (&http.Client{Transport: tr, Timeout: time.Minute}).Get(fmt.Sprintf("https://%v/", addr))
		require.NoError(t, err)
		body, err := io.ReadAll(r.Body)
		require.NoError(t, err)
		r.Body.Close()
		if change > 0 {
			require.Equal(t, answer, string(body))
		}
		answer = string(body)
		_, err = nat.Rebind(netip.MustParseAddr("127.0.0.1"))
		require.NoError(t, err)
	}
	require.Equal(t, 1, dials, "the connection was lost")
	return answer
}
