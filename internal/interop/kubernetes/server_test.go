package kubernetes

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/lazoquic/lazo/internal/interop/internal/selfsigned"
	"github.com/lazoquic/lazo/internal/require"
)

// TestServer has a real kube-apiserver judge each document of all manifests, with all that it
// checks before it stores one. LAZO_KUBERNETES is the directory with kube-apiserver and etcd:
// .ci/interop/kubernetes.sh makes it.
func TestServer(t *testing.T) {
	bin := os.Getenv("LAZO_KUBERNETES")
	if bin == "" {
		t.Skip("needs LAZO_KUBERNETES: see .ci/interop/kubernetes.sh")
	}
	s := startServer(t, bin)
	for _, name := range files(t) {
		t.Run(filepath.Base(name), func(t *testing.T) {
			text, err := os.ReadFile(name)
			require.NoError(t, err)
			documents := yaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
			for {
				document, err := documents.Read()
				if errors.Is(err, io.EOF) {
					break
				}
				require.NoError(t, err)
				status, answer := s.apply(t, document)
				require.Less(t, status, http.StatusMultipleChoices, answer)
				// The server sees more than the types do: this wait is longer than the pod has.
				long := bytes.Replace(document, []byte("seconds: 15"), []byte("seconds: 1500"), 1)
				if status, answer = s.apply(t, long); !bytes.Equal(long, document) {
					require.Equal(t, http.StatusUnprocessableEntity, status, answer)
				}
			}
		})
	}
}

// A server is a kube-apiserver that runs.
type server struct {
	base   string // of its URLs
	client *http.Client
}

// token lets requests in.
const token = "anybody"

// startServer starts kube-apiserver and the etcd that it stores in. Nothing else of a cluster runs.
func startServer(t *testing.T, bin string) *server {
	t.Helper()
	dir := t.TempDir()
	store, peers, addr := "http://"+free(t), "http://"+free(t), free(t)
	start(t, filepath.Join(bin, "etcd"), "--data-dir="+filepath.Join(dir, "etcd"),
		"--listen-client-urls="+store, "--advertise-client-urls="+store,
		"--listen-peer-urls="+peers, "--initial-advertise-peer-urls="+peers, "--initial-cluster=default="+peers)
	cert, key, err := selfsigned.PEM()
	require.NoError(t, err)
	write := func(name string, b []byte) string {
		name = filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(name, b, 0o600))
		return name
	}
	certFile, keyFile := write("cert.pem", cert), write("key.pem", key)
	host, port, err := net.SplitHostPort(addr)
	require.NoError(t, err)
	start(t, filepath.Join(bin, "kube-apiserver"), "--etcd-servers="+store,
		"--bind-address="+host, "--secure-port="+port, "--tls-cert-file="+certFile, "--tls-private-key-file="+keyFile,
		"--service-account-issuer=https://localhost", "--service-account-signing-key-file="+keyFile, "--service-account-key-file="+certFile,
		"--token-auth-file="+write("tokens", []byte(token+",admin,admin,system:masters\n")),
		"--authorization-mode=RBAC")
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(cert))
	s := &server{"https://" + addr, &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "localhost"},
	}}}
	t.Cleanup(s.client.CloseIdleConnections)
	require.Eventually(t, func() bool {
		status, _, err := s.do(t.Context(), http.MethodGet, "/readyz", nil)
		return err == nil && status == http.StatusOK
	}, 2*time.Minute, 100*time.Millisecond, "kube-apiserver is not ready")
	return s
}

func free(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	return ln.Addr().String()
}

// start starts a program that is killed when the test ends.
func start(t *testing.T, name string, args ...string) {
	t.Helper()
	c := exec.Command(name, args...)
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	require.NoError(t, c.Start())
	t.Cleanup(func() {
		c.Process.Kill()
		c.Wait()
		if t.Failed() {
			t.Logf("%s:\n%s", name, &out)
		}
	})
}

// resources are the paths of kinds.
var resources = map[string]string{
	"Namespace": "namespaces", "ConfigMap": "configmaps", "Service": "services", "DaemonSet": "daemonsets",
	"Deployment": "deployments", "StatefulSet": "statefulsets", "PodDisruptionBudget": "poddisruptionbudgets",
}

// apply asks the server to check a document and all but store it. A warning is a mistake. Only
// namespaces are stored, because others are in them.
func (s *server) apply(t *testing.T, document []byte) (status int, answer string) {
	t.Helper()
	object, kind, err := decoder().Decode(document, nil, nil)
	require.NoError(t, err)
	path := resources[kind.Kind] + "/" + object.(metav1.Object).GetName() + "?fieldManager=test&force=true&fieldValidation=Strict"
	if kind.Kind == "Namespace" {
		path = "/api/v1/" + path
	} else {
		path = group(kind) + "/namespaces/" + object.(metav1.Object).GetNamespace() + "/" + path + "&dryRun=All"
	}
	status, answer, err = s.do(t.Context(), http.MethodPatch, path, document)
	require.NoError(t, err)
	return status, answer
}

// group returns the path of an API group.
func group(kind *schema.GroupVersionKind) string {
	if kind.Group == "" {
		return "/api/" + kind.Version
	}
	return fmt.Sprintf("/apis/%s/%s", kind.Group, kind.Version)
}

func (s *server) do(ctx context.Context, method, path string, body []byte) (status int, answer string, err error) {
	r, err := http.NewRequestWithContext(ctx, method, s.base+path, bytes.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/apply-patch+yaml")
	resp, err := s.client.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if warning := resp.Header.Get("Warning"); warning != "" {
		return resp.StatusCode, warning, errors.Join(err, fmt.Errorf("warning: %s", warning))
	}
	return resp.StatusCode, string(b), err
}
