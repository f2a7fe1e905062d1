package main

import (
	"bytes"
	"encoding/json"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/lazoquic/lazo/internal/require"
)

// unpack makes the tree of a file of testdata in a new directory. There a line "-- NAME --" begins
// a file, and "-- NAME -> TARGET --" is a symbolic link. container.txt is a recording of a network
// namespace of Linux 6.18. The others are written by hand in the formats of the kernel: a tuned
// server, and a small ARM router without AES.
func unpack(t *testing.T, name string) (dir string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".txt"))
	require.NoError(t, err)
	dir = t.TempDir()
	var file string
	for line := range strings.Lines(string(text)) {
		head, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "-- ")
		if !ok {
			appendTo(t, file, line)
			continue
		}
		head = strings.TrimSuffix(head, " --")
		name, target, isLink := strings.Cut(head, " -> ")
		file = filepath.Join(dir, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
		if isLink {
			require.NoError(t, os.Symlink(target, file))
		} else {
			appendTo(t, file, "")
		}
	}
	return dir
}

func appendTo(t *testing.T, file, text string) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	require.NoError(t, err)
	_, err = f.WriteString(text)
	require.NoError(t, err)
	require.NoError(t, f.Close())
}

// recorded are the machines of testdata, with the value that each check finds.
var recorded = map[string]map[string]string{
	"container": {
		"receive buffer":                      "change net.core.rmem_max=4194304 (4.0 MiB)",
		"send buffer":                         "good net.core.wmem_max=4194304 (4.0 MiB)",
		"memory of all UDP sockets":           "unknown not shown",
		"GSO":                                 "unknown not tried",
		"GRO":                                 "unknown not tried",
		"queue in front of the network stack": "unknown not shown",
		"packets in one turn of the kernel":   "unknown not shown",
		"receive queues and RPS":              "note eth0 has 1, for 2 CPUs; RPS spreads to 0",
		"RFS":                                 "unknown not shown",
		"datagrams lost at sockets":           "change RcvbufErrors=497 (100.000 %), InDatagrams=0, SndbufErrors=0, MemErrors=0",
		"sockets that lost datagrams":         "note 1 of 3: 0.0.0.0:8443 of python3 (24196) lost 497",
		"connection tracking":                 "good 0 of 262144 entries in use, idle ones time out after 120 s",
		"open files":                          "change 1024 in this process, 1604 of 2470938 on the machine",
		"MTU":                                 "note 1440 on eth0",
		"fragments":                           "good 0 sent, 0 came, 0 not put together; 0 with DF were too long to forward",
		"path MTU":                            "good net.ipv4.ip_no_pmtu_disc=0",
		"CPU frequency":                       "unknown not shown",
		"busy polling":                        "unknown not shown",
		"AES instructions":                    "good AES yes, VAES yes",
	},
	"server": {
		"receive buffer":                      "good net.core.rmem_max=26214400 (25.0 MiB)",
		"send buffer":                         "good net.core.wmem_max=26214400 (25.0 MiB)",
		"memory of all UDP sockets":           "good 2041 pages in use, net.ipv4.udp_mem=3078045 4104062 6156090",
		"GSO":                                 "unknown not tried",
		"GRO":                                 "unknown not tried",
		"queue in front of the network stack": "good net.core.netdev_max_backlog=10000, 0 (0.000 %) dropped",
		"packets in one turn of the kernel":   "good net.core.netdev_budget=600 in 8000 µs, 33 (0.000 %) turns ended early",
		"receive queues and RPS":              "good ens1f0 has 8, for 8 CPUs; RPS spreads to 0",
		"RFS":                                 "good net.core.rps_sock_flow_entries=32768",
		"datagrams lost at sockets":           "note RcvbufErrors=15 (0.000 %), InDatagrams=8000000000, SndbufErrors=0, MemErrors=0",
		"sockets that lost datagrams":         "note 2 of 3: [::]:443 of edge (812) lost 12; [::]:443 of edge (813) lost 3",
		"connection tracking":                 "good not loaded, or not shown here",
		"open files":                          "good 1048576 in this process, 9056 of 9223372036854775807 on the machine",
		"MTU":                                 "note 9000 on ens1f0",
		"fragments":                           "good 0 sent, 0 came, 0 not put together; 1280 with DF were too long to forward",
		"path MTU":                            "good net.ipv4.ip_no_pmtu_disc=0",
		"CPU frequency":                       "good governor performance, driver amd-pstate-epp",
		"busy polling":                        "note net.core.busy_read=50, net.core.busy_poll=50 µs",
		"AES instructions":                    "good AES yes, VAES yes",
	},
	"arm": {
		"receive buffer":                      "change net.core.rmem_max=212992 (208 KiB)",
		"send buffer":                         "change net.core.wmem_max=212992 (208 KiB)",
		"memory of all UDP sockets":           "change 3200 pages in use, net.ipv4.udp_mem=2048 3000 4096",
		"GSO":                                 "unknown not tried",
		"GRO":                                 "unknown not tried",
		"queue in front of the network stack": "change net.core.netdev_max_backlog=1000, 16 (0.016 %) dropped",
		"packets in one turn of the kernel":   "change net.core.netdev_budget=300 in 8000 µs, 4096 (4.086 %) turns ended early",
		"receive queues and RPS":              "change eth0 has 1, for 4 CPUs; RPS spreads to 0",
		"RFS":                                 "good net.core.rps_sock_flow_entries=0",
		"datagrams lost at sockets":           "change RcvbufErrors=5000 (4.762 %), InDatagrams=100000, SndbufErrors=0, MemErrors=0",
		"sockets that lost datagrams":         "note 1 of 1: 192.168.1.1:53 of an unknown process lost 5000",
		"connection tracking":                 "change 7900 of 8192 entries in use, idle ones time out after 30 s",
		"open files":                          "change 1024 in this process, 91000 of 100000 on the machine",
		"MTU":                                 "change 1200 on eth0",
		"fragments":                           "note 20 sent, 200 came, 40 not put together; 3 with DF were too long to forward",
		"path MTU":                            "note net.ipv4.ip_no_pmtu_disc=1",
		"CPU frequency":                       "change governor powersave, driver cpufreq-dt",
		"busy polling":                        "good net.core.busy_read=0, net.core.busy_poll=0 µs",
		"AES instructions":                    "note AES no, VAES no",
	},
}

