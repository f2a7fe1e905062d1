package main

import (
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
)

func governor(m *machine) finding {
	f := finding{Name: "CPU frequency", Source: "Documentation/admin-guide/pm/cpufreq.rst and intel_pstate.rst of the kernel"}
	files, _ := fs.Glob(m.files, "sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor")
	if len(files) == 0 {
		f.Value, f.Verdict = "not shown", unknown
		f.Why = "A virtual machine does not show the frequency. The host decides."
		return f
	}
	count := make(map[string]int)
	var names []string
	for _, file := range files {
		name, _ := m.text(file)
		if count[name]++; count[name] == 1 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	driver, _ := m.text("sys/devices/system/cpu/cpu0/cpufreq/scaling_driver")
	f.Value = fmt.Sprintf("governor %s, driver %s", strings.Join(names, " and "), driver)
	f.Why = "A CPU that slows down between bursts is slow for the first packets of each burst. A QUIC server encrypts every packet, and the CPU " +
		"sets the speed of that."
	f.Verdict = good
	f.Command = "cpupower frequency-set -g performance"
	f.Effect = "Bursts are answered at full speed from the first packet. The machine draws more power when it is idle."
	switch {
	case (driver == "intel_pstate" || driver == "amd-pstate-epp") && slices.Contains(names, "powersave"):
		f.Verdict = note // with these drivers powersave follows the load
	case slices.Contains(names, "powersave") || slices.Contains(names, "conservative"):
		f.Verdict = change
	default:
		f.Command, f.Effect = "", ""
	}
	return f
}

func busyPolling(m *machine) finding {
	f := finding{Name: "busy polling", Source: sysctlNet}
	read, ok := m.sysctl("net.core.busy_read")
	poll, known := m.sysctl("net.core.busy_poll")
	if !ok || !known {
		return hidden(f)
	}
	f.Value = fmt.Sprintf("net.core.busy_read=%d, net.core.busy_poll=%d µs", read, poll)
	f.Why = "With busy polling a program that waits asks the device again and again, and does not sleep until an interrupt. That saves microseconds " +
		"and costs a CPU. QUIC on a network with round trips of milliseconds gains nothing."
	f.Verdict = good
	if read != 0 || poll != 0 {
		f.Verdict = note
		f.Command = "sysctl -w net.core.busy_read=0 net.core.busy_poll=0"
		f.Effect = "Sockets no longer spend CPU time on waiting. Keep busy polling if microseconds count and a core can be spared."
	}
	return f
}

// cpuFlags returns what the CPUs can do, by the kernel's names: flags on x86, Features on ARM.
func (m *machine) cpuFlags() []string {
	for _, line := range m.lines("proc/cpuinfo") {
		name, value, _ := strings.Cut(line, ":")
		if name = strings.TrimSpace(name); name == "flags" || name == "Features" {
			return strings.Fields(value)
		}
	}
	return nil
}

func aes(m *machine) finding {
	f := finding{Name: "AES instructions", Source: "crypto/tls, defaultCipherSuitesTLS13; RFC 9001, Section 5.3"}
	flags := m.cpuFlags()
	if flags == nil {
		return hidden(f)
	}
	f.Why = "With AES and carry-less multiplication, AES-128-GCM is the fastest cipher. Without them ChaCha20-Poly1305 is the fastest, and " +
		"crypto/tls prefers it by itself. VAES encrypts several blocks at once. The standard library of Go does not use VAES."
	has := func(name string) bool { return slices.Contains(flags, name) }
	full := has("aes") && (has("pclmulqdq") || has("pmull") || has("msa"))
	f.Value = fmt.Sprintf("AES %s, VAES %s", yes(full), yes(has("vaes")))
	f.Verdict = good
	if !full {
		f.Verdict = note
		f.Effect = "There is nothing to set. Connections use ChaCha20-Poly1305 if the peer has it. The host of a virtual machine may hide the " +
			"instructions: give the machine the CPU model of the host."
	}
	return f
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func openFiles(m *machine) finding {
	f := finding{Name: "open files", Source: "getrlimit(2); proc_sys_fs(5)"}
	hard, ok := m.fileLimit()
	nr, known := m.numbers("proc/sys/fs/file-nr")
	if !ok || !known || len(nr) != 3 {
		return hidden(f)
	}
	f.Value = fmt.Sprintf("%s in this process, %d of %d on the machine", limitText(hard), nr[0], nr[2])
	f.Why = "Go raises the soft limit to the hard one by itself. A QUIC server needs a file for each loop, and none for each connection. A " +
		"proxy also needs one for each TCP connection."
	switch {
	case nr[0]*10 > nr[2]*9:
		f.advise("New files and sockets can be opened on the machine.", setting{"fs.file-max", fmt.Sprint(2 * nr[2])})
	case hard >= 0 && hard < 4096:
		f.Verdict, f.Command = change, "systemctl edit NAME   # [Service] LimitNOFILE=65536"
		f.Effect = "accept and dial do not fail with EMFILE. In a container, set the limit by an option of the runtime, such as --ulimit nofile=65536."
	case hard >= 0 && hard < 65536:
		f.Verdict = note
		f.Effect = "This is enough for QUIC. A proxy with many backends over TCP may need LimitNOFILE=65536."
	default:
		f.Verdict = good
	}
	return f
}

// fileLimit returns the hard limit of open files of this process, -1 if there is none.
func (m *machine) fileLimit() (hard int64, ok bool) {
	for _, line := range m.lines("proc/self/limits") {
		rest, found := strings.CutPrefix(line, "Max open files")
		f := strings.Fields(rest)
		if !found || len(f) < 2 {
			continue
		}
		if f[1] == "unlimited" {
			return -1, true
		}
		n, err := strconv.ParseInt(f[1], 10, 64)
		return n, err == nil
	}
	return 0, false
}

func limitText(n int64) string {
	if n < 0 {
		return "no limit"
	}
	return fmt.Sprint(n)
}
