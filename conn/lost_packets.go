package conn

import "time"

// lostPackets are those that were declared lost, by number, each with its records. They are
// forgotten after a while, and the oldest when there are many.
type lostPackets struct {
	ring[lostPacket]
	recs ring[record]
}

// add remembers a packet, whose records are in recs.
func (l *lostPackets) add(p *sentPacket, pn uint64, recs *ring[record]) *lostPacket {
	if l.len() == maxLost {
		l.pop()
	}
	x := l.push()
	*x = lostPacket{
		time: p.time, pn: pn, flight: p.flight, recStart: l.recs.tail, recCount: p.recCount, size: p.size, flags: p.flags,
	}
	for i := range uint32(p.recCount) {
		*l.recs.push() = *recs.at(p.recStart + i)
	}
	return x
}

func (l *lostPackets) pop() {
	dropRecords(&l.recs, l.recs.head+uint32(l.at(l.head).recCount))
	l.head++
}

// forget drops the oldest ones that have arrived, or were sent longer ago than memory.
func (l *lostPackets) forget(now instant, memory time.Duration) {
	for l.len() > 0 {
		if p := l.at(l.head); p.arrived == 0 && now.sub(p.time) <= memory {
			return
		}
		l.pop()
	}
}

// search returns the index of the first packet whose number is pn or more.
func (l *lostPackets) search(pn uint64) uint32 {
	lo, hi := 0, l.len()
	for lo < hi {
		if mid := (lo + hi) / 2; l.at(l.head+uint32(mid)).pn < pn {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return l.head + uint32(lo)
}

// missing returns the index of the first packet from i on that has not arrived. The next time it
// steps at once over the packets that it steps over now. So ACK frames that repeat themselves cost
// little.
func (l *lostPackets) missing(i uint32, steps *uint64) uint32 {
	end := i
	for end != l.tail && l.at(end).arrived != 0 {
		*steps++
		end += l.at(end).arrived
	}
	for i != end {
		p := l.at(i)
		i, p.arrived = i+p.arrived, end-i
	}
	return end
}
