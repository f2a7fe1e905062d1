package main

// A bug is a change of one line or a few that a programmer might make by mistake.
type bug struct {
	name     string
	file     string // from the root of the module
	old, new string // the text that is replaced, which the file has once
}

// bugs are planted one by one.
func bugs() []bug {
	return []bug{
		{"flow control of the connection is off by one", "conn/flow.go",
			"return f.sendMax - min(f.sent, f.sendMax)", "return f.sendMax + 1 - min(f.sent, f.sendMax)"},
		{"a FIN that is lost is not sent again", "conn/stream_state.go",
			"s.flags &^= flagFinSent", "s.flags &^= 0"},
		{"ranges that touch a gap of one are merged", "internal/rangeset/rangeset.go",
			"s.r[j].Start <= end {", "s.r[j].Start <= end+1 {"},
		{"the probe timer is not set again", "conn/conn_timer.go",
			"at, _ = c.ptoDeadline(now)", "if c.timeouts.count == 0 {\n\t\tat, _ = c.ptoDeadline(now)\n\t}"},
		{"RETIRE_CONNECTION_ID retires the ID behind it", "conn/conn_id.go",
			"c.routes.retireID(x.id, c.e.now.add(tidyAfter))",
			"c.routes.retireID(l.local.ids[(i+1)%len(l.local.ids)].id, c.e.now.add(tidyAfter))"},
		{"a late packet with the keys before an update is an error", "conn/conn_keys.go",
			"case pn < ph.firstRecv && ph.firstRecv != noneRecv:", "case false:"},
		{"the anti-amplification limit is off", "conn/path.go",
			"const amplification = 3", "const amplification = 1000"},
		{"the packet threshold for losses is 5", "conn/ledger.go",
			"int64(pn)+packetThreshold > s.largestAcked", "int64(pn)+packetThreshold+2 > s.largestAcked"},
		{"the final size of a reset counts what was not sent", "conn/stream_state.go",
			"s.resetCode, s.resetSize = code, s.out.Sent()", "s.resetCode, s.resetSize = code, s.out.End()"},
		{"a lost MAX_STREAMS is not sent again", "conn/conn_ack.go",
			"k.maxStreams[r.value&1], k.any = true, true", "k.any = true"},
		{"what a reset throws away gives no credit", "conn/stream_state.go",
			"s.c.consume(unread, true)", "s.c.consume(0, true)"},
		{"a 1-RTT packet that comes twice counts twice", "conn/conn_recv.go",
			"\"duplicate\")\n\t\treturn\n\t}\n\tif wire.Reserved", "\"duplicate\")\n\t}\n\tif wire.Reserved"},
		{"an ACK counts for the stream that took over the memory", "conn/conn_ack.go",
			"if s := r.stream; s.gen == r.gen {\n\t\t\ts.acked(", "if s := r.stream; true {\n\t\t\ts.acked("},
		{"a lost MAX_STREAM_DATA is not sent again", "conn/stream_state.go",
			"case kind == recMaxStreamData && s.flags", "case kind == recMaxStreamData && false && s.flags"},

		{"HTTP/3: nobody says that a stream takes more", "h3/stream_write.go",
			"s.wantWrite = false\n\t\ts.push(EventWritable)", "s.wantWrite = false"},
		{"HTTP/3: bytes that wait do not count", "h3/stream_write.go",
			"s.out = append(s.out, b...)\n\ts.account()\n\treturn nil", "s.out = append(s.out, b...)\n\treturn nil"},
		{"HTTP/3: bytes of joined frames are read twice", "h3/stream_body.go",
			"s.qs.Discard(len(b))\n\ts.left -= uint64(len(b))\n}\n\n// Discard", "s.qs.Discard(len(b) - len(b)/100)\n\ts.left -= uint64(len(b))\n}\n\n// Discard"},
		{"QPACK: more streams may be blocked than allowed", "internal/qpack/encoder.go",
			"if s.required > e.known && !e.atRisk(s.stream, i) {", "if s.required > e.known && !e.atRisk(s.stream, i) && e.maxBlocked == 0 {"},
		{"QPACK: an entry is evicted that a section refers to", "internal/qpack/encoder.go",
			"keep = min(keep, s.oldest)", "keep = min(keep, s.oldest+1)"},
	}
}
