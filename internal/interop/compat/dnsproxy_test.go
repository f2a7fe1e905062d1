package compat

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go/http3"

	"github.com/lazoquic/lazo/internal/require"
)

// queryDNSProxy has dnsproxy answer queries over QUIC (RFC 9250), of kdig, and over HTTP/3 (RFC
// 8484), of quic-go's client.
func queryDNSProxy(t *testing.T, dir string) {
	command(t, dir, "go", "build", "-o", "dnsproxy", ".")
	doq, https, s := startDNSProxy(t, filepath.Join(dir, "dnsproxy"))
	defer s.Wait()
	defer s.Process.Kill()
	client := &http3.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, ServerName: "localhost"}}
	defer client.Close()
	url := fmt.Sprintf("https://127.0.0.1:%d/dns-query", https)
	err := askDoH3(client, url)
	for end := time.Now().Add(time.Minute); err != nil && time.Now().Before(end); {
		err = askDoH3(client, url) // it has just been started
	}
	for range 20 {
		require.NoError(t, err)
		err = askDoH3(client, url)
	}
	askDoQ(t, doq, answered)
}

// startDNSProxy starts dnsproxy, and returns its ports of DNS over QUIC and of HTTPS.
func startDNSProxy(t *testing.T, binary string) (doq, https int, s *exec.Cmd) {
	t.Helper()
	work := t.TempDir()
	writeCertificate(t, work)
	doq, https = freePort(t), freePort(t)
	s = exec.Command(binary, "--listen=127.0.0.1", "--port=0", "--http3", "--tls-crt=cert.pem", "--tls-key=key.pem",
		fmt.Sprintf("--quic-port=%d", doq), fmt.Sprintf("--https-port=%d", https), "--upstream="+serveDNS(t))
	s.Dir = work
	s.Stderr = t.Output()
	require.NoError(t, s.Start())
	return doq, https, s
}

// answered is the address that serveDNS answers with.
const answered = "192.0.2.7"

// serveDNS answers queries over UDP, and returns its address.
func serveDNS(t *testing.T) string {
	t.Helper()
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	go func() {
		b := make([]byte, 4096)
		for {
			n, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			if n < dnsHeader {
				continue
			}
			// The name, a type and a class.
			end := dnsHeader + bytes.IndexByte(b[dnsHeader:n], 0) + 5
			if end < dnsHeader+5 || end > n {
				continue
			}
			// RFC 1035, Section 4.1: a response with one question and one answer, for the name at
			// the question, of type A and class IN, for a minute.
			answer := append(b[:2:2], "\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00"...)
			answer = append(append(answer, b[dnsHeader:end]...), "\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04"...)
			c.WriteTo(append(answer, net.ParseIP(answered).To4()...), from)
		}
	}()
	return c.LocalAddr().String()
}

// dnsHeader is the length of the header of a message of DNS.
const dnsHeader = 12

// askDoH3 asks for the IPv4 address of lazo.test.
func askDoH3(client http.RoundTripper, url string) error {
	r, err := http.NewRequest(http.MethodPost, url, strings.NewReader(query[2:]))
	if err != nil {
		return err
	}
	r.Host = "localhost"
	r.Header.Set("Content-Type", "application/dns-message")
	resp, err := client.RoundTrip(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || !bytes.Contains(b, net.ParseIP(answered).To4()) {
		return fmt.Errorf("status %d and %x: %w", resp.StatusCode, b, err)
	}
	return nil
}
