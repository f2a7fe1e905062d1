package metrics

import (
	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/loop"
)

// addGroup adds what the Loops count.
func (f *families) addGroup(s *loop.Stats) {
	f.addConnections(s)
	f.addPackets(s)
	f.addPaths(s)
	f.addStreams(s)
	f.addDatagrams(s)
	f.addMemory(s)
	f.addLoops(s)
}

func (f *families) addConnections(s *loop.Stats) {
	f.add("quic_connections", "Connections, by whether their handshake has ended.", Gauge,
		level(int64(s.Handshakes), "state", "handshake"), level(int64(s.Conns-s.Handshakes), "state", "established"))
	f.add("quic_connections_started_total", "Connections that clients dialed, and that servers accepted.", Counter,
		count(s.Dialed, "role", "client"), count(s.Accepted, "role", "server"))
	f.counter("quic_handshakes_completed_total", "Handshakes that completed.", s.Connected)
	f.add("quic_accepted_connections_total", "Accepted connections, by the token of their first packet.", Counter,
		count(s.Accepted-s.AcceptedRetry-s.AcceptedNewToken, "token", "none"), count(s.AcceptedRetry, "token", "retry"),
		count(s.AcceptedNewToken, "token", "new_token"))
	f.add("quic_rejected_connections_total", "First packets of clients that a server refused or ignored.", Counter,
		count(s.Refusals, "reason", "refused"), count(s.Ignored, "reason", "ignored"))
	f.counter("quic_retry_packets_sent_total", "Retry packets, which ask a client to prove its address.", s.Retries)
	f.counter("quic_version_negotiation_packets_sent_total", "Version Negotiation packets.", s.VersionNegotiations)
	f.counter("quic_stateless_resets_sent_total", "Stateless resets, for packets of unknown connections.", s.StatelessResetsSent)
	f.add("quic_ended_connections_total", "Connections that ended, by cause. See also quic_closed_connections_total.", Counter,
		count(s.ClosedLocally, "cause", "closed_locally"), count(s.ClosedByPeer, "cause", "closed_by_peer"),
		count(s.TransportErrors, "cause", "transport_error"), count(s.IdleTimeouts, "cause", "idle_timeout"),
		count(s.HandshakeTimeouts, "cause", "handshake_timeout"), count(s.StatelessResets, "cause", "stateless_reset"),
		count(s.Unreachable, "cause", "unreachable"))
	f.add("quic_early_data_connections_total", "Connections with 0-RTT data, by whether the server accepted the data.", Counter,
		count(s.EarlyDataAccepted, "result", "accepted"), count(s.EarlyDataRejected, "result", "rejected"))
	f.counter("quic_early_packets_kept_total", "0-RTT packets that were kept until the first packet of their connection came.", s.EarlyPacketsKept)
	f.counter("quic_migrations_total", "Connections that moved to another path.", s.PathChanges)
	f.counter("quic_key_updates_total", "Key updates, by either side.", s.KeyUpdates)
	f.counter("quic_suspicious_frames_total", "Frames of which an honest peer sends few.", s.SuspiciousFrames)
}

func (f *families) addPackets(s *loop.Stats) {
	f.counter("quic_sent_bytes_total", "Bytes of QUIC that were sent.", s.BytesSent)
	f.counter("quic_received_bytes_total", "Bytes of QUIC that were received.", s.BytesReceived)
	f.counter("quic_sent_packets_total", "Packets that were sent.", s.PacketsSent)
	f.counter("quic_received_packets_total", "Packets that were received and decrypted.", s.PacketsReceived)
	f.counter("quic_lost_packets_total", "Packets that were declared lost.", s.PacketsLost)
	f.counter("quic_lost_bytes_total", "Bytes of packets that were declared lost.", s.BytesLost)
	f.counter("quic_spuriously_lost_packets_total", "Packets that were declared lost although they had arrived.", s.SpuriousLosses)
	f.counter("quic_retransmitted_stream_bytes_total", "Bytes of streams that were sent again.", s.StreamBytesRetransmitted)
	f.counter("quic_probe_timeouts_total", "Probe timeouts, after nothing was acknowledged for a while.", s.PTOs)
	f.counter("quic_ecn_ce_marks_total", "Congestion marks (ECN-CE) that peers reported.", s.CEMarks)
	f.add("quic_dropped_packets_total", "Received packets that were dropped, by cause.", Counter,
		count(s.DroppedMalformed, "cause", "malformed"), count(s.DroppedUnroutable, "cause", "unroutable"),
		count(s.DroppedUndecryptable, "cause", "undecryptable"), count(s.DroppedDuplicate, "cause", "duplicate"),
		count(s.DroppedLimit, "cause", "limit"))
}