// check runs tune check on a tree, and returns its findings by name.
func check(t *testing.T, dir string, flags ...string) map[string]finding {
	t.Helper()
	var out bytes.Buffer
	args := append([]string{"check", "-json", "-root", dir}, flags...)
	require.NoError(t, run(t.Context(), args, strings.NewReader(""), &out))
	var r report
	require.NoError(t, json.Unmarshal(out.Bytes(), &r))
	all := make(map[string]finding)
	for _, f := range r.Findings {
		all[f.Name] = f
	}
	require.Len(t, all, len(r.Findings))
	return all
}

// TestCheck compares what check finds on recorded machines.
func TestCheck(t *testing.T) {
	for name, want := range recorded {
		t.Run(name, func(t *testing.T) {
			got := check(t, unpack(t, name))
			require.Len(t, got, len(want))
			for name, value := range want {
				f := got[name]
				require.Equal(t, value, string(f.Verdict)+" "+f.Value, "%s", name)
				require.NotEmpty(t, f.Why, "%s", name)
				require.NotEmpty(t, f.Source, "%s", name)
				if f.Verdict == change {
					require.NotEmpty(t, f.Command, "%s", name)
					require.NotEmpty(t, f.Effect, "%s", name)
				}
			}
		})
	}
}

// TestReceiveBufferNeed checks that the advice follows the rate and the pause, up to 25 MB.
func TestReceiveBufferNeed(t *testing.T) {
	dir := unpack(t, "arm")
	for _, test := range []struct{ rate, pause, want string }{
		{"100", "10ms", "4194304"},
		{"1000", "50ms", "6291456"},
		{"1000", "200ms", "25165824"},
		{"10000", "100ms", "26214400"},
	} {
		f := check(t, dir, "-rate", test.rate, "-pause", test.pause)["receive buffer"]
		require.Equal(t, []setting{{"net.core.rmem_max", test.want}}, f.Settings)
		require.Equal(t, "sysctl -w net.core.rmem_max="+test.want, f.Command)
	}
}

// TestText checks that the text has each finding, in lines of 100 columns but for commands.
func TestText(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"check", "-root", unpack(t, "arm")}, strings.NewReader(""), &out))
	text := out.String()
	require.True(t, strings.HasPrefix(text, "Interface eth0, at 1000 Mbit/s, with pauses of 10ms.\n"), "%s", text)
	for name := range recorded["arm"] {
		require.Contains(t, text, " "+name+": ")
	}
	require.Contains(t, text, "do: sysctl -w net.ipv4.udp_mem=\"4096 6000 8192\"\n")
	require.Contains(t, text, "do: for q in /sys/class/net/eth0/queues/rx-*; do echo f >$q/rps_cpus; done\n")
	require.True(t, strings.HasSuffix(text, "\n11 to change, 4 to note, 2 good, 2 unknown.\n"), "%s", text)
	for line := range strings.Lines(text) {
		require.True(t, len(line) <= 101 || line[0] != ' ' || strings.Contains(line, "do: "), "%s", line)
	}
}

// TestInterface chooses another interface, and one that is not there.
func TestInterface(t *testing.T) {
	dir := unpack(t, "arm")
	got := check(t, dir, "-interface", "wlan0")
	require.Equal(t, "1500 on wlan0", got["MTU"].Value)
	require.Equal(t, "wlan0 has 1, for 4 CPUs; RPS spreads to 4", got["receive queues and RPS"].Value)
	require.Equal(t, good, got["receive queues and RPS"].Verdict)
	for _, name := range []string{"eth9", "../net", "/"} {
		err := run(t.Context(), []string{"check", "-root", dir, "-interface", name}, strings.NewReader(""), io.Discard)
		require.ErrorContains(t, err, "there is no such interface")
	}
}

