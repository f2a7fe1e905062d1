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
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/require"
)

// A child is an edge in a process of its own.
type child struct {
	t   *testing.T
	cmd *exec.Cmd
	at  string
	log *bufio.Scanner
}

// startChild starts the program and waits until it serves.
func startChild(t *testing.T, args ...string) *child {
	t.Helper()
	c := &child{t: t, cmd: exec.Command(os.Args[0], args...)}
	c.cmd.Env = append(os.Environ(), "EDGE_TEST_MAIN=1")
	out, err := c.cmd.StdoutPipe()
	require.NoError(t, err)
	log, err := c.cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, c.cmd.Start())
	t.Cleanup(func() {
		c.cmd.Process.Kill()
		c.cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	c.at = strings.TrimSuffix(strings.TrimPrefix(line, "serving https://"), "/\n")
	c.log = bufio.NewScanner(log)
	return c
}

// await reads the log up to a line with the part.
func (c *child) await(part string) {
	c.t.Helper()
	for c.log.Scan() {
		if strings.Contains(c.log.Text(), part) {
			return
		}
	}
	c.t.Fatal("the log ends without ", part)
}

// TestHandover starts one process after the other on the same path. Meanwhile responses of all
// versions of HTTP are in progress, and other clients come. It checks that no request fails, and
// that each process ends by itself.
func TestHandover(t *testing.T) {
	const each = 20 // clients of a version
	dir := t.TempDir()
	e := &running{t: t, file: filepath.Join(dir, "edge.yaml")}
	d := &demo{dir: dir}
	require.NoError(t, d.writeCertificate())
	var phase [3]chan struct{}
	for i := range phase {
		phase[i] = make(chan struct{})
	}
	part := strings.Repeat("0123456789", 2000)
	e.configure("access_log: false\ndrain: 5m\n" + onePool(serveTest(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/short" {
			io.WriteString(w, "short")
			return
		}
		for i := range phase {
			io.WriteString(w, part)
			http.NewResponseController(w).Flush()
			<-phase[i]
		}
	})))
	args := []string{"-config", e.file, "-handover", filepath.Join(dir, "handover")}
	children := []*child{startChild(t, args...)}
	roots, err := loadCA(d.cert())
	require.NoError(t, err)
	e.trust = &tls.Config{RootCAs: roots, ServerName: "localhost"}
	e.at = children[0].at

	var begun, ended sync.WaitGroup
	for _, proto := range protocols {
		for range each {
			c := e.client(proto)
			c.Timeout = 5 * time.Minute
			begun.Add(1)
			ended.Go(func() {
				resp, err := c.Get(e.url("/long"))
				begun.Done()
				if err != nil {
					t.Errorf("%s: %v", proto, err)
					return
				}
				defer resp.Body.Close()
				b, err := io.ReadAll(resp.Body)
				if err != nil || string(b) != strings.Repeat(part, len(phase)) {
					t.Errorf("%s: %d bytes: %v", proto, len(b), err)
				}
			})
		}
	}
	begun.Wait()
	visited := e.visitAll(t.Context(), &ended)
	for i := range phase {
		close(phase[i])
		if i == len(phase)-1 {
			break
		}
		next := startChild(t, args...)
		require.Equal(t, e.at, next.at)
		children[i].await("another process has taken over")
		children = append(children, next)
		visited() // by the new one, and what the old one has begun
	}
	visited()
	e.stop()
	ended.Wait()
	for _, c := range children[:2] {
		for c.log.Scan() {
		}
		require.NoError(t, c.cmd.Wait())
	}
}

// visitAll makes short requests of all versions, one after the other, until e.stop. The result
// waits until some more have been made.
func (e *running) visitAll(ctx context.Context, ended *sync.WaitGroup) (more func()) {
	ctx, e.stop = context.WithCancel(ctx)
	var n atomic.Int64
	for _, proto := range protocols {
		c := e.client(proto)
		c.Timeout = 2 * time.Minute
		ended.Go(func() {
			for ctx.Err() == nil {
				resp, err := c.Get(e.url("/short"))
				if err != nil {
					e.t.Errorf("%s: %v", proto, err)
					return
				}
				b, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err != nil || string(b) != "short" {
					e.t.Errorf("%s: %q, %v", proto, b, err)
				}
				n.Add(1)
			}
		})
	}
	return func() {
		from := n.Load()
		require.Eventually(e.t, func() bool { return n.Load() > from+30 }, 2*time.Minute, time.Millisecond, fmt.Sprint("visits after ", from))
	}
}
