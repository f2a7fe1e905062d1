package main

import (
	"errors"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// openLoop is work that starts at set times, whether or not the work before it has ended. A time is
// measured from the moment at which work should have started. So a server that stands still makes
// all work late that falls into this moment, as it would with users who know nothing of each other.
// The gaps are random (a Poisson process), and the same in each run.
type openLoop struct {
	rate float64
	work func() error

	wg     sync.WaitGroup
	failed atomic.Int64

	mu    sync.Mutex
	times histogram // of work that did not fail
	late  histogram // of starts: how much of the times is this program's own
	err   error     // the first
}

// run starts work until so much time has passed. It returns how often, and how much of it ended
// well in that time. Then wait waits for the rest.
func (p *openLoop) run(d time.Duration) (started, ended int64, err error) {
	a, err := newAlarm()
	if err != nil {
		return 0, 0, err
	}
	defer a.close()
	gaps := rand.New(rand.NewPCG(1, uint64(p.rate)))
	begin := time.Now()
	var at time.Duration
	var good atomic.Int64
	for ; ; started++ {
		at += time.Duration(gaps.ExpFloat64() / p.rate * 1e9)
		if at > d {
			break
		}
		due := begin.Add(at)
		if err := a.wait(due); err != nil {
			return started, good.Load(), err
		}
		p.late.add(time.Since(due))
		p.wg.Add(1)
		go func() {
			defer p.wg.Done()
			err := p.work()
			if p.note(time.Since(due), err); err == nil {
				good.Add(1)
			}
		}()
	}
	err = a.wait(begin.Add(d))
	return started, good.Load(), err
}

func (p *openLoop) note(took time.Duration, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.failed.Add(1)
		if p.err == nil {
			p.err = err
		}
		return
	}
	p.times.add(took)
}

func (p *openLoop) wait() { p.wg.Wait() }

// requests returns the open loop of requests on random ones of the connections.
func (c *client) requests(rate float64, on []session) *openLoop {
	var mu sync.Mutex
	which := rand.New(rand.NewPCG(2, 0))
	return &openLoop{rate: rate, work: func() error {
		mu.Lock()
		s := on[which.IntN(len(on))]
		mu.Unlock()
		return s.exchange(1, 1, c.o.small(), 0)
	}}
}

// activeOpen measures requests at a set rate, on random ones of the connections.
func (c *client) activeOpen(all []session, before int64) error {
	p := c.requests(c.o.rate, all)
	serverBefore := cpuOfProcess(c.o.serverPID)
	c.meter.start()
	started, _, err := p.run(time.Duration(float64(c.o.ops) / c.o.rate * float64(time.Second)))
	p.wait()
	c.finish(started*c.o.small(), started)
	c.r["server_cpu"], c.r["conns"] = cpuOfProcess(c.o.serverPID)-serverBefore, len(all)
	p.times.addTo(c.r)
	c.r["late_p99_us"] = float64(p.late.quantile(.99)) / 1e3
	if c.o.serverPID > 0 {
		c.r["bytes_per_conn"] = float64(rss(strconv.Itoa(c.o.serverPID))-before) * 1024 / float64(len(all))
	}
	return errors.Join(err, p.err)
}

// mixed measures handshakes at a set rate, each with one exchange, and beside them requests at
// another rate on connections that were there before.
func (c *client) mixed() error {
	width := c.o.concurrency
	c.o.concurrency = 16
	first, err := c.dial()
	if err != nil {
		return err
	}
	first.close()
	all, err := c.dialMany(int64(c.o.conns))
	if err != nil {
		return err
	}
	c.o.concurrency = width
	time.Sleep(time.Second) // wait for the packets that follow the handshakes
	d := time.Duration(c.o.secs * float64(time.Second))
	hs := &openLoop{rate: c.o.rate, work: func() error {
		s, err := c.dial()
		if err == nil {
			s.close()
		}
		return err
	}}
	rq := c.requests(c.o.requestRate, all)
	stopWatch := c.watchServer()
	serverBefore := cpuOfProcess(c.o.serverPID)
	c.meter.start()
	var started, ended int64
	var hsErr error
	hsRun := make(chan struct{})
	go func() {
		defer close(hsRun)
		started, ended, hsErr = hs.run(d)
	}()
	n, _, err := rq.run(d)
	<-hsRun
	// before the work that is left
	c.r["server_cpu"] = cpuOfProcess(c.o.serverPID) - serverBefore
	c.finish(n*c.o.small(), n)
	rq.wait()
	hs.wait()
	stopWatch()
	rq.times.addTo(c.r)
	c.r["late_p99_us"] = float64(rq.late.quantile(.99)) / 1e3
	c.r["conns"], c.r["requests_failed"] = len(all), rq.failed.Load()
	c.r["handshakes"], c.r["handshakes_failed"] = started, hs.failed.Load()
	c.r["handshakes_s"] = float64(ended) / c.o.secs
	c.r["handshake_p50_us"] = float64(hs.times.quantile(.5)) / 1e3
	c.r["handshake_p99_us"] = float64(hs.times.quantile(.99)) / 1e3
	if hs.err != nil {
		c.r["handshake_error"] = hs.err.Error()
	}
	if rq.err != nil {
		c.r["request_error"] = rq.err.Error()
	}
	return errors.Join(err, hsErr)
}

// watchServer notes how much memory the server has at first, at most and at last, in KiB.
func (c *client) watchServer() (stop func()) {
	if c.o.serverPID == 0 {
		return func() {}
	}
	pid := strconv.Itoa(c.o.serverPID)
	before := rss(pid)
	end, ended := make(chan struct{}), make(chan struct{})
	most := before
	go func() {
		defer close(ended)
		t := time.NewTicker(50 * time.Millisecond)
		defer t.Stop()
		for {
			most = max(most, rss(pid))
			select {
			case <-end:
				return
			case <-t.C:
			}
		}
	}()
	return func() {
		close(end)
		<-ended
		c.r["rss_before_kb"], c.r["rss_most_kb"], c.r["rss_after_kb"] = before, most, rss(pid)
	}
}
