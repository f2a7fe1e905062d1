package interop

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lazoquic/lazo/h3/h3http"
)

// quinnEnv is the path of the program in peers/quinn-h3, which cargo builds.
const quinnEnv = "LAZO_QUINN"

// TestQuinn asks a server of h3-quinn.
func TestQuinn(t *testing.T) {
	path := os.Getenv(quinnEnv)
	if path == "" {
		t.Skip("needs " + quinnEnv)
	}
	base := "https://" + startQuinn(t, path)
	// its certificate is its own
	tr := &h3http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer tr.Close()
	c := &http.Client{Transport: tr, Timeout: 2 * time.Minute}
	t.Run("download", func(t *testing.T) { askQuinn(t, c, base, 10_000_000) })
	t.Run("upload", func(t *testing.T) {
		resp, err := c.Post(base+"/", "application/octet-stream", bytes.NewReader(make([]byte, 10_000_000)))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK || resp.ProtoMajor != 3 {
			t.Fatal(resp.Proto, resp.Status)
		}
	})
	t.Run("300 at once", func(t *testing.T) {
		var wg sync.WaitGroup
		for i := range 300 { // it has 128 streams
			wg.Go(func() { askQuinn(t, c, base, 1000+i) })
		}
		wg.Wait()
	})
	t.Run("another connection", func(t *testing.T) {
		tr.CloseIdleConnections()
		askQuinn(t, c, base, 1000)
	})
}

// startQuinn returns the address of the server, which ends with the test.
func startQuinn(t *testing.T, path string) string {
	cmd := exec.Command(path, "server", "--listen", "127.0.0.1:0")
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	words := strings.Fields(line)
	if err != nil || len(words) < 2 || words[0] != "ready" {
		t.Fatalf("quinn-h3 says %q: %v", line, err)
	}
	return words[1]
}

// askQuinn asks for n bytes, which are zeros.
func askQuinn(t *testing.T, c *http.Client, base string, n int) {
	resp, err := c.Get(fmt.Sprintf("%s/%d", base, n))
	if err != nil {
		t.Error(err)
		return
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || !bytes.Equal(b, make([]byte, n)) {
		t.Errorf("%d bytes of %d: %v", len(b), n, err)
	}
}
