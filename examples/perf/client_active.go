package main

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// dialMany makes n connections, some at a time.
func (c *client) dialMany(n int64) ([]session, error) {
	var mu sync.Mutex
	var all []session
	err := c.parallel(n, func() error {
		s, err := c.dial()
		if err == nil {
			mu.Lock()
			all = append(all, s)
			mu.Unlock()
		}
		return err
	})
	return all, err
}

// active measures requests of a few connections among many that rest. Each makes one request at a
// time. With -uniform all connections take turns, one request each.
func (c *client) active() error {
	width := max(c.o.concurrency, 1)
	c.o.concurrency = 16
	before := rss(strconv.Itoa(c.o.serverPID))
	all, err := c.dialMany(int64(c.o.conns) + int64(width))
	if err != nil {
		return err
	}
	time.Sleep(2 * time.Second) // wait for the packets that follow the handshakes
	if c.o.rate > 0 {
		return c.activeOpen(all, before)
	}
	var next, left atomic.Int64
	left.Store(int64(c.o.ops))
	serverBefore := cpuOfProcess(c.o.serverPID)
	c.meter.start()
	c.o.concurrency = width
	errs, times := make(chan error, width), make([]histogram, width)
	for i := range width {
		go func() {
			var err error
			for err == nil && left.Add(-1) >= 0 {
				s := all[i]
				if c.o.uniform {
					s = all[int(next.Add(1))%len(all)]
				}
				start := time.Now()
				err = s.exchange(1, 1, c.o.small(), 0)
				times[i].add(time.Since(start))
			}
			errs <- err
		}()
	}
	for range width {
		err = errors.Join(err, <-errs)
	}
	c.finish(int64(c.o.ops), int64(c.o.ops))
	for i := range times[1:] {
		times[0].merge(&times[i+1])
	}
	times[0].addTo(c.r)
	c.r["server_cpu"], c.r["conns"] = cpuOfProcess(c.o.serverPID)-serverBefore, len(all)
	return err
}

// cpuOfProcess returns the CPU seconds of a process, or 0 where the system does not tell.
func cpuOfProcess(pid int) float64 {
	b, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	_, rest, _ := strings.Cut(string(b), ") ") // the name may contain anything
	f := strings.Fields(rest)
	if len(f) < 13 {
		return 0
	}
	user, _ := strconv.ParseFloat(f[11], 64)
	system, _ := strconv.ParseFloat(f[12], 64)
	return (user + system) * clockTick
}
