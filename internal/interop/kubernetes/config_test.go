package kubernetes

import (
	"encoding/hex"
	"net"
	"net/netip"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"sigs.k8s.io/yaml"
)

// A programConfig is what the checks need of the configurations of examples/edge and examples/lb.
type programConfig struct {
	Listen string `json:"listen"`
	Admin  string `json:"admin"`

	Drain      string `json:"drain"` // of the edge
	DrainDelay string `json:"drain_delay"`
	QUICLB     struct {
		ServerIDEnv string `json:"server_id_env"`
		Formats     []struct {
			ID    int    `json:"id"`
			Nonce int    `json:"nonce"`
			Key   string `json:"key"`
		} `json:"formats"`
	} `json:"quic_lb"`

	IDs []struct { // of the balancer
		Config        int    `json:"config"`
		ServerIDBytes int    `json:"server_id_bytes"`
		NonceBytes    int    `json:"nonce_bytes"`
		KeyFile       string `json:"key_file"`
	} `json:"ids"`
	Backends []struct {
		Address   string   `json:"address"`
		ServerIDs []string `json:"server_ids"`
	} `json:"backends"`
}

// checkConfig wants that the pod gives the program the ports and the time that its configuration
// says.
func (m *manifest) checkConfig(p *problems, w *workload) {
	c, ok := m.parseConfig(p, w)
	if !ok {
		return
	}
	listens := map[string]string{"h3": c.Listen, "admin": c.Admin}
	if w.program() == "edge" {
		listens["https"] = c.Listen
		m.checkEnd(p, w, &c)
	} else {
		m.checkBalancer(p, c)
	}
	for name, addr := range listens {
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
}

// parseConfig reads the configuration of a program, which TestConfigurations checks as a whole.
func (m *manifest) parseConfig(p *problems, w *workload) (c programConfig, ok bool) {
	text, ok := m.config(w)
	if !ok {
		p.addf("%s: no ConfigMap has the file of -config", w.GetName())
		return c, false
	}
	if err := yaml.Unmarshal([]byte(text), &c); err != nil {
		p.addf("%s: %v", w.GetName(), err)
		return c, false
	}
	return c, true
}

// checkBalancer wants that a balancer reads the connection IDs that the edges issue, and knows
// their addresses by their server IDs.
func (m *manifest) checkBalancer(p *problems, c programConfig) {
	for i := range m.workloads {
		w := &m.workloads[i]
		if w.program() != "edge" {
			continue
		}
		edge, ok := m.parseConfig(p, w)
		if !ok {
			return
		}
		for _, f := range edge.QUICLB.Formats {
			known := false
			for _, id := range c.IDs {
				known = known || id.Config == f.ID && id.NonceBytes == f.Nonce && id.ServerIDBytes == 4 && path.Base(id.KeyFile) == path.Base(f.Key)
			}
			if !known {
				p.addf("balancers do not read the connection IDs of format %d", f.ID)
			}
		}
		if from := hostIP(w); from == "" || from != edge.QUICLB.ServerIDEnv {
			p.addf("%s: %q is not the variable with the address of the node", w.GetName(), edge.QUICLB.ServerIDEnv)
		}
		for _, b := range c.Backends {
			addr, err := netip.ParseAddrPort(b.Address)
			if err != nil || int(addr.Port()) != portOf(edge.Listen) || !slices.Equal(b.ServerIDs, []string{hex.EncodeToString(addr.Addr().AsSlice())}) {
				p.addf("%s is not an edge with the server ID %v", b.Address, b.ServerIDs)
			}
		}
	}
}

// hostIP returns the name of the variable that has the address of the node.
func hostIP(w *workload) string {
	for _, e := range w.container().Env {
		if e.ValueFrom != nil && e.ValueFrom.FieldRef != nil && e.ValueFrom.FieldRef.FieldPath == "status.hostIP" {
			return e.Name
		}
	}
	return ""
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

// checkEnd wants time for all that happens when a pod ends.
func (m *manifest) checkEnd(p *problems, w *workload, c *programConfig) {
	limit, err := time.ParseDuration(c.Drain)
	if err != nil {
		p.addf("%s: drain: %v", w.GetName(), err)
	}
	delay, err := time.ParseDuration(c.DrainDelay)
	if err != nil {
		p.addf("%s: drain_delay: %v", w.GetName(), err)
	}
	life, grace := w.container().Lifecycle, w.pod.Spec.TerminationGracePeriodSeconds
	if life == nil || life.PreStop == nil || life.PreStop.Sleep == nil || grace == nil {
		p.addf("%s ends at once", w.GetName())
		return
	}
	before := time.Duration(life.PreStop.Sleep.Seconds)*time.Second + delay
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
