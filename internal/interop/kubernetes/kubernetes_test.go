package kubernetes

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lazoquic/lazo/internal/require"
)

// TestManifests decodes all files strictly, and checks what documents of a file say of each other.
func TestManifests(t *testing.T) {
	for _, name := range files(t) {
		t.Run(filepath.Base(name), func(t *testing.T) {
			m := load(t, name)
			require.NotEmpty(t, m.workloads)
			for _, problem := range m.check() {
				t.Error(problem)
			}
		})
	}
}

// TestStrict: a field that Kubernetes does not know, or a field that is there twice, is an error.
func TestStrict(t *testing.T) {
	for _, name := range files(t) {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		for field, want := range map[string]string{
			"metadata:\n  color: red\n": `unknown field "metadata.color"`,
			"metadata:\n  name: x\n":    "already set",
			"metadata:\n  name: [x]\n":  "name",
		} {
			_, err := parse(bytes.Replace(text, []byte("metadata:\n"), []byte(field), 1))
			require.ErrorContains(t, err, want, name)
		}
	}
}

// mistakes are changes to a file, and what the checks must say of each.
var mistakes = []struct{ file, old, new, want string }{
	{"nodeport.yaml", "  namespace: edge\n", "  namespace: other\n", `is in the namespace "other"`},
	{"nodeport.yaml", "      labels: { app: edge }", "      labels: { app: other }", "does not select its own pods"},
	{"nodeport.yaml", "                matchLabels: { app: edge }", "                matchLabels: { app: other }", "keeps apart from others"},
	{"nodeport.yaml", "  selector: { app: edge }", "  selector: { app: other }", "selects nothing"},
	{"nodeport.yaml", "        runAsNonRoot: true\n", "", "runAsNonRoot != true"},
	{"nodeport.yaml", "capabilities: { drop: [ ALL ] }", "capabilities: { drop: [ ALL ], add: [ NET_ADMIN ] }", "unrestricted capabilities"},
	{"nodeport.yaml", "readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false", "can write to its root"},
	{"nodeport.yaml", "automountServiceAccountToken: false", "automountServiceAccountToken: true", "has a token"},
	{"nodeport.yaml", "enforce: restricted", "enforce: privileged", `want "restricted"`},
	{"nodeport.yaml", "value: \"443\"", "value: \"1024\"", "only root may listen"},
	{"nodeport.yaml", "containerPort: 443, protocol: UDP", "containerPort: 8443, protocol: UDP", "the port h3 is not that of"},
	{"nodeport.yaml", "targetPort: h3", "targetPort: https", "no container has a port https/UDP"},
	{"nodeport.yaml", "name: h3, protocol: UDP, port: 443", "name: h3, protocol: UDP, port: 8443", "Alt-Svc says 443"},
	{"nodeport.yaml", "targetPort: h3, nodePort: 30443", "targetPort: h3, nodePort: 30444", "is 30444 over UDP and 30443 over TCP"},
	{"nodeport.yaml", "nodePort: 30443", "nodePort: 443", "is not a port for nodes"},
	{"nodeport.yaml", "  externalTrafficPolicy: Local", "  externalTrafficPolicy: Cluster", "hides the addresses"},
	{"nodeport.yaml", "admin: \":9090\"", "admin: 127.0.0.1:9090", "is not the address for probes"},
	{"nodeport.yaml", "drain: 60s", "drain: 80s", "is killed after 1m30s"},
	{"nodeport.yaml", "drain_delay: 0s", "drain_delay: 20s", "is killed after 1m30s"},
	{"nodeport.yaml", "sleep: { seconds: 15 }", "sleep: { seconds: 30 }", "is killed after 1m30s"},
	{"nodeport.yaml", "path: /healthz, port: admin }\n            periodSeconds: 2", "path: /readyz, port: admin }\n            periodSeconds: 2", "loses its connections"},
	{"nodeport.yaml", "port: admin }\n            periodSeconds: 10", "port: h3 }\n            periodSeconds: 10", `no port "h3" for the liveness probe`},
	{"nodeport.yaml", "GOMEMLIMIT, value: 900MiB", "GOMEMLIMIT, value: 1GiB", "does not suit a limit of 1Gi"},
	{"nodeport.yaml", "secretName: edge-keys", "secretName: edge-key", "does not make the Secret edge-key"},
	{"nodeport.yaml", "configMap: { name: edge }", "configMap: { name: edges }", "no ConfigMap has the file"},
	{"nodeport.yaml", "-config, /etc/edge/config/edge.yaml", "-config, /etc/edge/edge.yaml", "no ConfigMap has the file"},
	{"nodeport.yaml", "{ name: keys, mountPath: /etc/edge/keys, readOnly: true }", "{ name: key, mountPath: /etc/edge/keys, readOnly: true }", "there is no volume key"},
	{"nodeport.yaml", "mountPath: /etc/edge/keys, readOnly: true", "mountPath: /etc/edge/keys", "can write to the volume keys"},
	{"nodeport.yaml", "image: registry.example.org/edge:1", "image: registry.example.org/edge:2", "does not say how to make"},
	{"nodeport.yaml", "maxUnavailable: 1\n  selector:\n    matchLabels: { app: edge }", "maxUnavailable: 1\n  selector:\n    matchLabels: { app: other }", "has no PodDisruptionBudget"},
	{"hostnetwork.yaml", "admin: 127.0.0.1:9090", "admin: \":9090\"", "is not the address for probes"},
	{"hostnetwork.yaml", "hostPort: 9090", "hostPort: 9091", "two numbers"},
	{"hostnetwork.yaml", "enforce: privileged", "enforce: restricted", `want "privileged"`},
	{"balancer.yaml", "nonce: 12", "nonce: 11", "do not read the connection IDs of format 1"},
	{"balancer.yaml", "config: 1", "config: 2", "do not read the connection IDs of format 1"},
	{"balancer.yaml", "c000020b", "c000020f", "is not an edge with the server ID"},
	{"balancer.yaml", "192.0.2.11:443", "192.0.2.11:8443", "is not an edge with the server ID"},
	{"balancer.yaml", "status.hostIP", "metadata.uid", "is not the variable with the address"},
	{"balancer.yaml", "admin: \":9091\"", "admin: \":9090\"", "the port admin is not that of"},
	{"hostnetwork.yaml", "hostNetwork: true", "hostNetwork: true\n      hostPID: true", "hostPID=true"},
}

// TestMistakes shows that the checks find mistakes.
func TestMistakes(t *testing.T) {
	for _, c := range mistakes {
		text, err := os.ReadFile(filepath.Join(deploy, "kubernetes", c.file))
		require.NoError(t, err)
		require.Contains(t, string(text), c.old)
		m, err := parse(bytes.Replace(text, []byte(c.old), []byte(c.new), 1))
		require.NoError(t, err, c.new)
		require.Contains(t, strings.Join(m.check(), "\n"), c.want, "%s: %s", c.file, c.new)
	}
}
