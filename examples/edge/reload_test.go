package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/internal/require"
)

// TestMain runs the program or a backend instead of the tests if the environment says so.
func TestMain(m *testing.M) {
	if os.Getenv("EDGE_TEST_MAIN") != "" {
		main()
	}
	if os.Getenv("EDGE_TEST_MORTAL") != "" {
		fmt.Fprintln(os.Stderr, mortal())
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// slow is a backend whose responses begin at once and end when the channel is closed.
func slow(end <-chan struct{}) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "begin ")
		http.NewResponseController(w).Flush()
		select {
		case <-end:
			io.WriteString(w, "end")
		case <-r.Context().Done():
		}
	}
}

// begin sends requests for /slow over all versions of HTTP, and returns a function that reads
// their responses to the end.
func (e *running) begin(clients []*http.Client) (finish func()) {
	e.t.Helper()
	var begun []*http.Response
	for _, c := range clients {
		resp, err := c.Get(e.url("/slow"))
		require.NoError(e.t, err)
		begun = append(begun, resp)
	}
	return func() {
		e.t.Helper()
		for _, resp := range begun {
			b, err := io.ReadAll(resp.Body)
			require.NoError(e.t, err)
			require.Equal(e.t, "begin end", string(b))
			resp.Body.Close()
		}
	}
}

// TestReload changes the routes under connections. They stay, and requests in progress end as they
// began. A file with a mistake changes nothing.
func TestReload(t *testing.T) {
	end := make(chan struct{})
	kept := fmt.Sprintf("  kept: {backends: %s}\n", list(serveTest(t, saying("kept"))))
	config := func(backend string) string {
		return "pools:\n" + kept + "  p: {backends: " + list(backend) + "}\nroutes: [{pool: p}, {path: /kept, pool: kept}]\n"
	}
	e := start(t, config(serveTest(t, slow(end))))
	var clients []*http.Client
	for _, proto := range protocols {
		clients = append(clients, e.client(proto))
	}
	finish := e.begin(clients)
	resp, _ := e.get(clients[2], "/kept")
	id := h3http.ConnOf(resp.Request).ID()
	pool := e.site.Load().pools["kept"]

	e.configure(strings.Replace(config("http://127.0.0.1:1"), "pool: p", "pool: q", 1))
	require.ErrorContains(t, e.reload(), `edge.yaml:6: routes[0].pool: there is no pool "q"`)
	for _, key := range []string{"admin: :0", "timeouts: {idle: 1h}", "reset_secret: " + e.file} {
		e.configure(key + "\n" + config("http://127.0.0.1:1"))
		require.ErrorContains(t, e.reload(), "cannot change without a restart")
	}
	e.configure(config(serveTest(t, saying("new"))))
	require.NoError(t, e.reload())
	for _, c := range clients {
		_, body := e.get(c, "/")
		require.Equal(t, "new", body)
	}
	resp, _ = e.get(clients[2], "/kept")
	require.Equal(t, id, h3http.ConnOf(resp.Request).ID(), "the same connection")
	require.Same(t, pool, e.site.Load().pools["kept"])
	close(end)
	finish()
}

// TestCertificateReload replaces the files. A certificate without its key changes nothing.
func TestCertificateReload(t *testing.T) {
	e := start(t, onePool(serveTest(t, saying("hello"))))
	d := &demo{dir: filepath.Dir(e.file)}
	served := func() string {
		c, err := tls.Dial("tcp", e.addr().String(), &tls.Config{InsecureSkipVerify: true})
		require.NoError(t, err)
		defer c.Close()
		return string(c.ConnectionState().PeerCertificates[0].Raw)
	}
	first := served()
	key, err := os.ReadFile(d.key())
	require.NoError(t, err)
	require.NoError(t, d.writeCertificate())
	other, err := os.ReadFile(d.key())
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(d.key(), key, 0o600))
	_, err = e.site.Load().certs.refresh()
	require.ErrorContains(t, err, "private key does not match")
	require.Equal(t, first, served())

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go e.keepCurrent(ctx, nil, time.Millisecond)
	require.NoError(t, os.WriteFile(d.key(), append(other, '\n'), 0o600))
	require.Eventually(t, func() bool { return served() != first }, time.Minute, time.Millisecond)
}

// TestDrain checks that requests in progress are finished at the end.
func TestDrain(t *testing.T) {
	end := make(chan struct{})
	h := slow(end)
	e := start(t, "drain_delay: 10ms\nadmin: 127.0.0.1:0\n"+onePool(serveTest(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			h(w, r)
		} else {
			socketServer(w, r)
		}
	})))
	var clients []*http.Client
	for _, proto := range protocols {
		clients = append(clients, e.client(proto))
	}
	finish := e.begin(clients)
	s, _ := e.connect("/")
	require.Equal(t, 200, e.ready())
	e.stop()
	require.Eventually(t, func() bool { return e.ready() == 503 }, time.Minute, time.Millisecond)
	close(end)
	finish()
	select {
	case err := <-e.ended:
		t.Fatal("there is a WebSocket still", err)
	default:
	}
	io.WriteString(s, "bye")
	_, err := s.Read(make([]byte, 1))
	require.Equal(t, io.EOF, err)
	s.Close()
	err = <-e.ended
	require.NoError(t, err)
	e.ended <- err
}

