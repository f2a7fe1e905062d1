package kubernetes

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// problems are what is wrong in a manifest whose fields are all known.
type problems []string

func (p *problems) addf(format string, args ...any) { *p = append(*p, fmt.Sprintf(format, args...)) }

// check returns all problems.
func (m *manifest) check() (p problems) {
	m.checkNamespace(&p)
	for i := range m.workloads {
		w := &m.workloads[i]
		checkSelector(&p, w)
		checkSecurity(&p, w)
		checkContainer(&p, w)
		m.checkVolumes(&p, w)
		m.checkConfig(&p, w)
	}
	m.checkServices(&p)
	m.checkBudgets(&p)
	return p
}

func (m *manifest) checkNamespace(p *problems) {
	if m.namespace == nil {
		p.addf("no namespace")
		return
	}
	level := api.LevelRestricted
	if slices.ContainsFunc(m.workloads, func(w workload) bool { return w.pod.Spec.HostNetwork }) {
		level = api.LevelPrivileged
	}
	if is := m.namespace.Labels[api.EnforceLevelLabel]; is != string(level) {
		p.addf("the namespace enforces %q, want %q", is, level)
	}
	for _, o := range m.objects {
		if o.GetNamespace() != m.namespace.Name {
			p.addf("%s is in the namespace %q", o.GetName(), o.GetNamespace())
		}
	}
}

// selects reports whether selector has labels and they are among those of w's pods.
func selects(selector map[string]string, w *workload) bool {
	return len(selector) > 0 && labels.SelectorFromSet(selector).Matches(labels.Set(w.pod.Labels))
}

func checkSelector(p *problems, w *workload) {
	if !selects(w.selector.MatchLabels, w) {
		p.addf("%s does not select its own pods", w.GetName())
	}
	if a := w.pod.Spec.Affinity; a != nil && a.PodAntiAffinity != nil {
		for _, term := range a.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution {
			if !selects(term.LabelSelector.MatchLabels, w) {
				p.addf("%s keeps apart from others than its own pods", w.GetName())
			}
		}
	}
}

// hostReasons are what the standard of Kubernetes has against a pod in the network of its node.
var hostReasons = []string{"host namespaces", "hostPort", "probe or lifecycle host"}

// checkSecurity wants no privileges at all but the network of the node.
func checkSecurity(p *problems, w *workload) {
	level := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		p.addf("%v", err)
		return
	}
	for _, r := range evaluator.EvaluatePod(level, &w.pod.ObjectMeta, &w.pod.Spec) {
		host := w.pod.Spec.HostNetwork && slices.Contains(hostReasons, r.ForbiddenReason)
		if !r.Allowed && (!host || strings.Contains(r.ForbiddenDetail, "hostPID") || strings.Contains(r.ForbiddenDetail, "hostIPC")) {
			p.addf("%s is not restricted: %s: %s", w.GetName(), r.ForbiddenReason, r.ForbiddenDetail)
		}
	}
	if token := w.pod.Spec.AutomountServiceAccountToken; token == nil || *token {
		p.addf("%s has a token of the API server", w.GetName())
	}
}

// checkContainer checks what is the same for all programs.
func checkContainer(p *problems, w *workload) {
	c := w.container()
	if n := len(w.pod.Spec.Containers); n != 1 {
		p.addf("%s has %d containers", w.GetName(), n)
	}
	if s := c.SecurityContext; s == nil || s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem {
		p.addf("%s can write to its root file system", w.GetName())
	}
	if text, err := os.ReadFile(filepath.Join(deploy, "Dockerfile")); err != nil || !strings.Contains(string(text), "-t "+c.Image+" ") {
		p.addf("%s: deploy/Dockerfile does not say how to make %s", w.GetName(), c.Image)
	}
	for name, probe := range map[string]*corev1.Probe{"liveness": c.LivenessProbe, "readiness": c.ReadinessProbe} {
		if probe == nil || probe.HTTPGet == nil {
			p.addf("%s has no %s probe over HTTP", w.GetName(), name)
		} else if port := findPort(c, probe.HTTPGet.Port.StrVal); port == nil || port.Protocol != corev1.ProtocolTCP {
			p.addf("%s: there is no port %q for the %s probe", w.GetName(), probe.HTTPGet.Port.StrVal, name)
		}
	}
	for _, port := range c.Ports {
		if w.pod.Spec.HostNetwork && port.HostPort != port.ContainerPort {
			p.addf("%s: port %s has two numbers in the network of the node", w.GetName(), port.Name)
		}
	}
	checkMemory(p, w)
}