// TestBare checks that nothing is assumed where no file can be read.
func TestBare(t *testing.T) {
	for name, f := range check(t, t.TempDir()) {
		if name != "connection tracking" {
			require.Equal(t, unknown, f.Verdict, "%s", name)
		}
	}
}

func TestGrouped(t *testing.T) {
	require.Equal(t, "f", grouped("f"))
	require.Equal(t, "ffffffff", grouped("ffffffff"))
	require.Equal(t, "ff,ffffffff,ffffffff", grouped("ffffffffffffffffff"))
}

func TestCPUs(t *testing.T) {
	for text, want := range map[string]int{
		"": 1, "0": 1, "0-3": 4, "0-1,4,6-7": 5, "nonsense": 1, "3-1": 1, "0-99999999999": maxCPUs, "0-99999999999999999999": 1,
	} {
		dir := t.TempDir()
		require.NoError(t, os.MkdirAll(filepath.Join(dir, "sys/devices/system/cpu"), 0o755))
		appendTo(t, filepath.Join(dir, "sys/devices/system/cpu/online"), text)
		m := &machine{files: os.DirFS(dir)}
		require.Equal(t, want, m.cpus(), "%q", text)
	}
}

func TestSocketLines(t *testing.T) {
	for line, want := range map[string]udpSocket{
		" 2775: 0100007F:B39B 00000000:0000 07 00000000:00000A00 00:00000000 00000000     0        0 949011 2 00000000cfc1d6d9 7": {
			Local: "127.0.0.1:45979", Inode: 949011, Waiting: 2560, Drops: 7},
		"4012: B80D0120000000000000000001000000:9C41 0000000000000000FFFF00000100007F:01BB 01 00000000:00000000 00:00000000 00000000 997 0 71003 2 0 0": {
			Local: "[2001:db8::1]:40001", Remote: "[::ffff:127.0.0.1]:443", Inode: 71003},
	} {
		got, ok := parseSocket(line)
		require.True(t, ok)
		require.Equal(t, want, got)
	}
	for _, line := range []string{
		"", "sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops",
		"1: 0100007F 0 07 0:0 00:0 0 0 0 9 2 0 0", "1: 01007F:0001 0 07 0:0 00:0 0 0 0 9 2 0 0", "1: 0100007F:10000 0 07 0:0 00:0 0 0 0 9 2 0 0",
	} {
		_, ok := parseSocket(line)
		require.False(t, ok, "%q", line)
	}
}

// sameFS has a text in every file that the checks read.
func sameFS(text string) fstest.MapFS {
	files := make(fstest.MapFS)
	for _, name := range []string{
		"sys/net/core/rmem_max", "sys/net/core/wmem_max", "sys/net/core/netdev_max_backlog", "sys/net/core/netdev_budget",
		"sys/net/core/netdev_budget_usecs", "sys/net/core/rps_sock_flow_entries", "sys/net/core/busy_read", "sys/net/core/busy_poll",
		"sys/net/ipv4/udp_mem", "sys/net/ipv4/ip_no_pmtu_disc", "sys/net/netfilter/nf_conntrack_count", "sys/net/netfilter/nf_conntrack_max",
		"sys/net/netfilter/nf_conntrack_udp_timeout_stream", "sys/fs/file-nr", "net/route", "net/ipv6_route", "net/snmp", "net/snmp6",
		"net/sockstat", "net/softnet_stat", "net/udp", "net/udp6", "self/limits", "cpuinfo", "7/comm",
	} {
		files["proc/"+name] = &fstest.MapFile{Data: []byte(text)}
	}
	files["proc/7/fd/3"] = &fstest.MapFile{Data: []byte("socket:[5]"), Mode: fs.ModeSymlink}
	for _, name := range []string{
		"devices/system/cpu/online", "devices/system/cpu/cpu0/cpufreq/scaling_governor", "devices/system/cpu/cpu0/cpufreq/scaling_driver",
		"class/net/eth0/mtu", "class/net/eth0/speed", "class/net/eth0/queues/rx-0/rps_cpus",
	} {
		files["sys/"+name] = &fstest.MapFile{Data: []byte(text)}
	}
	return files
}

// FuzzCheck reads files with any content.
func FuzzCheck(f *testing.F) {
	f.Add("1 2 3\n")
	f.Add("Udp: InDatagrams\nUdp: 1\n")
	f.Add("0: 0100007F:0001 00000000:0000 07 0:0 0:0 0 0 0 5 2 0 9\n")
	f.Add("flags : aes\nUDP: mem 9223372036854775807\n9223372036854775807 0 9223372036854775807")
	f.Fuzz(func(t *testing.T, text string) {
		m := &machine{files: sameFS(text), iface: "eth0", rate: 1000, pause: time.Millisecond}
		m.defaultInterface()
		for _, finding := range findings(m) {
			if finding.Verdict == "" || finding.Value == "" || finding.Why == "" {
				t.Fatalf("%+v", finding)
			}
		}
	})
}
