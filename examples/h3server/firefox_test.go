package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/browser"
	"github.com/lazoquic/lazo/internal/require"
)

// issue writes the certificate of localhost and its key to files. Firefox takes a certificate over
// HTTP/3 only if an authority that it trusts has issued it. It returns that authority, in DER.
func issue(t *testing.T) (cert, key string, authority []byte) {
	dir := t.TempDir()
	template := func(serial int64, name string) *x509.Certificate {
		return &x509.Certificate{
			SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, BasicConstraintsValid: true,
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		}
	}
	newKey := func() *ecdsa.PrivateKey {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		require.NoError(t, err)
		return k
	}
	caKey, leafKey := newKey(), newKey()
	ca := template(1, "an authority of a test")
	ca.IsCA, ca.KeyUsage = true, x509.KeyUsageCertSign
	authority, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	require.NoError(t, err)
	leaf := template(2, "localhost")
	leaf.DNSNames, leaf.KeyUsage = []string{"localhost"}, x509.KeyUsageDigitalSignature
	leaf.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	der, err := x509.CreateCertificate(rand.Reader, leaf, ca, &leafKey.PublicKey, caKey)
	require.NoError(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(leafKey)
	require.NoError(t, err)
	write := func(name, typ string, der []byte) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: typ, Bytes: der}), 0o600))
		return path
	}
	return write("cert.pem", "CERTIFICATE", der), write("key.pem", "PRIVATE KEY", private), authority
}

// fetches transfers bytes both ways, many small bodies at a time, and long header fields, and
// abandons responses. It returns the protocols.
const fetches = `(async () => {
  performance.setResourceTimingBufferSize(1000)
  const body = async (path, init) => new Uint8Array(await (await fetch(path, init)).arrayBuffer())
  const down = await body('/bytes/3000000')
  if (down.length !== 3000000 || down.some((x, i) => x !== (i & 255))) throw 'wrong bytes came'
  const up = Uint8Array.from({ length: 1000000 }, (_, i) => i * 31 >> 3)
  const back = await body('/echo', { method: 'POST', body: up })
  if (back.length !== up.length || back.some((x, i) => x !== up[i])) throw 'wrong bytes came back'
  await Promise.all([...Array(200).keys()].map(async i => {
    if ((await body('/bytes/' + (1000 + i))).length !== 1000 + i) throw 'a wrong length'
  }))
  for (let i = 0; i < 20; i++) {
    const c = new AbortController()
    const events = await fetch('/events?n=100&i=' + i, { signal: c.signal })
    c.abort()
    if (await events.text().then(() => true, () => false)) throw 'a response came whole that was abandoned'
  }
  const fields = Object.fromEntries([...Array(40).keys()].map(i => ['x-field-' + i, 'v'.repeat(1000)]))
  const seen = new TextDecoder().decode(await body('/headers', { headers: fields }))
  if (seen.split('v'.repeat(1000)).length !== 41) throw 'header fields are missing: ' + seen
  const entries = [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
  if (entries.length < 204) throw entries.length + ' entries'
  return [...new Set(entries.map(e => e.nextHopProtocol))].join()
})()`

// TestFirefox loads the page over HTTP/3, and transfers bytes both ways.
func TestFirefox(t *testing.T) {
	cert, key, authority := issue(t)
	s := start(t, "-cert", cert, "-key", key)
	u, err := url.Parse(s.url)
	require.NoError(t, err)
	f := browser.StartFirefox(t, fmt.Sprintf(`user_pref("network.http.http3.alt-svc-mapping-for-testing", "localhost;h3=:%s");`, u.Port()))
	f.Trust(authority)
	p := f.Open("https://localhost:" + u.Port() + "/")
	require.Equal(t, "This is HTTP/3.0", p.Eval(`document.querySelector('h1').textContent`))
	require.Equal(t, "h3", p.Eval(fetches))
	s.stop()
	require.NoError(t, <-s.ended)
}
