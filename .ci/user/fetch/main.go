// Command fetch is an HTTP/3 client, written from the documentation.
package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/h3/h3http"
)

func main() {
	pem, err := os.ReadFile("cert.pem")
	if err != nil {
		log.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	tr := &h3http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots},
		QUICConfig:      &conn.Config{HandshakeTimeout: 20 * time.Second},
	}
	defer tr.Close()
	client := &http.Client{Transport: tr, Timeout: 30 * time.Second}

	base := "https://" + os.Args[1]
	get, err := client.Get(base + "/hello/lazo")
	if err != nil {
		log.Fatal(err)
	}
	if got := body(get); string(got) != "hello lazo over HTTP/3.0" {
		log.Fatalf("GET: %s %q", get.Status, got)
	}
	want := bytes.Repeat([]byte("all that goes in comes out. "), 100_000)
	post, err := client.Post(base+"/echo", "text/plain", bytes.NewReader(want))
	if err != nil {
		log.Fatal(err)
	}
	if got := body(post); !bytes.Equal(got, want) {
		log.Fatalf("POST: %s, %d bytes, want %d", post.Status, len(got), len(want))
	}
	log.Printf("GET and POST of %d bytes, RTT %v", len(want), h3http.ConnOf(post.Request).Stats().SmoothedRTT)
}

func body(resp *http.Response) []byte {
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		log.Fatal(err)
	}
	return b
}
