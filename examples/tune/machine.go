package main

import (
	"io/fs"
	"math"
	"path"
	"strconv"
	"strings"
	"time"
)

// A machine is what the checks look at: a tree of files with proc and sys in it. A file that is not
// there is a setting that this kernel, or this container, does not show.
type machine struct {
	files fs.FS
	iface string        // "" if there is none
	rate  float64       // Mbit/s that programs receive at
	pause time.Duration // the longest in which a program does not read
	tried *offloads     // nil for the files of another machine
}

func (m *machine) has(name string) bool {
	_, err := fs.Stat(m.files, name)
	return err == nil
}

// text returns the content of a file, without space around it.
func (m *machine) text(name string) (s string, ok bool) {
	b, err := fs.ReadFile(m.files, name)
	return strings.TrimSpace(string(b)), err == nil
}

// lines returns the lines of a file, none if it is not there.
func (m *machine) lines(name string) []string {
	s, ok := m.text(name)
	if !ok || s == "" {
		return nil
	}
	return strings.Split(s, "\n")
}

// numbers returns the numbers in a file.
func (m *machine) numbers(name string) (ns []int64, ok bool) {
	s, ok := m.text(name)
	for field := range strings.FieldsSeq(s) {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return nil, false
		}
		ns = append(ns, n)
	}
	return ns, ok && len(ns) > 0
}

// number returns the number in a file that has one.
func (m *machine) number(name string) (n int64, ok bool) {
	ns, ok := m.numbers(name)
	if !ok || len(ns) != 1 {
		return 0, false
	}
	return ns[0], true
}

// sysctlFile returns the file of a key of sysctl.
func sysctlFile(key string) string { return "proc/sys/" + strings.ReplaceAll(key, ".", "/") }

// sysctl returns the number of a key of sysctl.
func (m *machine) sysctl(key string) (n int64, ok bool) { return m.number(sysctlFile(key)) }

// net returns the name of a file of the interface.
func (m *machine) net(name string) string { return path.Join("sys/class/net", m.iface, name) }

// defaultInterface returns the interface of the default route with the lowest metric, over IPv4 or
// else over IPv6.
func (m *machine) defaultInterface() (name string) {
	lowest := int64(math.MaxInt64)
	take := func(iface, metric string, base int) {
		if n, err := strconv.ParseInt(metric, base, 64); err == nil && n < lowest && iface != "lo" {
			name, lowest = iface, n
		}
	}
	for _, line := range m.lines("proc/net/route") {
		if f := strings.Fields(line); len(f) >= 8 && f[1] == "00000000" && f[7] == "00000000" {
			take(f[0], f[6], 10)
		}
	}
	if name != "" {
		return name
	}
	for _, line := range m.lines("proc/net/ipv6_route") {
		if f := strings.Fields(line); len(f) >= 10 && strings.Trim(f[0], "0") == "" && f[1] == "00" {
			take(f[9], f[5], 16)
		}
	}
	return name
}

// defaultSpeed is that of an interface that does not say, in Mbit/s, such as a virtual one.
const defaultSpeed = 1000

// speed returns the speed of the interface in Mbit/s.
func (m *machine) speed() float64 {
	if n, ok := m.number(m.net("speed")); ok && n > 0 {
		return float64(n)
	}
	return defaultSpeed
}

// maxCPUs is the most that Linux supports on any architecture.
const maxCPUs = 8192

// cpus returns how many CPUs are online, at least 1.
func (m *machine) cpus() (n int) {
	s, _ := m.text("sys/devices/system/cpu/online") // such as 0-3,6
	for part := range strings.SplitSeq(s, ",") {
		first, last, isRange := strings.Cut(part, "-")
		a, err := strconv.Atoi(first)
		if err != nil {
			continue
		}
		b := a
		if isRange {
			if b, err = strconv.Atoi(last); err != nil {
				continue
			}
		}
		n += max(b-a+1, 0)
	}
	return min(max(n, 1), maxCPUs)
}
