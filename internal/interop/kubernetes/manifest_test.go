package kubernetes

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/lazoquic/lazo/internal/require"
)

// deploy is the directory with what this package tests.
const deploy = "../../../deploy"

// files are the manifests. Each stands alone.
func files(t *testing.T) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(deploy, "kubernetes", "*.yaml"))
	require.NoError(t, err)
	require.NotEmpty(t, names)
	return names
}

// A manifest is what one file declares.
type manifest struct {
	namespace *corev1.Namespace
	objects   []metav1.Object // all but namespace
	configs   map[string]*corev1.ConfigMap
	workloads []workload
	services  []*corev1.Service
	budgets   []*policyv1.PodDisruptionBudget
}

// A workload is what makes pods.
type workload struct {
	metav1.Object
	kind     string
	selector *metav1.LabelSelector
	pod      *corev1.PodTemplateSpec
}

// container returns the only one.
func (w *workload) container() *corev1.Container { return &w.pod.Spec.Containers[0] }

// program returns which of examples runs, by the name of the image.
func (w *workload) program() string {
	name, _, _ := strings.Cut(path.Base(w.container().Image), ":")
	return name
}

// decoder returns a decoder to which an unknown field, and one that is there twice, is an error.
func decoder() runtime.Decoder {
	scheme := runtime.NewScheme()
	utilruntime.Must(corev1.AddToScheme(scheme))
	utilruntime.Must(appsv1.AddToScheme(scheme))
	utilruntime.Must(policyv1.AddToScheme(scheme))
	return serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
}

// parse decodes the documents of one file.
func parse(text []byte) (*manifest, error) {
	m := &manifest{configs: map[string]*corev1.ConfigMap{}}
	documents := yaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
	for i := 1; ; i++ {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return m, nil
		}
		if err != nil {
			return nil, err
		}
		object, _, err := decoder().Decode(document, nil, nil)
		if err != nil {
			return nil, fmt.Errorf("document %d: %w", i, err)
		}
		if err := m.add(object); err != nil {
			return nil, fmt.Errorf("document %d: %w", i, err)
		}
	}
}

func (m *manifest) add(object runtime.Object) error {
	switch o := object.(type) {
	case *corev1.Namespace:
		m.namespace = o
		return nil
	case *corev1.ConfigMap:
		m.configs[o.Name] = o
	case *corev1.Service:
		m.services = append(m.services, o)
	case *policyv1.PodDisruptionBudget:
		m.budgets = append(m.budgets, o)
	case *appsv1.DaemonSet:
		m.workloads = append(m.workloads, workload{o, "DaemonSet", o.Spec.Selector, &o.Spec.Template})
	case *appsv1.Deployment:
		m.workloads = append(m.workloads, workload{o, "Deployment", o.Spec.Selector, &o.Spec.Template})
	case *appsv1.StatefulSet:
		m.workloads = append(m.workloads, workload{o, "StatefulSet", o.Spec.Selector, &o.Spec.Template})
	default:
		return fmt.Errorf("no check knows %T", object)
	}
	m.objects = append(m.objects, object.(metav1.Object))
	return nil
}

// load parses a file that must be good.
func load(t *testing.T, name string) *manifest {
	t.Helper()
	text, err := os.ReadFile(name)
	require.NoError(t, err)
	m, err := parse(text)
	require.NoError(t, err)
	return m
}
