package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/lazoquic/lazo/conn"
)

// A report is the line of JSON that a side prints.
type report map[string]any

func newReport(role string) report {
	return report{"impl": "lazo", "role": role, "mtu": 0, "gomaxprocs": runtime.GOMAXPROCS(0)}
}

func (r report) print() error {
	b, err := json.Marshal(r)
	if err == nil {
		fmt.Println(string(b))
	}
	return err
}

// A meter measures time, CPU and allocations between start and stop.
type meter struct {
	begin     time.Time
	user, sys float64
	mem       runtime.MemStats
}

func (m *meter) start() {
	runtime.ReadMemStats(&m.mem)
	m.user, m.sys = cpuTime()
	m.begin = time.Now()
}

// stop writes what was measured to r.
func (m *meter) stop(r report) (wall float64) {
	wall = time.Since(m.begin).Seconds()
	user, sys := cpuTime()
	user, sys = user-m.user, sys-m.sys
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	r["wall"], r["cpu_user"], r["cpu_sys"], r["cpu"] = wall, user, sys, user+sys
	r["mallocs"] = mem.Mallocs - m.mem.Mallocs
	r["alloc_bytes"] = mem.TotalAlloc - m.mem.TotalAlloc
	r["num_gc"] = mem.NumGC - m.mem.NumGC
	return wall
}

// addConn writes to r what a connection has counted between two snapshots.
func (r report) addConn(before, s conn.Stats) {
	sent, received := s.PacketsSent-before.PacketsSent, s.PacketsReceived-before.PacketsReceived
	r["pkts_sent"], r["pkts_recv"], r["lost"] = sent, received, s.PacketsLost-before.PacketsLost
	r["ptos"], r["dgrams_lost"] = s.PTOs-before.PTOs, s.DatagramsLost-before.DatagramsLost
	r["cwnd"], r["srtt_us"], r["mtu"] = s.CongestionWindow, float64(s.SmoothedRTT)/1e3, s.MTU
	if sent > 0 && received > 0 {
		r["avg_pkt_sent"] = float64(s.BytesSent-before.BytesSent) / float64(sent)
		r["avg_pkt_recv"] = float64(s.BytesReceived-before.BytesReceived) / float64(received)
	}
}

// rss returns the resident memory of a process in KiB; 0 where it cannot be told.
func rss(pid string) int64 {
	b, _ := os.ReadFile("/proc/" + pid + "/status")
	for line := range strings.SplitSeq(string(b), "\n") {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return n
		}
	}
	return 0
}
