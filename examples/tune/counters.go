package main

import (
	"fmt"
	"strconv"
	"strings"
)

// counter returns a counter of a file in which each line has a title, and then names and values in
// turn: proc/net/sockstat.
func (m *machine) counter(file, title, name string) (n int64, ok bool) {
	for _, line := range m.lines(file) {
		f := strings.Fields(line)
		if len(f) == 0 || f[0] != title {
			continue
		}
		for i := 1; i+1 < len(f); i += 2 {
			if f[i] == name {
				n, err := strconv.ParseInt(f[i+1], 10, 64)
				return n, err == nil
			}
		}
	}
	return 0, false
}

// snmp returns the counters of a protocol from proc/net/snmp, where a line of names stands before
// a line of values.
func (m *machine) snmp(protocol string) map[string]int64 {
	var names []string
	for _, line := range m.lines("proc/net/snmp") {
		title, rest, _ := strings.Cut(line, ":")
		if title != protocol {
			continue
		}
		fields := strings.Fields(rest)
		if names == nil {
			names = fields
			continue
		}
		counters := make(map[string]int64)
		for i, field := range fields {
			if n, err := strconv.ParseInt(field, 10, 64); err == nil && i < len(names) {
				counters[names[i]] = n
			}
		}
		return counters
	}
	return nil
}

// snmp6 returns the counters of proc/net/snmp6 that begin with a prefix, without it.
func (m *machine) snmp6(prefix string) map[string]int64 {
	counters := make(map[string]int64)
	for _, line := range m.lines("proc/net/snmp6") {
		f := strings.Fields(line)
		if len(f) != 2 {
			continue
		}
		if name, ok := strings.CutPrefix(f[0], prefix); ok {
			counters[name], _ = strconv.ParseInt(f[1], 10, 64)
		}
	}
	return counters
}

// udpCounters returns the counters of UDP over both versions of IP.
func (m *machine) udpCounters() (counters map[string]int64, ok bool) {
	counters = m.snmp("Udp")
	if counters == nil {
		return nil, false
	}
	for name, n := range m.snmp6("Udp6") {
		counters[name] += n
	}
	return counters, true
}

// share writes a count as a part of another.
func share(n, of int64) string {
	if of == 0 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%d (%.3f %%)", n, 100*float64(n)/float64(of))
}

func receiveErrors(m *machine) finding {
	f := finding{Name: "datagrams lost at sockets", Source: "Documentation/networking/snmp_counter.rst of the kernel; RFC 9002, Section 7"}
	c, ok := m.udpCounters()
	if !ok {
		return hidden(f)
	}
	lost, in := c["RcvbufErrors"], c["InDatagrams"]
	f.Value = fmt.Sprintf("RcvbufErrors=%s, InDatagrams=%d, SndbufErrors=%d, MemErrors=%d", share(lost, lost+in), in, c["SndbufErrors"], c["MemErrors"])
	f.Why = "RcvbufErrors counts the datagrams for which a socket had no room, since the network namespace was made. A sender takes each loss " +
		"for a sign of congestion, and slows down."
	switch {
	case lost == 0:
		f.Verdict = good
	case lost*10_000 <= in:
		f.Verdict = note
	default:
		f.Verdict = change
	}
	if lost > 0 {
		f.Command = "tune watch"
		f.Effect = "The command shows which process loses datagrams now. Give that process a larger buffer, more loops or a faster handler."
	}
	return f
}
