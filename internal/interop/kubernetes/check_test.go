package kubernetes

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/yaml"
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
		checkSecurity(&p, m.namespace, w)
		checkContainer(&p, w)
		m.checkVolumes(&p, w)
		if m.runs(w, "edge") {
			m.checkEdge(&p, w)
		}
	}
	m.checkServices(&p)
	m.checkBudgets(&p)
	return p
}

// runs reports whether w is examples/PROGRAM.
func (m *manifest) runs(w *workload, program string) bool {
	return strings.HasPrefix(w.container().Image, "registry.example.org/"+program+":")
}

func (m *manifest) checkNamespace(p *problems) {
	if m.namespace == nil {
		p.addf("no namespace")
		return
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
	if a := w.pod.Spec.Affinity; a != nil {
		for _, term := range a.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution {
			if !selects(term.LabelSelector.MatchLabels, w) {
				p.addf("%s keeps apart from others than its own pods", w.GetName())
			}
		}
	}
}

// hostReasons are what the standard of Kubernetes has against a pod in the network of its node.
var hostReasons = []string{"host namespaces", "hostPort", "probe or lifecycle host"}

// checkSecurity wants no more privileges than the namespace says, and none at all but the network
// of the node.
func checkSecurity(p *problems, namespace *corev1.Namespace, w *workload) {
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
	want := api.LevelRestricted
	if w.pod.Spec.HostNetwork {
		want = api.LevelPrivileged
	}
	if namespace != nil && namespace.Labels[api.EnforceLevelLabel] != string(want) {
		p.addf("the namespace enforces %q, want %q", namespace.Labels[api.EnforceLevelLabel], want)
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
		if other := nodePorts[transport{t.port, corev1.ProtocolTCP}]; t.protocol == corev1.ProtocolUDP && other != n {
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

// edgeConfig is what the checks need of the configuration of examples/edge.
type edgeConfig struct {
	Listen string `json:"listen"`
	Admin  string `json:"admin"`
	Drain  string `json:"drain"`
}

// config returns the file that the arguments of w name, as it is in the ConfigMap.
func (m *manifest) config(w *workload) (text string, ok bool) {
	args := w.container().Args
	i := slices.Index(args, "-config")
	if i < 0 || i+1 == len(args) {
		return "", false
	}
	dir, file := filepath.Split(args[i+1])
	for _, mount := range w.container().VolumeMounts {
		if mount.MountPath+"/" != dir {
			continue
		}
		for _, v := range w.pod.Spec.Volumes {
			if v.Name == mount.Name && v.ConfigMap != nil && m.configs[v.ConfigMap.Name] != nil {
				text, ok = m.configs[v.ConfigMap.Name].Data[file]
			}
		}
	}
	return text, ok
}

// checkEdge wants that the pod gives the edge the ports and the time that its configuration says.
func (m *manifest) checkEdge(p *problems, w *workload) {
	text, ok := m.config(w)
	if !ok {
		p.addf("%s: no ConfigMap has the file of -config", w.GetName())
		return
	}
	var c edgeConfig
	if err := yaml.Unmarshal([]byte(text), &c); err != nil {
		p.addf("%s: %v", w.GetName(), err)
		return
	}
	for name, addr := range map[string]string{"https": c.Listen, "h3": c.Listen, "admin": c.Admin} {
		if port := findPort(w.container(), name); port == nil || int(port.ContainerPort) != portOf(addr) {
			p.addf("%s: the port %s is not that of %q", w.GetName(), name, addr)
		}
	}
	if admin := strings.Split(c.Admin, ":")[0]; w.pod.Spec.HostNetwork != (admin == "127.0.0.1") {
		p.addf("%s: %q is not the address for probes", w.GetName(), c.Admin)
	}
	if portOf(c.Listen) < unprivileged(w) {
		p.addf("%s: only root may listen on %q", w.GetName(), c.Listen)
	}
	m.checkEnd(p, w, c.Drain)
}

// checkEnd wants time for all that happens when a pod ends.
func (m *manifest) checkEnd(p *problems, w *workload, drain string) {
	limit, err := time.ParseDuration(drain)
	if err != nil {
		p.addf("%s: drain: %v", w.GetName(), err)
	}
	life, grace := w.container().Lifecycle, w.pod.Spec.TerminationGracePeriodSeconds
	if life == nil || life.PreStop == nil || life.PreStop.Sleep == nil || grace == nil {
		p.addf("%s ends at once", w.GetName())
		return
	}
	before := time.Duration(life.PreStop.Sleep.Seconds) * time.Second
	if end := time.Duration(*grace) * time.Second; before+limit+5*time.Second > end {
		p.addf("%s is killed after %v, before it has waited %v and drained %v", w.GetName(), end, before, limit)
	}
	// kube-proxy forgets the UDP flows to pods that are not ready, also while they end.
	if path := w.container().ReadinessProbe.HTTPGet.Path; !w.pod.Spec.HostNetwork && path != "/healthz" {
		p.addf("%s loses its connections while it drains, because %s fails then", w.GetName(), path)
	}
}

func portOf(addr string) int {
	_, text, _ := net.SplitHostPort(addr)
	n, _ := strconv.Atoi(text)
	return n
}

const portSysctl = "net.ipv4.ip_unprivileged_port_start"

// unprivileged returns the first port that w can listen on.
func unprivileged(w *workload) int {
	value := "1024"
	if w.pod.Spec.HostNetwork {
		value = nodeSysctls()[portSysctl]
	}
	if c := w.pod.Spec.SecurityContext; c != nil {
		for _, s := range c.Sysctls {
			if s.Name == portSysctl {
				value = s.Value
			}
		}
	}
	n, err := strconv.Atoi(value)
	if err != nil {
		return 1 << 16
	}
	return n
}

// nodeSysctls reads the settings for nodes.
func nodeSysctls() map[string]string {
	settings := map[string]string{}
	text, _ := os.ReadFile(filepath.Join(deploy, "kubernetes", "90-quic.conf"))
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, "="); ok && line[0] != '#' {
			settings[strings.TrimSpace(key)] = strings.TrimSpace(value)
		}
	}
	return settings
}
