package kubernetes

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/lazoquic/lazo/internal/interop/internal/selfsigned"
	"github.com/lazoquic/lazo/internal/require"
)

// buildLine finds the command of deploy/Dockerfile that builds the program.
var buildLine = regexp.MustCompile(`(?m)^RUN (CGO_ENABLED=0 go build .*)$`)

// programs are those that images are made of, built once for all tests.
var programs = map[string]func() (string, error){
	"edge": sync.OnceValues(func() (string, error) { return build("edge") }),
	"lb":   sync.OnceValues(func() (string, error) { return build("lb") }),
}

// images is a directory with the programs.
var images string

// build runs the command of deploy/Dockerfile for one of examples, and returns the path of the
// program.
func build(name string) (string, error) {
	text, err := os.ReadFile(filepath.Join(deploy, "Dockerfile"))
	if err != nil {
		return "", err
	}
	line := buildLine.FindSubmatch(text)
	if line == nil {
		return "", fmt.Errorf("no line of the Dockerfile matches %v", buildLine)
	}
	program := filepath.Join(images, name)
	c := exec.Command("sh", "-c", strings.Replace(string(line[1]), "-o /program", "-o "+program, 1))
	c.Dir = filepath.Join(deploy, "..")
	c.Env = append(os.Environ(), "PROGRAM="+name)
	if out, err := c.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return program, nil
}

func TestMain(m *testing.M) {
	var err error
	if images, err = os.MkdirTemp("", "kubernetes-"); err != nil {
		panic(err)
	}
	status := m.Run()
	os.RemoveAll(images)
	os.Exit(status)
}

// mount makes the volumes of w below root as the kubelet does: files of ConfigMaps, and of Secrets
// that an operator makes as docs/deployment.md says.
func (m *manifest) mount(t *testing.T, w *workload, root string) {
	t.Helper()
	for _, mount := range w.container().VolumeMounts {
		dir := filepath.Join(root, mount.MountPath)
		require.NoError(t, os.MkdirAll(dir, 0o755))
		for _, v := range w.pod.Spec.Volumes {
			if v.Name == mount.Name {
				m.fill(t, &v, dir)
			}
		}
	}
}

func (m *manifest) fill(t *testing.T, v *corev1.Volume, dir string) {
	t.Helper()
	write := func(file string, b []byte) {
		if v.Secret != nil && len(v.Secret.Items) > 0 && !slices.ContainsFunc(v.Secret.Items, func(k corev1.KeyToPath) bool { return k.Key == file && k.Path == file }) {
			return
		}
		require.NoError(t, os.WriteFile(filepath.Join(dir, file), b, 0o644))
	}
	switch {
	case v.ConfigMap != nil:
		for file, text := range m.configs[v.ConfigMap.Name].Data {
			write(file, []byte(text))
		}
	case v.Secret != nil:
		kind, arguments := secret(v.Secret.SecretName)
		if kind == "tls" {
			cert, key, err := selfsigned.PEM()
			require.NoError(t, err)
			write(corev1.TLSCertKey, cert)
			write(corev1.TLSPrivateKeyKey, key)
		}
		for _, literal := range randomLiteral.FindAllStringSubmatch(arguments, -1) {
			n, err := strconv.Atoi(literal[3])
			require.NoError(t, err)
			random := make([]byte, n)
			rand.Read(random)
			text := base64.StdEncoding.EncodeToString(random)
			if literal[2] == "hex" {
				text = hex.EncodeToString(random)
			}
			write(literal[1], []byte(text))
		}
	}
}

// randomLiteral is a file of a Secret.
var randomLiteral = regexp.MustCompile(`--from-literal=(\w+)="\$\(openssl rand -(hex|base64) (\d+)\)"`)

// secret returns the kind of a Secret, and the arguments of the command in docs/deployment.md that
// makes it. The kind is empty if there is none.
func secret(name string) (kind, arguments string) {
	text, err := os.ReadFile(filepath.Join(deploy, "../docs/deployment.md"))
	if err != nil {
		return "", ""
	}
	text = bytes.ReplaceAll(text, []byte("\\\n"), nil)
	found := regexp.MustCompile(`(?m)kubectl .*create secret (\w+) ` + name + ` (.*)$`).FindSubmatch(text)
	if found == nil {
		return "", ""
	}
	return string(found[1]), string(found[2])
}

// TestConfigurations has the programs check the configurations, with all files that they name. The
// files are in another directory, and the configurations say so.
func TestConfigurations(t *testing.T) {
	eachWorkload(t, func(t *testing.T, m *manifest, w *workload) {
		program, err := programs[w.program()]()
		require.NoError(t, err)
		dir := t.TempDir()
		m.mount(t, w, dir)
		text, ok := m.config(w)
		require.True(t, ok)
		file := filepath.Join(dir, "file.yaml")
		require.NoError(t, os.WriteFile(file, []byte(strings.ReplaceAll(text, "/etc/", dir+"/etc/")), 0o600))
		c := exec.Command(program, "-config", file, "-check")
		c.Env = environment(w)
		out, err := c.CombinedOutput()
		require.NoError(t, err, "%s", out)
		require.Contains(t, string(out), file+": ")
	})
}

// eachWorkload runs a test for each workload of each file.
func eachWorkload(t *testing.T, test func(*testing.T, *manifest, *workload)) {
	t.Helper()
	for _, name := range files(t) {
		m := load(t, name)
		for _, w := range m.workloads {
			t.Run(filepath.Base(name)+"/"+w.GetName(), func(t *testing.T) { test(t, m, &w) })
		}
	}
}

// environment returns what a pod of w has in its environment.
func environment(w *workload) (env []string) {
	for _, e := range w.container().Env {
		value := e.Value
		if from := e.ValueFrom; from != nil && from.FieldRef != nil {
			value = "192.0.2.11" // status.hostIP
		} else if from != nil {
			value = "2" // requests.cpu
		}
		env = append(env, e.Name+"="+value)
	}
	return env
}
