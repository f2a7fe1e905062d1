package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/lazoquic/lazo/internal/require"
)

// mortal is the backend that TestKilledBackend kills. It answers most requests, and holds each
// tenth for ever: it prints a line for each that it holds. A connection carries one request: of a
// connection that is kept alive the edge may not know yet that the backend is gone.
func mortal() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(l.Addr())
	var n atomic.Int64
	return http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		if n.Add(1)%10 == 0 {
			fmt.Println("holds one")
			select {}
		}
		w.Header().Set("Connection", "close")
		io.WriteString(w, "a")
	}))
}

// startMortal starts mortal in a process of its own. Its output follows the address.
func startMortal(t *testing.T) (url string, cmd *exec.Cmd, out *bufio.Scanner) {
	cmd = exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "EDGE_TEST_MORTAL=1")
	cmd.Stderr = os.Stderr
	pipe, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	out = bufio.NewScanner(pipe)
	require.True(t, out.Scan(), "it has an address")
	return "http://" + out.Text(), cmd, out
}

// TestKilledBackend sends many requests that may not be repeated, and kills the process of a
// backend among them. At most those fail that it had not answered when it died.
func TestKilledBackend(t *testing.T) {
	url, cmd, out := startMortal(t)
	e := start(t, poolWith("timeouts: {connect: 1m}", url, serveTest(t, saying("b"))))
	c := e.client("HTTP/3.0")
	var failed, byA, byB atomic.Int64
	var wg sync.WaitGroup
	work := make(chan struct{})
	for range 10 {
		wg.Go(func() {
			for range work {
				switch status, body, err := post(c, e.url("/")); {
				case err != nil:
					t.Error(err) // the edge answers whatever its backends do
				case status == http.StatusOK && body == "a":
					byA.Add(1)
				case status == http.StatusOK && body == "b":
					byB.Add(1)
				default:
					failed.Add(1)
				}
			}
		})
	}
	var sent int64
	wg.Go(func() {
		for range 5 {
			out.Scan()
		}
		cmd.Process.Signal(syscall.SIGKILL)
		for out.Scan() { // up to the end of the process
		}
		var killed *exec.ExitError
		if err := cmd.Wait(); !errors.As(err, &killed) || killed.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Errorf("the backend was not killed: %v", err)
		}
		sent = e.site.Load().pools["p"].backends[0].attempts.Load()
	})
	for range 300 {
		work <- struct{}{}
	}
	close(work)
	wg.Wait()
	inFlight := sent - byA.Load()
	t.Logf("%d answered by a, %d in flight on it when it died, %d failed, %d answered by b", byA.Load(), inFlight, failed.Load(), byB.Load())
	require.LessOrEqual(t, failed.Load(), inFlight)
	require.GreaterOrEqual(t, failed.Load(), int64(5), "it held so many")
	require.Equal(t, int64(300), byA.Load()+byB.Load()+failed.Load())
}

// post sends a request that may not be repeated.
func post(c *http.Client, url string) (status int, body string, err error) {
	resp, err := c.Post(url, "text/plain", strings.NewReader("x"))
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}
