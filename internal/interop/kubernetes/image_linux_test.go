package kubernetes

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/internal/netns"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
)

// A pod is a program that runs as deploy/Dockerfile and a manifest say, but without containers: its
// root directory has the program and the volumes and nothing else, it is not root, and it has a
// network of its own.
type pod struct {
	w   *workload
	net *netns.Namespace
	cmd *exec.Cmd
	out *bufio.Reader
}

// startPod starts a pod of w. The test is skipped where namespaces are not allowed.
func startPod(t *testing.T, m *manifest, w *workload) *pod {
	t.Helper()
	program, err := programs[w.program()]()
	require.NoError(t, err)
	n, err := netns.New()
	if errors.Is(err, fs.ErrPermission) {
		t.Skipf("needs root: %v", err)
	}
	require.NoError(t, err)
	t.Cleanup(n.Close)
	root := t.TempDir()
	require.NoError(t, os.Chmod(root, 0o755))
	m.mount(t, w, root)
	text, err := os.ReadFile(program)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(root, "program"), text, 0o755))
	// The kubelet writes this file, too. It stands for the names of the cluster here.
	hosts := []byte("127.0.0.1 app.default.svc.cluster.local\n")
	require.NoError(t, os.WriteFile(filepath.Join(root, "etc", "hosts"), hosts, 0o644))

	p := &pod{w: w, net: n, cmd: exec.Command("/program", w.container().Args...)}
	p.cmd.Dir, p.cmd.Env = "/", environment(w)
	user := w.pod.Spec.SecurityContext
	p.cmd.SysProcAttr = &syscall.SysProcAttr{
		Chroot:     root,
		Credential: &syscall.Credential{Uid: uint32(*user.RunAsUser), Gid: uint32(*user.RunAsGroup)},
	}
	p.cmd.Stderr = t.Output()
	out, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	p.out = bufio.NewReader(out)
	var backend net.Listener
	require.NoError(t, n.Do(func() error {
		if err := p.setSysctls(); err != nil {
			return err
		}
		if backend, err = net.Listen("tcp", "127.0.0.1:8080"); err != nil {
			return err
		}
		return p.cmd.Start()
	}))
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, answer) })}
	go srv.Serve(backend)
	t.Cleanup(func() { srv.Close() })
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		p.cmd.Wait()
	})
	return p
}

// setSysctls sets, in the namespace of the caller, what the pod or its node asks for.
func (p *pod) setSysctls() error {
	value := nodeSysctls()[portSysctl]
	for _, s := range p.w.pod.Spec.SecurityContext.Sysctls {
		value = s.Value
	}
	return os.WriteFile("/proc/sys/"+strings.ReplaceAll(portSysctl, ".", "/"), []byte(value), 0)
}

// answer is what the backend says to all requests.
const answer = "a backend"

// get asks the pod over TCP.
func (p *pod) get(t *testing.T, url string) (status int, body string) {
	t.Helper()
	tr := &http.Transport{DialContext: func(ctx context.Context, network, addr string) (nc net.Conn, err error) {
		err = p.net.Do(func() (err error) {
			nc, err = new(net.Dialer).DialContext(ctx, network, addr)
			return err
		})
		return nc, err
	}}
	defer tr.CloseIdleConnections()
	return get(t, tr, url)
}

func get(t *testing.T, tr http.RoundTripper, url string) (status int, body string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	require.NoError(t, err)
	resp, err := tr.RoundTrip(r)
	require.NoError(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(b)
}

// TestImage runs the pods of each manifest. Their probes succeed, edges serve HTTP/3, and all end
// when they are asked to.
func TestImage(t *testing.T) {
	eachWorkload(t, func(t *testing.T, m *manifest, w *workload) {
		p := startPod(t, m, w)
		line, err := p.out.ReadString('\n')
		require.NoError(t, err)
		c := w.container()
		admin := findPort(c, "admin").ContainerPort
		for _, probe := range []string{c.LivenessProbe.HTTPGet.Path, c.ReadinessProbe.HTTPGet.Path} {
			status, body := p.get(t, fmt.Sprintf("http://127.0.0.1:%d%s", admin, probe))
			require.Equal(t, http.StatusOK, status, body)
		}
		if w.program() == "edge" {
			require.Contains(t, line, "serving https://")
			p.serves(t)
		} else {
			require.Contains(t, line, "forwarding from ")
		}
		require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
		require.NoError(t, p.cmd.Wait())
	})
}

// serves asks over HTTP/3, and wants the answer of the backend.
func (p *pod) serves(t *testing.T) {
	t.Helper()
	var g *loop.Group
	require.NoError(t, p.net.Do(func() (err error) {
		g, err = loop.Open("udp", "127.0.0.1:0", 1, nil)
		return err
	}))
	defer g.Close()
	tr := &h3http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		Dial: func(ctx context.Context, addr string, cfg *conn.Config) (*loop.Conn, error) {
			return g.Dial(ctx, addr, cfg)
		},
	}
	defer tr.Close()
	status, body := get(t, tr, "https://127.0.0.1/")
	require.Equal(t, http.StatusOK, status, body)
	require.Equal(t, answer, body)
}
