package main

import (
	"encoding/binary"
	"errors"
)

// An observer counts what anybody on the path can read of one direction of one connection. IP
// headers do not count: they are the same for both protocols.
type observer struct {
	packets, bytes int // of IP packets, with their headers
	clear          int // bytes that are sent in the clear
	// bytes encrypted with keys that everybody can compute (RFC 9001, Section 5.2)
	initial int

	connIDs *[2]int // lengths of the connection IDs that the two sides have chosen; of QUIC
	dir     int     // which of them is of the sender
	tls     recordReader
}

// errOdd is the error of packets that no client and server of this program send.
var errOdd = errors.New("cost: a packet that is not understood")

// Numbers of protocols.
const (
	tcp = 6
	udp = 17
)

// packet counts an IPv4 packet.
func (o *observer) packet(p []byte) error {
	if len(p) < 20 || p[0]>>4 != 4 || len(p) < int(p[0]&15)*4 {
		return errOdd
	}
	o.packets, o.bytes = o.packets+1, o.bytes+len(p)
	body := p[int(p[0]&15)*4:]
	switch p[9] {
	case tcp:
		return o.segment(body)
	case udp:
		if len(body) < 8 {
			return errOdd
		}
		o.clear += 8
		return o.datagram(body[8:])
	}
	return errOdd
}

// segment counts a segment of TCP.
func (o *observer) segment(b []byte) error {
	if len(b) < 20 || len(b) < int(b[12]>>4)*4 {
		return errOdd
	}
	n := int(b[12]>>4) * 4
	o.clear += n
	seq := binary.BigEndian.Uint32(b[4:])
	const syn = 2
	if b[13]&syn != 0 {
		seq++ // SYN takes a number
		o.tls = recordReader{next: seq}
	}
	o.clear += o.tls.read(seq, b[n:])
	return nil
}

// A recordReader finds what is in the clear of TLS over TCP: headers of records, and records before
// there are keys (RFC 8446, Section 5.1).
type recordReader struct {
	next   uint32 // the sequence number that comes next
	header []byte // of the record that comes, as far as it has come
	left   int    // bytes of the record that are to come
}

// What stands before a record.
const (
	recordHeader    = 5
	applicationData = 23 // the type of all encrypted records
)

// read returns how many bytes of b, which begins at seq, are in the clear. It passes over what has
// been sent again.
func (r *recordReader) read(seq uint32, b []byte) (clear int) {
	if old := int32(r.next - seq); old > 0 {
		b = b[min(int(old), len(b)):]
	}
	r.next += uint32(len(b))
	for len(b) > 0 {
		n := 0
		if r.left == 0 {
			n = min(len(b), recordHeader-len(r.header))
			if r.header = append(r.header, b[:n]...); len(r.header) == recordHeader {
				r.left = int(binary.BigEndian.Uint16(r.header[3:]))
			}
			clear += n
		} else {
			n = min(len(b), r.left)
			if r.header[0] != applicationData {
				clear += n
			}
			r.left -= n
		}
		if b = b[n:]; r.left == 0 && len(r.header) == recordHeader {
			r.header = r.header[:0]
		}
	}
	return clear
}

// datagram counts the QUIC packets of a datagram (RFC 9000, Section 17).
func (o *observer) datagram(b []byte) error {
	for len(b) > 0 {
		if b[0]&0x80 == 0 {
			n := 1 + o.connIDs[1-o.dir]
			if len(b) < n {
				return errOdd
			}
			o.clear += n
			return nil
		}
		n, err := o.long(b)
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// long counts the packet with a long header at the start of b, and returns its length.
func (o *observer) long(b []byte) (int, error) {
	const version1 = 1
	if len(b) < 7 || binary.BigEndian.Uint32(b[1:]) != version1 {
		return 0, errOdd
	}
	at := 5
	for range 2 { // the destination and the source
		if at >= len(b) {
			return 0, errOdd
		}
		o.connIDs[o.dir] = int(b[at]) // that of the source stays
		at += 1 + int(b[at])
	}
	kind := b[0] >> 4 & 3
	if kind == initialPacket {
		n, err := number(b, &at)
		if err != nil || n > len(b)-at {
			return 0, errOdd
		}
		at += n
	}
	n, err := number(b, &at)
	if err != nil || n > len(b)-at || kind == retryPacket {
		return 0, errOdd
	}
	o.clear += at
	if kind == initialPacket {
		o.initial += n
	}
	return at + n, nil
}

// Types of packets with a long header (RFC 9000, Section 17.2).
const (
	initialPacket = 0
	retryPacket   = 3
)

// number reads a variable-length integer (RFC 9000, Section 16).
func number(b []byte, at *int) (int, error) {
	if *at >= len(b) || len(b)-*at < 1<<(b[*at]>>6) {
		return 0, errOdd
	}
	n := 1 << (b[*at] >> 6)
	v := uint64(b[*at] & 0x3f)
	for _, x := range b[*at+1 : *at+n] {
		v = v<<8 | uint64(x)
	}
	*at += n
	return int(min(v, 1<<30)), nil
}
