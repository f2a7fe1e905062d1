package main

import (
	"fmt"
	"io/fs"
	"math/big"
	"path"
	"strconv"
	"strings"
)

// A softnet has the sums over all CPUs of proc/net/softnet_stat.
type softnet struct{ processed, dropped, squeezed int64 }

func (m *machine) softnet() (s softnet, ok bool) {
	for _, line := range m.lines("proc/net/softnet_stat") {
		f := strings.Fields(line)
		if len(f) < 3 {
			return s, false
		}
		for i, sum := range []*int64{&s.processed, &s.dropped, &s.squeezed} {
			n, err := strconv.ParseInt(f[i], 16, 64)
			if err != nil {
				return s, false
			}
			*sum += n
		}
		ok = true
	}
	return s, ok
}

func backlog(m *machine) finding {
	f := finding{Name: "queue in front of the network stack", Source: sysctlNet}
	n, ok := m.sysctl("net.core.netdev_max_backlog")
	s, known := m.softnet()
	if !ok || !known {
		return hidden(f)
	}
	f.Value = fmt.Sprintf("net.core.netdev_max_backlog=%d, %s dropped", n, share(s.dropped, s.processed))
	f.Why = "Each CPU has this queue. Packets wait in it when they come from loopback, from a virtual device, or from another CPU by RPS. Other " +
		"drivers do not use it. No counter of a socket shows what is dropped here."
	f.Verdict = good
	if s.dropped > 0 {
		f.advise("The queue has room for bursts from loopback, containers or RPS. The second column of /proc/net/softnet_stat stops growing.",
			setting{"net.core.netdev_max_backlog", fmt.Sprint(max(2*n, 4000))})
	}
	return f
}

func softirqBudget(m *machine) finding {
	f := finding{Name: "packets in one turn of the kernel", Source: sysctlNet}
	n, ok := m.sysctl("net.core.netdev_budget")
	us, known := m.sysctl("net.core.netdev_budget_usecs")
	s, counted := m.softnet()
	if !ok || !known || !counted {
		return hidden(f)
	}
	f.Value = fmt.Sprintf("net.core.netdev_budget=%d in %d µs, %s turns ended early", n, us, share(s.squeezed, s.processed))
	f.Why = "The kernel takes packets from devices in turns. A turn ends after that many packets or that much time, and the rest waits in the " +
		"ring of the device. If the ring overflows, the device drops packets (ethtool -S counts them)."
	f.Verdict = good
	if s.squeezed*1000 > s.processed {
		f.advise("Fewer packets are lost in the ring. Programs on that CPU wait a little longer.",
			setting{"net.core.netdev_budget", fmt.Sprint(2 * n)}, setting{"net.core.netdev_budget_usecs", fmt.Sprint(2 * us)})
	}
	return f
}

// queues returns the names of the receive queues of the interface, and to how many CPUs RPS spreads
// the widest of them.
func (m *machine) queues() (names []string, spread int) {
	all, _ := fs.Glob(m.files, m.net("queues/rx-*"))
	for _, dir := range all {
		names = append(names, path.Base(dir))
		mask, _ := m.text(path.Join(dir, "rps_cpus")) // such as 00000000,0000000f
		if n, ok := new(big.Int).SetString(strings.ReplaceAll(mask, ",", ""), 16); ok {
			bits := 0
			for i := range n.BitLen() {
				bits += int(n.Bit(i))
			}
			spread = max(spread, bits)
		}
	}
	return names, spread
}

func receiveQueues(m *machine) finding {
	f := finding{Name: "receive queues and RPS", Source: scaling}
	names, spread := m.queues()
	if m.iface == "" || len(names) == 0 {
		return hidden(f)
	}
	cpus := m.cpus()
	f.Value = fmt.Sprintf("%s has %d, for %d CPUs; RPS spreads to %d", m.iface, len(names), cpus, spread)
	f.Why = "The kernel's part of receiving runs on the CPU of the queue. A device with several queues puts each flow on one of them. RPS does the " +
		"same in software. Either way a single connection stays on one CPU."
	switch {
	case len(names) >= cpus || spread > 1:
		f.Verdict = good
		return f
	case cpus >= 4:
		f.Verdict = change
	default:
		f.Verdict = note // the interrupt and the program have a CPU each
	}
	mask := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), uint(cpus)), big.NewInt(1))
	f.Command = fmt.Sprintf("for q in /sys/class/net/%s/queues/rx-*; do echo %s >$q/rps_cpus; done", m.iface, grouped(mask.Text(16)))
	f.Effect = "All CPUs share the work of receiving many connections. Each packet may cost an interrupt between CPUs, a waste if one CPU was enough. " +
		"If ethtool -l shows more queues, ethtool -L is better than RPS."
	return f
}

// grouped writes a mask of CPUs in groups of 32 bits, as the kernel reads it.
func grouped(mask string) string {
	for i := len(mask) - 8; i > 0; i -= 8 {
		mask = mask[:i] + "," + mask[i:]
	}
	return mask
}

func flowSteering(m *machine) finding {
	f := finding{Name: "RFS", Source: scaling + "; __udp_queue_rcv_skb in net/ipv4/udp.c of the kernel"}
	n, ok := m.sysctl("net.core.rps_sock_flow_entries")
	if !ok {
		return hidden(f)
	}
	f.Value, f.Verdict = fmt.Sprintf("net.core.rps_sock_flow_entries=%d", n), good
	f.Why = "With RFS the kernel processes packets of a flow on the CPU where the program reads them. For UDP it notes only flows of connected " +
		"sockets. The socket of a QUIC server has many peers and is not connected, so RFS does no good and no harm. Lazo steers by connection " +
		"ID instead: each loop has a socket."
	return f
}
