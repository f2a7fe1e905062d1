package main

import (
	"fmt"
	"time"
)

// offloads is what trying a machine has shown.
type offloads struct {
	gso     error // of sending a batch of datagrams through the interface in one call
	whole   bool  // the batch came back in one piece, to a socket with UDP_GRO
	gro     error // of setting UDP_GRO on a socket
	device  *bool // whether the device has GRO; nil if it does not say
	pmtu    int   // IP_MTU_DISCOVER of a socket of package udpio
	pmtuErr error
}

// tries of a batch: the smallest datagrams that QUIC needs room for (RFC 9000, Section 14).
const (
	segment  = 1200
	segments = 3
)

// trialWait is how long a batch may take to come back. It does not leave the machine.
const trialWait = time.Second

func untried(f finding) finding {
	f.Value, f.Verdict = "not tried", unknown
	f.Why = "Only a running machine can be tried, over an interface with an IPv4 address."
	return f
}

func sendOffload(m *machine) finding {
	f := finding{Name: "GSO", Source: "udp(7), UDP_SEGMENT; " + lazoSockets}
	if m.tried == nil {
		return untried(f)
	}
	f.Why = fmt.Sprintf("With GSO one call sends many datagrams, which go through the network stack together. This was tried with %d "+
		"datagrams in one call through %s. They went to a multicast group with a TTL of 0, so nothing left the machine.", segments, m.iface)
	if m.tried.gso == nil {
		f.Value, f.Verdict = fmt.Sprintf("%d datagrams in one call through %s", segments, m.iface), good
		return f
	}
	f.Value, f.Verdict = fmt.Sprintf("refused by %s: %v", m.iface, m.tried.gso), change
	f.Command = fmt.Sprintf("ethtool -K %s tx on", m.iface)
	f.Effect = "One system call sends up to 64 datagrams. Kernels before 6.11 refuse GSO if the device computes no checksums. All kernels " +
		"refuse it if the MTU is too small. Lazo then sends datagrams one by one, and counts GSOFallbacks."
	return f
}

func receiveOffload(m *machine) finding {
	f := finding{Name: "GRO", Source: "udp(7), UDP_GRO; " + lazoSockets}
	if m.tried == nil {
		return untried(f)
	}
	f.Why = "With GRO several datagrams of one flow go through the network stack together, and one call reads them. GRO needs an option of " +
		"the socket, which Lazo sets, and a device that has GRO on."
	t := m.tried
	switch {
	case t.gro != nil:
		f.Value, f.Verdict = fmt.Sprintf("the socket refuses it: %v", t.gro), note
		f.Effect = "Kernels since 5.0 have GRO for UDP sockets."
	case t.device != nil && !*t.device:
		f.Value, f.Verdict = "off on "+m.iface, change
		f.Command = fmt.Sprintf("ethtool -K %s gro on", m.iface)
		f.Effect = "Under load there are fewer and larger reads. A machine that only forwards packets needs GRO less."
	default:
		f.Value, f.Verdict = "on, for the socket and for "+m.iface, good
		if t.device == nil {
			f.Value = "on for the socket; " + m.iface + " does not say"
		}
		if t.gso == nil && !t.whole {
			f.Value += "; the batch came back in pieces"
		}
	}
	return f
}