// addPaths adds the paths of connections with multipath.
func (f *families) addPaths(s *loop.Stats) {
	f.gauge("quic_paths", "Open paths of connections with multipath.", int64(s.Paths))
	f.counter("quic_paths_opened_total", "Paths that were opened besides the first ones.", s.PathsOpened)
	f.counter("quic_paths_abandoned_total", "Paths that either side abandoned.", s.PathsAbandoned)
	byPath := func(name, help string, pick func(*conn.PathTraffic) uint64) {
		f.add(name, help, Counter, count(pick(&s.FirstPaths), "path", "first"), count(pick(&s.OtherPaths), "path", "other"))
	}
	byPath("quic_path_sent_bytes_total", "Bytes that connections with multipath sent, by path.",
		func(t *conn.PathTraffic) uint64 { return t.BytesSent })
	byPath("quic_path_received_bytes_total", "Bytes that connections with multipath received, by path.",
		func(t *conn.PathTraffic) uint64 { return t.BytesReceived })
	byPath("quic_path_sent_packets_total", "Packets that connections with multipath sent, by path.",
		func(t *conn.PathTraffic) uint64 { return t.PacketsSent })
	byPath("quic_path_received_packets_total", "Packets that connections with multipath received, by path.",
		func(t *conn.PathTraffic) uint64 { return t.PacketsReceived })
	byPath("quic_path_lost_packets_total", "Packets of connections with multipath that were declared lost, by path.",
		func(t *conn.PathTraffic) uint64 { return t.PacketsLost })
}

func (f *families) addStreams(s *loop.Stats) {
	f.gauge("quic_streams", "Streams that have not ended.", int64(s.Streams))
	f.add("quic_streams_opened_total", "Streams that were opened, by which side.", Counter,
		count(s.StreamsOpened, "by", "local"), count(s.StreamsAccepted, "by", "peer"))
	f.add("quic_blocks_total", "Limits that held data back. Each counts once.", Counter,
		count(s.ConnBlocks, "limit", "connection_flow_control"), count(s.StreamBlocks, "limit", "stream_flow_control"),
		count(s.StreamLimitBlocks, "limit", "number_of_streams"), count(s.AmplificationBlocks, "limit", "amplification"))
}

func (f *families) addDatagrams(s *loop.Stats) {
	f.counter("quic_sent_datagrams_total", "DATAGRAM frames that were sent.", s.DatagramsSent)
	f.counter("quic_received_datagrams_total", "DATAGRAM frames that were received.", s.DatagramsReceived)
	f.counter("quic_acknowledged_datagrams_total", "DATAGRAM frames that were sent and acknowledged.", s.DatagramsAcked)
	f.counter("quic_lost_datagrams_total", "DATAGRAM frames that were sent and lost.", s.DatagramsLost)
	f.add("quic_dropped_datagrams_total", "Datagrams that were too old to be sent, or that nobody read in time.", Counter,
		count(s.DatagramsExpired, "cause", "age"), count(s.DatagramsDropped, "cause", "unread"))
}

func (f *families) addMemory(s *loop.Stats) {
	h := &s.HeldBy
	f.add("quic_memory_bytes", "Bytes that connections hold, by kind.", Gauge,
		level(h.Buffers, "kind", "buffers"), level(h.Conns, "kind", "connections"), level(h.Handshakes, "kind", "handshakes"),
		level(h.Streams, "kind", "streams"), level(h.Above, "kind", "above"), level(h.Packets, "kind", "packets"),
		level(h.EndedOrGaps, "kind", "ended_or_gaps"))
}