// checkMemory wants Go to collect garbage before the kernel ends the process.
func checkMemory(p *problems, w *workload) {
	limit := w.container().Resources.Limits.Memory()
	for _, e := range w.container().Env {
		if e.Name == "GOMEMLIMIT" {
			soft, err := resource.ParseQuantity(strings.TrimSuffix(e.Value, "B"))
			if err != nil || soft.Cmp(*limit) >= 0 || soft.Value() < limit.Value()*3/4 {
				p.addf("%s: GOMEMLIMIT=%s does not suit a limit of %v", w.GetName(), e.Value, limit)
			}
			return
		}
	}
	p.addf("%s has no GOMEMLIMIT", w.GetName())
}

func findPort(c *corev1.Container, name string) *corev1.ContainerPort {
	for i, port := range c.Ports {
		if port.Name == name && name != "" {
			return &c.Ports[i]
		}
	}
	return nil
}

// checkVolumes wants that each mount has a volume, and each volume a mount and a source.
func (m *manifest) checkVolumes(p *problems, w *workload) {
	used := map[string]bool{}
	for _, mount := range w.container().VolumeMounts {
		used[mount.Name] = true
		if !slices.ContainsFunc(w.pod.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == mount.Name }) {
			p.addf("%s: there is no volume %s", w.GetName(), mount.Name)
		}
		if !mount.ReadOnly {
			p.addf("%s can write to the volume %s", w.GetName(), mount.Name)
		}
	}
	for _, v := range w.pod.Spec.Volumes {
		if !used[v.Name] {
			p.addf("%s does not use the volume %s", w.GetName(), v.Name)
		}
		if v.ConfigMap != nil && m.configs[v.ConfigMap.Name] == nil {
			p.addf("%s: there is no ConfigMap %s", w.GetName(), v.ConfigMap.Name)
		}
		if v.Secret == nil {
			continue
		}
		if kind, _ := secret(v.Secret.SecretName); kind == "" {
			p.addf("%s: docs/deployment.md does not make the Secret %s", w.GetName(), v.Secret.SecretName)
		}
	}
}

func (m *manifest) checkServices(p *problems) {
	for _, s := range m.services {
		i := slices.IndexFunc(m.workloads, func(w workload) bool { return selects(s.Spec.Selector, &w) })
		if i < 0 {
			p.addf("the Service %s selects nothing", s.Name)
			continue
		}
		for _, port := range s.Spec.Ports {
			target := findPort(m.workloads[i].container(), port.TargetPort.StrVal)
			if target == nil || target.Protocol != port.Protocol {
				p.addf("the Service %s: no container has a port %s/%s", s.Name, port.TargetPort.StrVal, port.Protocol)
			} else if target.ContainerPort != port.Port && s.Spec.ClusterIP != corev1.ClusterIPNone {
				p.addf("the Service %s: clients see port %d, and Alt-Svc says %d", s.Name, port.Port, target.ContainerPort)
			}
		}
		if s.Spec.Type == corev1.ServiceTypeNodePort && s.Spec.ExternalTrafficPolicy != corev1.ServiceExternalTrafficPolicyLocal {
			p.addf("the Service %s hides the addresses of clients", s.Name)
		}
	}
	m.checkNodePorts(p)
}

// checkNodePorts wants one number for TCP and UDP of a port, which clients reach by one Alt-Svc.
func (m *manifest) checkNodePorts(p *problems) {
	type transport struct {
		port     int32
		protocol corev1.Protocol
	}
	nodePorts := map[transport]int32{}
	for _, s := range m.services {
		for _, port := range s.Spec.Ports {
			nodePorts[transport{port.Port, port.Protocol}] = port.NodePort
			if n := port.NodePort; n != 0 && (n < 30000 || n > 32767) {
				p.addf("the Service %s: %d is not a port for nodes", s.Name, n)
			}
		}
	}
	for t, n := range nodePorts {
		other, ok := nodePorts[transport{t.port, corev1.ProtocolTCP}]
		if ok && t.protocol == corev1.ProtocolUDP && other != n {
			p.addf("port %d is %d over UDP and %d over TCP", t.port, n, other)
		}
	}
}

func (m *manifest) checkBudgets(p *problems) {
	for _, b := range m.budgets {
		i := slices.IndexFunc(m.workloads, func(w workload) bool { return selects(b.Spec.Selector.MatchLabels, &w) })
		if i < 0 || m.workloads[i].kind == "DaemonSet" {
			p.addf("the PodDisruptionBudget %s is for nothing that has replicas", b.Name)
		}
	}
	for i := range m.workloads {
		w := &m.workloads[i]
		if w.kind != "DaemonSet" && !slices.ContainsFunc(m.budgets, func(b *policyv1.PodDisruptionBudget) bool { return selects(b.Spec.Selector.MatchLabels, w) }) {
			p.addf("%s has no PodDisruptionBudget", w.GetName())
		}
	}
}
