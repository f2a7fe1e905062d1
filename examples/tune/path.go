package main

import (
	"cmp"
	"fmt"
)

// Packet sizes in bytes.
const (
	leastMTU = 1200 + 8 + 40 // of UDP payload, UDP and IPv6: RFC 9000, Section 14
	usualMTU = 1500
)

func interfaceMTU(m *machine) finding {
	f := finding{Name: "MTU", Source: "RFC 9000, Section 14; conn.Config.MaxMTU"}
	n, ok := m.number(m.net("mtu"))
	if !ok || m.iface == "" {
		return hidden(f)
	}
	f.Value = fmt.Sprintf("%d on %s", n, m.iface)
	f.Why = "Each packet has a cost, so data in larger packets is cheaper. QUIC needs room for 1,200 bytes of payload. Lazo looks for a larger " +
		"path MTU by itself, up to conn.Config.MaxMTU, 1,452 bytes by default."
	switch {
	case n < leastMTU:
		f.Verdict = change
		f.Command = fmt.Sprintf("ip link set dev %s mtu %d", m.iface, usualMTU)
		f.Effect = "QUIC has the room that it needs. If a tunnel carries this network, its headers take some of the 1500 bytes."
	case n < usualMTU:
		f.Verdict = note
		f.Effect = fmt.Sprintf("Packets have up to %d bytes over IPv4. This is right for a tunnel and for some networks in a cloud.", n-28)
	case n > usualMTU:
		f.Verdict = note
		f.Effect = fmt.Sprintf("If the peer is in the same network, conn.Config.MaxMTU=%d lets Lazo try larger packets.", n-48)
	default:
		f.Verdict = good
	}
	return f
}

func fragments(m *machine) finding {
	f := finding{Name: "fragments", Source: "RFC 9000, Section 14; proc_pid_net(5)"}
	c := m.snmp("Ip")
	if c == nil {
		return hidden(f)
	}
	f.Value = fmt.Sprintf("%d sent, %d came, %d not put together; %d with DF were too long to forward", c["FragCreates"], c["ReasmReqds"], c["ReasmFails"], c["FragFails"])
	f.Why = "QUIC packets must not be fragmented. If one fragment is lost, the packet is lost, and many firewalls drop fragments. Lazo's packets " +
		"have DF, so these counters show other programs, peers that do not set DF, and packets that this machine forwards."
	f.Verdict = good
	if c["ReasmFails"]*100 > c["ReasmReqds"] {
		f.Verdict = note
		f.Command = "ss -u -a"
		f.Effect = "Find the program that sends datagrams larger than the path MTU, and make it send smaller ones."
	}
	return f
}

// Values of IP_MTU_DISCOVER.
var pmtuModes = map[int]string{
	0: "IP_PMTUDISC_DONT", 1: "IP_PMTUDISC_WANT", 2: "IP_PMTUDISC_DO", 3: "IP_PMTUDISC_PROBE", 4: "IP_PMTUDISC_INTERFACE", 5: "IP_PMTUDISC_OMIT",
}

func pathMTU(m *machine) finding {
	f := finding{Name: "path MTU", Source: "ip(7), IP_MTU_DISCOVER; " + sysctlIP + "; RFC 8899"}
	n, ok := m.sysctl("net.ipv4.ip_no_pmtu_disc")
	if !ok {
		return hidden(f)
	}
	f.Value, f.Verdict = fmt.Sprintf("net.ipv4.ip_no_pmtu_disc=%d", n), good
	f.Why = "This is the default for sockets that do not choose. Sockets of Lazo choose IP_PMTUDISC_PROBE: their packets have DF, and may be " +
		"longer than the kernel's path MTU. Lazo probes by itself. It does not trust ICMP messages, because they can be forged."
	if t := m.tried; t != nil {
		f.Value += "; a socket of Lazo has " + cmp.Or(pmtuModes[t.pmtu], fmt.Sprint(t.pmtu))
		if t.pmtuErr != nil {
			f.Value = fmt.Sprintf("net.ipv4.ip_no_pmtu_disc=%d; a socket of Lazo: %v", n, t.pmtuErr)
			f.Verdict = note
		}
	}
	if n != 0 {
		f.Verdict = note
		f.Effect = "This concerns other programs only. Those that do not choose send without DF."
		f.Command = "sysctl -w net.ipv4.ip_no_pmtu_disc=0"
	}
	return f
}

func connectionTracking(m *machine) finding {
	f := finding{Name: "connection tracking", Source: "Documentation/networking/nf_conntrack-sysctl.rst of the kernel"}
	const dir = "net.netfilter.nf_conntrack_"
	count, ok := m.sysctl(dir + "count")
	limit, known := m.sysctl(dir + "max")
	f.Why = "A firewall with state, or NAT, has an entry for each pair of addresses. When the table is full, packets of new clients are dropped. " +
		"Behind NAT, a connection breaks if its entry times out first."
	if !ok || !known {
		f.Value, f.Verdict = "not loaded, or not shown here", good
		return f
	}
	idle, timed := m.sysctl(dir + "udp_timeout_stream")
	f.Value = fmt.Sprintf("%d of %d entries in use", count, limit)
	if timed {
		f.Value += fmt.Sprintf(", idle ones time out after %d s", idle)
	}
	f.Verdict = good
	var settings []setting
	if count*4 > limit*3 {
		settings = append(settings, setting{dir + "max", fmt.Sprint(2 * limit)})
	}
	if timed && idle < 60 {
		settings = append(settings, setting{dir + "udp_timeout_stream", "120"})
	}
	if settings != nil {
		f.advise("New clients get in, and quiet connections last. A server that needs no NAT can exempt its port instead: "+
			"iptables -t raw -A PREROUTING -p udp --dport 443 -j NOTRACK.", settings...)
	}
	return f
}
