package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/examples/internal/envlog"
	"github.com/lazoquic/lazo/loop"
)

// A server counts what its connections do.
type server struct {
	o     *options
	start time.Time
	done  chan struct{} // after options.exitAfterConns

	conns, closed, streams, sent, received atomic.Int64
	datagrams, datagramBytes, first, last  atomic.Int64
}

func runServer(o *options) error {
	cfg, err := o.serverConfig()
	if err != nil {
		return err
	}
	endKeys, err := envlog.Keys(cfg.TLS, slog.Default())
	if err != nil {
		return err
	}
	defer endKeys()
	stop, err := o.profile()
	if err != nil {
		return err
	}
	s := &server{o: o, start: time.Now(), done: make(chan struct{})}
	sv, err := s.serve(cfg)
	if err != nil {
		return err
	}
	var m meter
	m.start()
	fmt.Fprintf(os.Stderr, "ready %s pid %d gomaxprocs %d\n", sv.addr, os.Getpid(), runtime.GOMAXPROCS(0))
	gcs := s.wait()
	stop()
	r := newReport("server")
	m.stop(r)
	user, sys := cpuTime()
	r["cpu_user"], r["cpu_sys"], r["cpu"] = user, sys, user+sys
	var st loop.Stats
	if sv.group != nil {
		st, r["loop_pkts_recv"] = sv.group.Stats(), packetsOf(sv.group)
	}
	s.addTo(r, st)
	if gcs != nil {
		r["gc"] = gcs
	}
	sv.close()
	return r.print()
}

// A service is a server that listens.
type service struct {
	addr  netip.AddrPort
	close func() error
	group *loop.Group // nil over TCP
}

// serve serves in the way of options.api.
func (s *server) serve(cfg *conn.Config) (*service, error) {
	lc := &loop.Config{Endpoint: conn.EndpointConfig{Server: cfg}}
	switch s.o.api {
	case "handler":
		lc.NewHandler = s.newHandler
	case "http3", "http3shared":
		lc = s.http3(cfg)
	case "h3loop":
		lc = s.h3loop(cfg)
	case "http2":
		return s.serveHTTP2(cfg.TLS)
	case "tls":
		return s.serveTLS(cfg.TLS)
	}
	g, err := loop.Listen("udp", s.o.listen, s.o.loops, lc)
	if err != nil {
		return nil, err
	}
	if s.o.api == "stream" {
		go s.acceptConns(g)
	}
	return &service{addr: g.LocalAddr(), close: g.Close, group: g}, nil
}

// wait waits for the end, and collects garbage when it is asked to.
func (s *server) wait() (gcs []report) {
	sig := make(chan os.Signal, 4)
	signal.Notify(sig, os.Interrupt, syscall.SIGTERM, gcSignal)
	for {
		select {
		case <-s.done:
			return gcs
		case x := <-sig:
			if x != gcSignal {
				return gcs
			}
			gcs = append(gcs, s.collect())
		}
	}
}

// collect gives memory back to the system, and reports what remains.
func (s *server) collect() report {
	var before, after runtime.MemStats
	r := report{"rss_before_gc_kb": rss("self"), "conns": s.conns.Load()}
	runtime.ReadMemStats(&before)
	runtime.GC()
	debug.FreeOSMemory()
	runtime.ReadMemStats(&after)
	r["rss_kb"], r["goroutines"] = rss("self"), runtime.NumGoroutine()
	r["heap_alloc_before_gc"], r["heap_inuse_before_gc"] = before.HeapAlloc, before.HeapInuse
	r["heap_alloc"], r["heap_inuse"], r["heap_objects"] = after.HeapAlloc, after.HeapInuse, after.HeapObjects
	r["stack_inuse"], r["sys"] = after.StackInuse, after.Sys
	return r
}

// packetsOf returns how many packets each loop has received.
func packetsOf(g *loop.Group) (n []uint64) {
	for _, l := range g.Loops() {
		l.Do(context.Background(), func(time.Time) { n = append(n, l.Endpoint().Stats().PacketsReceived) })
	}
	return n
}

func (s *server) addTo(r report, st loop.Stats) {
	r["conns"], r["streams"] = s.conns.Load(), s.streams.Load()
	r["bytes_sent"], r["bytes_recv"] = s.sent.Load(), s.received.Load()
	r["dgrams"], r["dgram_bytes"] = s.datagrams.Load(), s.datagramBytes.Load()
	r["dgram_secs"] = float64(s.last.Load()-s.first.Load()) / 1e9
	r["pkts_sent"], r["pkts_recv"], r["pkts_lost"] = st.PacketsSent, st.PacketsReceived, st.PacketsLost
	r["wire_bytes_sent"], r["rss_kb"] = st.BytesSent, rss(strconv.Itoa(os.Getpid()))
	r["turns"], r["wakes"], r["slow_turns"], r["handed_over"] = st.Turns, st.Wakes, st.SlowTurns, st.HandedOver
	r["rxq_overflows"], r["gso_fallbacks"] = st.Socket.QueueOverflows, st.Socket.GSOFallbacks
	if st.PacketsSent > 0 {
		r["avg_pkt"] = float64(st.BytesSent) / float64(st.PacketsSent)
	}
}

// connClosed counts a connection that has ended.
func (s *server) connClosed() {
	if n := s.closed.Add(1); s.o.exitAfterConns > 0 && n == int64(s.o.exitAfterConns) {
		close(s.done)
	}
}

// datagram counts a received datagram of n bytes.
func (s *server) datagram(n int) {
	t := int64(time.Since(s.start))
	if s.datagrams.Add(1) == 1 {
		s.first.Store(t)
	}
	s.datagramBytes.Add(int64(n))
	s.last.Store(t)
}

// acceptConns serves connections on the blocking tier.
func (s *server) acceptConns(g *loop.Group) {
	for {
		c, err := g.Accept(context.Background())
		if err != nil {
			return
		}
		s.conns.Add(1)
		go s.serveConn(c)
	}
}
