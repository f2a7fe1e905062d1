package main

import (
	"fmt"
	"time"
)

// Sources of advice.
const (
	sysctlNet   = "Documentation/admin-guide/sysctl/net.rst of the kernel"
	sysctlIP    = "Documentation/networking/ip-sysctl.rst of the kernel"
	scaling     = "Documentation/networking/scaling.rst of the kernel"
	lazoSockets = "docs/sockets.md"
)

const (
	// wanted is the buffer that package udpio asks for, each way.
	wanted = 4 << 20
	// most is what many guides advise: 25 MB. More hides a program that does not read.
	most = 25 << 20
)

// inBytes writes a number of bytes.
func inBytes(n int64) string {
	switch {
	case n >= 1<<20:
		return fmt.Sprintf("%d (%.1f MiB)", n, float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%d (%d KiB)", n, n>>10)
	}
	return fmt.Sprint(n)
}

// needs returns the buffer for a pause, in whole MiB: at least what udpio asks for, and at most
// 25 MB.
func (m *machine) needs() int64 {
	n := int64(m.rate * 1e6 / 8 * m.pause.Seconds())
	n = (n + 1<<20 - 1) &^ (1<<20 - 1)
	return min(max(n, wanted), most)
}

// lasts returns how long a buffer has room for what comes while nobody reads.
func (m *machine) lasts(buffer int64) time.Duration {
	d := time.Duration(float64(buffer) * 8 / (m.rate * 1e6) * float64(time.Second))
	return d.Round(10 * time.Microsecond)
}

// hidden is the finding for a setting that cannot be read.
func hidden(f finding) finding {
	f.Value, f.Verdict = "not shown", unknown
	f.Why = "The kernel does not show this setting here. In a container, set it on the host."
	return f
}

func readBuffer(m *machine) finding {
	f := finding{Name: "receive buffer", Source: sysctlNet + "; " + lazoSockets}
	n, ok := m.sysctl("net.core.rmem_max")
	if !ok {
		return hidden(f)
	}
	need := m.needs()
	f.Value = "net.core.rmem_max=" + inBytes(n)
	f.Why = fmt.Sprintf("This is the most that a socket may ask for without a privilege, and Lazo asks for 4 MiB. The buffer holds datagrams "+
		"while the program does not read. At %[2]g Mbit/s of full datagrams it is full after %[1]v, and sooner with small ones. "+
		"Many guides advise 25 MB. That is for 200 ms at 1 Gbit/s. A program that does not pause for so long needs less, and "+
		"datagrams that wait come late.", m.lasts(n), m.rate)
	if n >= need {
		f.Verdict = good
		return f
	}
	effect := "Fewer datagrams are dropped while the program is busy: see RcvbufErrors below. Restart the program, because a socket " +
		"asks when it is opened."
	if need > wanted {
		effect += fmt.Sprintf(" Lazo also needs udpio.Config.ReadBuffer=%d.", need)
	}
	f.advise(effect, setting{"net.core.rmem_max", fmt.Sprint(need)})
	return f
}

func writeBuffer(m *machine) finding {
	f := finding{Name: "send buffer", Source: sysctlNet + "; " + lazoSockets}
	n, ok := m.sysctl("net.core.wmem_max")
	if !ok {
		return hidden(f)
	}
	f.Value = "net.core.wmem_max=" + inBytes(n)
	f.Why = "This is the most that a socket may ask for without a privilege, and Lazo asks for 4 MiB. The buffer holds datagrams that the " +
		"device has not sent yet. Nothing is lost when it is full: Lazo waits for room. So less can be enough. With 25 MB " +
		"datagrams only wait where the congestion controller does not see them."
	if n >= wanted {
		f.Verdict = good
		return f
	}
	f.advise("The loop waits for room less often when many connections send at once.", setting{"net.core.wmem_max", fmt.Sprint(wanted)})
	return f
}

// udpMemory looks at the bound of all UDP sockets together, in pages.
func udpMemory(m *machine) finding {
	f := finding{Name: "memory of all UDP sockets", Source: sysctlIP}
	limits, ok := m.numbers("proc/sys/net/ipv4/udp_mem")
	used, known := m.counter("proc/net/sockstat", "UDP:", "mem")
	if !ok || len(limits) != 3 || !known {
		return hidden(f)
	}
	f.Value = fmt.Sprintf("%d pages in use, net.ipv4.udp_mem=%d %d %d", used, limits[0], limits[1], limits[2])
	f.Why = "All UDP sockets of the machine share this bound, in pages. Above it datagrams are dropped, even where the buffer of the socket " +
		"has room. It is another reason for smaller buffers where there are many sockets."
	f.Verdict = good
	if used > limits[1] {
		f.advise("Sockets can use the buffers that they have.",
			setting{"net.ipv4.udp_mem", fmt.Sprintf("%d %d %d", 2*limits[0], 2*limits[1], 2*limits[2])})
	}
	return f
}
