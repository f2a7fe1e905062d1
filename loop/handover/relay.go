package handover

import (
	"encoding/binary"
	"errors"
	"net/netip"

	"github.com/lazoquic/lazo/conn"
)

// Datagrams travel between processes in messages of many records. A record is a run of datagrams of
// one size: the lengths of all parts, the ECN codepoint, both addresses, and the bytes.
const (
	recordHeader = 2 + 2 + 1 + 1 + 1 // segment size, length, ECN, lengths of the addresses

	// fullMessage is how long a message gets before the next one begins. The kernel takes less
	// memory for small ones, and a message that finds no room is lost as a whole.
	fullMessage = 32 << 10
	maxMessage  = 128 << 10 // with the longest record, whose datagram has 64 KiB
)

var errRecord = errors.New("handover: malformed message")

// A packer fills messages.
type packer struct{ b []byte }

// add appends the datagrams of d. It calls send whenever a message is full.
func (p *packer) add(d *conn.Datagram, send func(message []byte)) {
	size := d.SegmentSize
	if size <= 0 || size > len(d.Data) {
		size = len(d.Data)
	}
	if size == 0 {
		return
	}
	whole := max(fullMessage/size, 1) * size // of a record
	for b := d.Data; len(b) > 0; {
		n := min(whole, len(b))
		p.record(b[:n], size, d)
		b = b[n:]
		if len(p.b) >= fullMessage {
			p.flush(send)
		}
	}
}

// record appends one record.
func (p *packer) record(data []byte, size int, d *conn.Datagram) {
	at := len(p.b)
	p.b = append(p.b, make([]byte, recordHeader)...)
	p.b, _ = d.Remote.AppendBinary(p.b) // neither can fail
	remote := len(p.b) - at - recordHeader
	p.b, _ = d.Local.AppendBinary(p.b)
	local := len(p.b) - at - recordHeader - remote
	h := p.b[at:]
	binary.BigEndian.PutUint16(h, uint16(size))
	binary.BigEndian.PutUint16(h[2:], uint16(len(data)))
	h[4], h[5], h[6] = uint8(d.ECN), uint8(remote), uint8(local)
	p.b = append(p.b, data...)
}

// flush sends what is there.
func (p *packer) flush(send func(message []byte)) {
	if len(p.b) > 0 {
		send(p.b)
		p.b = p.b[:0]
	}
}

// next parses the first record of b. The datagrams alias b.
func next(b []byte) (d conn.Datagram, rest []byte, err error) {
	if len(b) < recordHeader {
		return d, nil, errRecord
	}
	size, n := int(binary.BigEndian.Uint16(b)), int(binary.BigEndian.Uint16(b[2:]))
	d.ECN = conn.ECN(b[4] & 3)
	remote, local := int(b[5]), int(b[6])
	b = b[recordHeader:]
	if len(b) < remote+local+n || n == 0 || size == 0 {
		return d, nil, errRecord
	}
	var from, to netip.AddrPort
	if from.UnmarshalBinary(b[:remote]) != nil || to.UnmarshalBinary(b[remote:remote+local]) != nil {
		return d, nil, errRecord
	}
	b = b[remote+local:]
	d.Data, d.Remote, d.Local = b[:n:n], from, to
	if size < n {
		d.SegmentSize = size
	}
	return d, b[n:], nil
}
