package udpio

import (
	"net/netip"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	maxSegments = 64 // UDP_MAX_SEGMENTS of older kernels; newer kernels take 128

	// maxGSO is the largest size of a GSO message in bytes. The kernel takes 65,507. But a packet
	// with all its headers, Ethernet's included, must stay below 65,536, or the kernel segments it
	// in software.
	maxGSO = 65535 - 14 - 40 - 8

	maxRefused = 1024 // how many peers are remembered
)

// A gsoState is what WriteBatch knows of messages that have to be split.
type gsoState struct {
	// refused holds the peers to which a device has refused GSO.
	refused map[netip.AddrPort]struct{}

	// partial is a message that was sent in part before the socket was full. Its first sent bytes
	// have gone.
	partial Message
	sent    int
}

// isRefusal reports whether errno may mean that a message was refused only because of its segments.
// EIO and EINVAL come from devices without checksum offload and from old kernels.
func isRefusal(errno syscall.Errno) bool {
	return errno == unix.EIO || errno == unix.EINVAL || errno == unix.EMSGSIZE || errno == unix.ENOBUFS
}

// mustSplit reports whether p needs more than one message of the kernel for m.
func (g *gsoState) mustSplit(p *port, m *Message) bool {
	if m.SegmentSize <= 0 || m.SegmentSize >= len(m.Buf) {
		return false
	}
	if p.caps.MaxSegments == 1 || len(m.Buf) > maxGSO || len(m.Buf) > m.SegmentSize*maxSegments {
		return true
	}
	return g.isPartial(m) || g.isRefused(m.Remote)
}

func (g *gsoState) isRefused(remote netip.AddrPort) bool {
	if len(g.refused) == 0 {
		return false
	}
	_, ok := g.refused[remote]
	return ok
}

// remember makes later messages to remote go as single datagrams.
func (g *gsoState) remember(remote netip.AddrPort) {
	if len(g.refused) >= maxRefused {
		clear(g.refused) // the others are learned again
	}
	g.refused[remote] = struct{}{}
}

// isPartial reports whether m is the message that was sent in part.
func (g *gsoState) isPartial(m *Message) bool {
	return g.sent > 0 && len(m.Buf) == len(g.partial.Buf) && m.Remote == g.partial.Remote &&
		unsafe.SliceData(m.Buf) == unsafe.SliceData(g.partial.Buf)
}

// forgetPartial is called with the first message of a WriteBatch. A caller that continues begins
// with the message that was sent in part. If first is another one, that message is forgotten.
func (g *gsoState) forgetPartial(first *Message) {
	if g.sent > 0 && !g.isPartial(first) {
		g.partial, g.sent = Message{}, 0
	}
}

// writeParts sends m in several messages of the kernel. Each has as many segments as the kernel
// takes, or is a single datagram where there is no GSO. A refusal other than 0 is the reason why m
// was not sent whole. It returns 0 when all of m is sent.
func (s *sockets) writeParts(p *port, m *Message, refusal syscall.Errno) syscall.Errno {
	w := &s.writer
	segments := min(p.caps.MaxSegments, maxGSO/m.SegmentSize)
	if refusal != 0 || w.gso.isRefused(m.Remote) {
		segments = 1
	}
	off := 0
	if w.gso.isPartial(m) {
		off = w.gso.sent
	}
	w.gso.partial, w.gso.sent = Message{}, 0
	for off < len(m.Buf) {
		part := m.SegmentSize * max(segments, 1)
		n, errno := s.writeRow(p, m, m.Buf[off:], part)
		off = min(off+n*part, len(m.Buf))
		switch {
		case errno == 0 && (refusal == unix.EIO || refusal == unix.EINVAL):
			// It was sent without segments, so the segments were the reason.
			w.gso.remember(m.Remote)
			refusal = 0
		case errno == unix.EAGAIN && off > 0:
			w.gso.partial, w.gso.sent = *m, off
			return errno
		case isRefusal(errno) && segments > 1:
			refusal, segments = errno, 1
		case errno != 0:
			return errno
		}
	}
	if segments <= 1 {
		s.fallbacks.Add(1)
	}
	return 0
}

// writeRow sends b, which is datagrams of m, with one system call, in messages of part bytes each.
// It returns how many messages were sent, or why the first was not.
func (s *sockets) writeRow(p *port, m *Message, b []byte, part int) (int, syscall.Errno) {
	w := &s.writer
	n, most := 0, min((len(b)+part-1)/part, batchSize)
	w.vector.prepare(most)
	for ; n < most; n++ {
		piece := b[:min(part, len(b))]
		b = b[len(piece):]
		segmentSize := m.SegmentSize
		if segmentSize >= len(piece) {
			segmentSize = 0
		}
		if !w.vector.setWrite(n, p, m, piece, segmentSize, &w.zones) {
			return 0, unix.EAFNOSUPPORT
		}
	}
	return s.send(p, n)
}
