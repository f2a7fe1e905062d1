package main

import (
	"os"
	"runtime/metrics"

	lazo "github.com/lazoquic/lazo/metrics"
)

// processFamilies returns what the process holds, by the names that Prometheus's own clients use.
func processFamilies() (all []lazo.Family) {
	add := func(name, help string, value float64) {
		all = append(all, lazo.Family{Name: name, Help: help, Kind: lazo.Gauge, Samples: []lazo.Sample{{Value: value}}})
	}
	samples := []metrics.Sample{{Name: "/sched/goroutines:goroutines"}, {Name: "/gc/heap/live:bytes"}}
	metrics.Read(samples)
	add("go_goroutines", "Goroutines.", float64(samples[0].Value.Uint64()))
	add("go_gc_heap_live_bytes", "Bytes of the heap that the last garbage collection found in use.", float64(samples[1].Value.Uint64()))
	if open, err := os.ReadDir("/proc/self/fd"); err == nil { // on Linux
		directory := 1 // which is open while it is read
		add("process_open_fds", "Open file descriptors.", float64(len(open)-directory))
	}
	return all
}