// ready returns the status of /readyz.
func (e *running) ready() int {
	e.t.Helper()
	resp, err := http.Get("http://" + e.adminLn.Addr().String() + "/readyz")
	require.NoError(e.t, err)
	resp.Body.Close()
	return resp.StatusCode
}

// TestDrainDelay checks that the edge says that it is not ready, and still takes new clients of all
// versions of HTTP. Another signal ends that.
func TestDrainDelay(t *testing.T) {
	e := start(t, "drain_delay: 1h\nadmin: 127.0.0.1:0\n"+onePool(serveTest(t, saying("hello"))))
	e.stop()
	require.Eventually(t, func() bool { return e.ready() == 503 }, time.Minute, time.Millisecond)
	for range 10 {
		for _, proto := range protocols {
			_, body := e.get(e.client(proto), "/")
			require.Equal(t, "hello", body, proto)
		}
	}
	e.hurry <- os.Interrupt
	err := <-e.ended
	require.NoError(t, err)
	e.ended <- err
	_, err = e.client("HTTP/1.1").Get(e.url("/"))
	require.Error(t, err)
}

// TestDrainNewcomer checks that the first request of a connection is answered, also if it comes
// while the edge drains.
func TestDrainNewcomer(t *testing.T) {
	e := start(t, onePool(serveTest(t, saying("hello"))))
	c, err := tls.Dial("tcp", e.at, e.trust)
	require.NoError(t, err)
	defer c.Close()
	waits := func() bool {
		e.fresh.mu.Lock()
		defer e.fresh.mu.Unlock()
		return len(e.fresh.conns) == 1
	}
	require.Eventually(t, waits, time.Minute, time.Millisecond)
	e.stop()
	require.Eventually(t, e.draining.Load, time.Minute, time.Millisecond)
	for refused := false; !refused; { // until the listener is closed
		other, err := tls.Dial("tcp", e.at, e.trust)
		if refused = err != nil; !refused {
			other.Close()
		}
	}
	time.Sleep(20 * time.Millisecond) // for Shutdown, if it did not wait; this cannot fail the test
	fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	require.NoError(t, err)
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, "hello", string(b))
	err = <-e.ended
	require.NoError(t, err)
	e.ended <- err
}

// TestDrainUpgrade checks that the edge also waits for a connection of HTTP/1.1 that was taken
// over.
func TestDrainUpgrade(t *testing.T) {
	e := start(t, onePool(serveTest(t, socketServer)))
	c, _, _ := e.upgrade()
	e.stop()
	select {
	case err := <-e.ended:
		t.Fatal("there is a WebSocket still", err)
	case <-time.After(50 * time.Millisecond):
	}
	c.Close()
	err := <-e.ended
	require.NoError(t, err)
	e.ended <- err
}

// TestDrainLimit checks that requests that do not end in time are cut off.
func TestDrainLimit(t *testing.T) {
	e := start(t, "drain: 10ms\n"+onePool(serveTest(t, slow(nil))))
	e.begin([]*http.Client{e.client("HTTP/1.1"), e.client("HTTP/2.0"), e.client("HTTP/3.0")})
	e.stop()
	err := <-e.ended
	require.ErrorIs(t, err, context.DeadlineExceeded)
	e.ended <- err
}

// TestSignals sends the program SIGHUP, and SIGTERM during requests.
func TestSignals(t *testing.T) {
	end := make(chan struct{})
	e := &running{t: t}
	d := &demo{dir: t.TempDir()}
	require.NoError(t, d.writeCertificate())
	e.file = d.config()
	e.configure(onePool(serveTest(t, slow(end))))
	cmd := exec.Command(os.Args[0], "-config", e.file)
	cmd.Env = append(os.Environ(), "EDGE_TEST_MAIN=1")
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	log, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	defer cmd.Process.Kill()
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	roots, err := loadCA(d.cert())
	require.NoError(t, err)
	e.trust = &tls.Config{RootCAs: roots, ServerName: "localhost"}
	e.at = strings.TrimSuffix(strings.TrimPrefix(line, "serving https://"), "/\n")
	lines := bufio.NewScanner(log)
	await := func(part string) {
		t.Helper()
		for lines.Scan() {
			if strings.Contains(lines.Text(), part) {
				return
			}
		}
		t.Fatal("the log ends without ", part)
	}
	clients := []*http.Client{e.client("HTTP/1.1"), e.client("HTTP/2.0"), e.client("HTTP/3.0")}
	finish := e.begin(clients)
	e.configure(onePool(serveTest(t, saying("new"))))
	require.NoError(t, cmd.Process.Signal(syscall.SIGHUP))
	await("reloaded")
	_, body := e.get(clients[2], "/")
	require.Equal(t, "new", body)
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	await("draining")
	close(end)
	finish()
	go io.Copy(io.Discard, log)
	require.NoError(t, cmd.Wait())
}
