package qlog

import "time"

// Data moves between the application, this library and the network. Moves between the library and
// the network are the frames of packets.

// A StreamMove is data of a stream that the application wrote or read.
type StreamMove struct {
	ID, Offset uint64
	N          int
	Read       bool   // the application took it
	Info       string // FinSet, StreamReset or empty
}

// What else a StreamMove may say.
const (
	FinSet      = "fin_set"
	StreamReset = "stream_reset"
)

// StreamMoved writes that data of a stream moved.
func (w *Writer) StreamMoved(now time.Time, m StreamMove) {
	w.begin(now, streamDataMoved)
	w.uint("stream_id", m.ID)
	w.uint("offset", m.Offset)
	w.moved(m.Read)
	if m.Info != "" && w.format != V03 {
		w.str("additional_info", m.Info)
	}
	w.rawLength(m.N)
	w.finish()
}

// DatagramMoved writes that the application gave or took a datagram of n bytes.
func (w *Writer) DatagramMoved(now time.Time, read bool, n int) {
	if w.unnamed(datagramDataMoved) {
		return
	}
	w.begin(now, datagramDataMoved)
	w.moved(read)
	w.rawLength(n)
	w.finish()
}

// moved appends where data moved.
func (w *Writer) moved(read bool) {
	if read {
		w.str("from", "transport")
		w.str("to", "application")
	} else {
		w.str("from", "application")
		w.str("to", "transport")
	}
}

// rawLength appends a length without headers. Version 0.3 has it outside of "raw".
func (w *Writer) rawLength(n int) {
	if w.format == V03 {
		w.uint("length", uint64(n))
		return
	}
	w.open("raw")
	w.uint("length", uint64(n))
	w.end()
}

// ecnCodepoints are the names of the codepoints, as they stand in the IP header.
var ecnCodepoints = [...]string{"Not-ECT", "ECT(1)", "ECT(0)", "CE"}

// UDPSent writes that n bytes of datagrams were given to the socket, each of segment bytes but the
// last. All have one ECN codepoint.
func (w *Writer) UDPSent(now time.Time, n, segment int, ecn uint8) {
	w.begin(now, udpDatagramsSent)
	w.udp(n, segment, ecn)
}

// UDPReceived writes that a datagram of n bytes came from the socket.
func (w *Writer) UDPReceived(now time.Time, n int, ecn uint8) {
	w.begin(now, udpDatagramsReceived)
	w.udp(n, n, ecn)
}

func (w *Writer) udp(n, segment int, ecn uint8) {
	segment = max(min(segment, n), 1)
	count := (n + segment - 1) / segment
	w.uint("count", uint64(count))
	w.array("raw")
	for rest := n; rest > 0; rest -= segment {
		w.openElem()
		w.uint("length", uint64(min(rest, segment)))
		w.end()
	}
	w.endArray()
	if w.format != V03 {
		w.array("ecn")
		for range count {
			w.elem()
			w.quote(ecnCodepoints[ecn&3])
		}
		w.endArray()
	}
	w.finish()
}

// StreamLost writes that data of a stream will be sent again. fin says that the end of the stream
// will be, too.
func (w *Writer) StreamLost(now time.Time, id, offset uint64, n int, fin bool) {
	w.begin(now, markedForRetransmit)
	w.array("frames")
	w.openElem()
	w.frameType("stream")
	w.uint("stream_id", id)
	w.uint("offset", offset)
	if fin {
		w.bool("fin", true)
	}
	w.lostEnd(n)
}

// CryptoLost writes that data of the handshake will be sent again.
func (w *Writer) CryptoLost(now time.Time, offset uint64, n int) {
	w.begin(now, markedForRetransmit)
	w.array("frames")
	w.openElem()
	w.frameType("crypto")
	w.uint("offset", offset)
	w.lostEnd(n)
}

func (w *Writer) lostEnd(n int) {
	w.payloadLength(n)
	w.end()
	w.endArray()
	w.finish()
}
