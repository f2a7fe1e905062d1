package conn

import (
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/keys"
	"github.com/lazoquic/lazo/internal/wire"
)

// mostInitial is how many bytes of an input FuzzServerInitial takes. Each two of them may be a
// datagram of 1,200 bytes that has to be sealed. More of the same finds nothing new.
const mostInitial = 200

// FuzzServerInitial sends datagrams to a server: any bytes, and packets of all kinds with valid
// protection. The server's TLS is a recorded one.
func FuzzServerInitial(f *testing.F) {
	f.Add([]byte{0, 0, 1, 0, 2, 0, 3, 0xf1})
	f.Add(append([]byte{4, 255, 255}, longHeader(0x1a2a3a4a, rawServerID, rawClientID, 1200)...))
	f.Add([]byte{0, 0, 1, 7, 2, 9, 5, 77, 0xff, 0, 0, 0xff})
	// to the end of the handshake, and 1-RTT packets
	f.Add([]byte{0, 0, 0, 0, 6, 0, 7, 1, 1, 0xf1, 7, 4, 8, 0, 0, 5, 1, 2, 3, 4, 5})
	// TLS takes its time
	f.Add([]byte{0, 0, 0x20, 0, 0x26, 0, 0x27, 1, 1, 0xf1, 0xf2, 0})
	r := recordTLS(f)
	initial, _ := keys.Initial(Version1, []byte(rawServerID))
	f.Fuzz(func(t *testing.T, data []byte) { playInitial(quickTB{t}, r, initial, data) })
}

// playInitial plays one input.
func playInitial(t testing.TB, r *recordedTLS, initial *keys.Keys, data []byte) {
	in := newFuzzInput(data[:min(len(data), mostInitial)])
	admit := []Admission{AdmissionAccept, AdmissionRetry, AdmissionRefuse, AdmissionIgnore}[int(in.Byte())%4]
	if in.Byte()&1 != 0 {
		admit = AdmissionAccept
	}
	s := &fuzzServer{playback: playback{recordedTLS: r}, in: in, initial: initial}
	s.lone = newLone(t, r.cfg, func(c *EndpointConfig) {
		c.Admit, c.Offload = func(AdmissionRequest) Admission { return admit }, s.offload
	})
	s.run(t, in, func(now time.Time, op byte) {
		s.Receive(now, Datagram{Data: s.datagram(op), Remote: elsewhere(int(op >> 6)), Local: s.addr, ECN: ECN(op & 3)})
		if op&0x20 == 0 {
			s.complete(s.Endpoint, now)
		}
	})
}

// A fuzzServer is a server, and the input that decides what its client sends.
type fuzzServer struct {
	*lone
	playback
	in      *fuzzInput
	initial *keys.Keys // the client's
	pn      uint64
}

// datagram makes the next datagram.
func (s *fuzzServer) datagram(op byte) []byte {
	in, hello := s.in, s.clientHello()
	p := rawPacket{typ: wire.TypeInitial, dcid: rawServerID, scid: rawClientID, pn: s.pn, size: minMTU, tx: s.initial}
	s.pn++
	switch op % 8 {
	case 0: // the ClientHello, or a part of it
		from := int(in.Byte()) % len(hello)
		p.frames = []frame{cryptoFrame(uint64(from), hello[from:])}
	case 1:
		p.frames = []frame{in.frame()}
	case 2:
		p.frames, p.token = []frame{cryptoFrame(0, hello)}, in.Bytes(int(in.Byte()))
	case 3:
		p.payload = in.Bytes(int(in.Byte()))
	case 4:
		return append([]byte(nil), in.Bytes(int(in.Byte())<<8|int(in.Byte()))...)
	case 5: // two packets in one datagram, a byte of which is changed
		p.frames, p.size = []frame{cryptoFrame(0, hello[:100])}, 0
		b := p.seal()
		p.typ, p.size = uint8(in.Byte()&3), minMTU-len(b)
		b = append(b, p.seal()...)
		b[int(in.Byte())%len(b)] ^= in.Byte()
		return b
	case 6: // the client's second flight, or any frame in its place
		p.typ, p.tx, p.size = wire.TypeHandshake, s.tx[spaceHandshake], 0
		if p.frames = []frame{cryptoFrame(0, s.clientFinished())}; in.Byte() != 0 {
			p.frames[0] = in.frame()
		}
	case 7:
		return s.oneRTT()
	}
	return p.seal()
}

// oneRTT makes a 1-RTT packet, to the connection ID that the server has chosen if there is one.
func (s *fuzzServer) oneRTT() []byte {
	p := testPacket{frames: []frame{s.in.frame()}, payload: s.in.Bytes(int(s.in.Byte()))}
	dcid := []byte(rawServerID)
	if s.first != nil && len(s.first.local.ids) > 0 {
		dcid = s.first.local.ids[0].id.bytes()
	}
	b := wire.AppendShort(nil, dcid, false, false, s.pn, 4)
	s.pn++
	return sealTestPacket(s.tx[spaceApp], b, p, 0, 1+len(dcid), 4, s.pn-1)
}
