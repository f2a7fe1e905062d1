package main

import (
	"log/slog"
	"sync/atomic"
)

// counters count datagrams, unless they say otherwise.
type counters struct {
	picked   [reasons]atomic.Uint64 // from clients, by reason
	replies  atomic.Uint64
	strays   atomic.Uint64 // messages at a port that no flow has
	dropped  atomic.Uint64 // for want of a backend, a port or room
	tooBigs  atomic.Uint64 // ICMP messages
	evicted  atomic.Uint64 // flows that made room
	flowsNow atomic.Int64  // flows
}

// attrs sums counters up, for a log.
func attrs(fs []*forwarder) []slog.Attr {
	var sums [reasons + 6]uint64
	names := [...]string{
		"by_server_id", "by_orphan_id", "by_new_id", "by_flow", "by_client", // as the reasons
		"replies", "strays", "dropped", "too_big", "evicted", "flows",
	}
	for _, f := range fs {
		for i := range f.picked {
			sums[i] += f.picked[i].Load()
		}
		rest := sums[reasons:]
		for i, c := range []*atomic.Uint64{&f.replies, &f.strays, &f.dropped, &f.tooBigs, &f.evicted} {
			rest[i] += c.Load()
		}
		rest[5] += uint64(f.flowsNow.Load())
	}
	var as []slog.Attr
	for i, name := range names {
		as = append(as, slog.Uint64(name, sums[i]))
	}
	return as
}