func (f *families) addLoops(s *loop.Stats) {
	f.counter("quic_loop_turns_total", "Turns of the loops.", s.Turns)
	f.counter("quic_loop_slow_turns_total", "Turns of the loops that took longer than 5 ms.", s.SlowTurns)
	f.counter("quic_loop_wakeups_total", "Times that other goroutines woke a loop.", s.Wakes)
	f.add("quic_loop_handovers_total", "Datagrams that came to the wrong loop.", Counter,
		count(s.HandedOver, "result", "delivered"), count(s.HandoverLost, "result", "lost"))
	f.counter("quic_socket_write_errors_total", "Messages that a socket refused to send.", s.WriteErrors)
	f.counter("quic_socket_queue_overflows_total", "Datagrams that the kernel dropped because its buffer was full.", s.Socket.QueueOverflows)
	f.counter("quic_socket_truncated_messages_total", "Messages that were dropped because they were longer than the buffer.", s.Socket.Truncated)
	f.counter("quic_socket_gso_fallbacks_total", "Messages that were sent datagram by datagram, because the device refuses GSO.", s.Socket.GSOFallbacks)
	f.add("quic_socket_buffer_bytes", "Sizes of the socket buffers that the kernel granted.", Gauge,
		level(int64(s.Socket.ReadBuffer), "direction", "read"), level(int64(s.Socket.WriteBuffer), "direction", "write"))
}

// addObservers adds what the Observers of Loops have counted.
func (f *families) addObservers(all []*loopObserver) {
	sum := func(pick func(*loopObserver) *meter) (h Histogram) {
		for _, o := range all {
			pick(o).addTo(&h)
		}
		return h
	}
	byRole := func(name, help string, pick func(*loopObserver, int) *meter) {
		var samples []Sample
		for role, label := range roles {
			h := sum(func(o *loopObserver) *meter { return pick(o, role) })
			samples = append(samples, Sample{Labels: labelsOf([]string{"role", label}), Histogram: &h})
		}
		f.add(name, help, Distribution, samples...)
	}
	byRole("quic_handshake_duration_seconds", "Time from the first packet to the end of the handshake.",
		func(o *loopObserver, role int) *meter { return &o.handshakes[role] })
	byRole("quic_connection_duration_seconds", "How long connections lasted.",
		func(o *loopObserver, role int) *meter { return &o.lifetimes[role] })
	f.histogram("quic_round_trip_seconds", "Samples of the round-trip time.", sum(func(o *loopObserver) *meter { return &o.rtt }))
	f.histogram("quic_loop_turn_duration_seconds", "How long turns of the loops took.", sum(func(o *loopObserver) *meter { return &o.turns }))
	f.histogram("quic_loop_lag_seconds", "How late loops handled timers that were due.", sum(func(o *loopObserver) *meter { return &o.late }))
	f.addClosed(all)
}

// addClosed adds why connections closed. Reasons that have not occurred are left out.
func (f *families) addClosed(all []*loopObserver) {
	var quic, http3 []Sample
	for role := range numRoles {
		for by := range numBy {
			for i, reason := range reasons {
				if n := total(all, func(o *loopObserver) uint64 { return o.closed[role][by][i].Load() }); n > 0 {
					quic = append(quic, count(n, "role", roles[role], "by", enders[by], "reason", reason))
				}
			}
			for i, code := range h3Codes {
				if n := total(all, func(o *loopObserver) uint64 { return o.h3Closed[role][by][i].Load() }); n > 0 {
					http3 = append(http3, count(n, "role", roles[role], "by", enders[by], "code", code))
				}
			}
		}
	}
	f.add("quic_closed_connections_total", "Connections that ended, by which side and why.", Counter, quic...)
	f.add("http3_closed_connections_total", "HTTP/3 connections that an application closed, by its code.", Counter, http3...)
}

func total(all []*loopObserver, pick func(*loopObserver) uint64) (n uint64) {
	for _, o := range all {
		n += pick(o)
	}
	return n
}
