package stream

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/memory"
)

// What may become of a byte.
const (
	unsent byte = iota
	inFlight
	lost
	acked
)

// A sendTest is a SendBuffer along with its model: the bytes written, and what
// became of each.
type sendTest struct {
	*testing.T
	p     Pool
	s     SendBuffer
	data  []byte
	state []byte
	apart []part // chunks that AppendLent kept, by their index
	loans []*loan
	cut   bool // TakeBack may have parted chunks of one loan
	n     byte // makes every write differ
}

// An owner says how memory is appended.
type owner int

const (
	pooled owner = iota // it is copied
	shared
	lent
)

// A part is a chunk of the writer.
type part struct {
	index int
	loan  *loan // nil if it is shared
}

// A loan is memory of one AppendLent. It is overwritten when its last use ends.
type loan struct {
	b    []byte
	uses int
}

func (l *loan) Lend() { l.uses++ }

func (l *loan) Return() {
	if l.uses--; l.uses == 0 {
		clear(l.b)
	}
}

// base returns the lowest offset that is not acknowledged.
func (t *sendTest) base() int {
	n := 0
	for n < len(t.state) && t.state[n] == acked {
		n++
	}
	return n
}

func (t *sendTest) sent() int {
	if n := bytes.IndexByte(t.state, unsent); n >= 0 {
		return n
	}
	return len(t.state)
}

func (t *sendTest) check() {
	t.Helper()
	base, sent, end := t.base(), t.sent(), len(t.data)
	chunks := 0
	if base < end {
		chunks = (end-1)/ChunkSize - base/ChunkSize + 1
		for _, x := range t.apart {
			if x.index >= base/ChunkSize {
				chunks--
			}
		}
	}
	firstLost := bytes.IndexByte(t.state, lost)
	nLost := 0
	for i := firstLost; firstLost >= 0 && i < end && t.state[i] == lost; i++ {
		nLost++
	}
	off, n := t.s.NextLost()
	switch {
	case t.s.End() != uint64(end) || t.s.Sent() != uint64(sent) || t.s.Unsent() != end-sent:
		t.Fatalf("End, Sent, Unsent = %d, %d, %d, want %d, %d, %d", t.s.End(), t.s.Sent(), t.s.Unsent(), end, sent, end-sent)
	case !t.s.Acked(uint64(base)) || t.s.Acked(uint64(base+1)):
		t.Fatalf("Acked is wrong at %d", base)
	case n != nLost || n > 0 && off != uint64(firstLost):
		t.Fatalf("NextLost = %d, %d, want %d, %d", off, n, firstLost, nLost)
	case t.s.Held() != chunks*ChunkSize || t.p.Used() != int64(t.s.Held()):
		t.Fatalf("Held, Used = %d, %d, want %d chunks", t.s.Held(), t.p.Used(), chunks)
	case base == end && t.s.chunks.slots != nil:
		t.Fatal("an empty buffer holds memory")
	}
	t.checkLoans(base / ChunkSize)
}

// checkLoans checks that each chunk of the writer from the index first on is one use.
func (t *sendTest) checkLoans(first int) {
	t.Helper()
	want, uses := 0, 0
	for _, x := range t.apart {
		if x.index >= first && x.loan != nil && len(t.data) > t.base() {
			want++
		}
	}
	for _, l := range t.loans {
		uses += l.uses
	}
	if uses != want {
		t.Fatalf("%d uses of lent memory, want %d", uses, want)
	}
	t.loans = slices.DeleteFunc(t.loans, func(l *loan) bool { return l.uses == 0 })
}

// append appends n bytes as the owner of their memory lets it.
func (t *sendTest) append(n int, o owner) {
	t.Helper()
	b := make([]byte, n)
	end := len(t.data)
	for i := range b {
		t.n += 7
		b[i] = t.n
	}
	t.data = append(t.data, b...)
	t.state = append(t.state, make([]byte, n)...)
	var l *loan
	switch o {
	case pooled:
		t.s.Append(&t.p, b)
		clear(b) // it was lent for the call
		t.check()
		return
	case shared:
		t.s.AppendLent(&t.p, b, memory.Forever{})
	case lent:
		l = &loan{b: b}
		t.loans = append(t.loans, l)
		t.s.AppendLent(&t.p, b, l)
	}
	first, last := (end+ChunkSize-1)/ChunkSize, (end+n)/ChunkSize
	for i := first; i < last; i++ {
		t.apart = append(t.apart, part{i, l})
	}
	if first < last { // the rest was lent for the call only
		clear(b[:first*ChunkSize-end])
		clear(b[last*ChunkSize-end:])
	} else {
		clear(b)
	}
	t.check()
}

// appendChunk appends a chunk, behind what makes End a multiple of ChunkSize.
func (t *sendTest) appendChunk() {
	t.Helper()
	if n := -len(t.data) & (ChunkSize - 1); n > 0 {
		t.append(n, pooled)
	}
	c := new(Chunk)
	for i := range c {
		t.n += 7
		c[i] = t.n
	}
	t.data = append(t.data, c[:]...)
	t.state = append(t.state, make([]byte, len(c))...)
	clear(t.s.AppendChunk(&t.p, c)[:])
	t.check()
}

// send sends the n bytes at off.
func (t *sendTest) send(off, n int) {
	t.Helper()
	b := make([]byte, n)
	t.s.CopyTo(b, uint64(off))
	if !bytes.Equal(b, t.data[off:off+n]) {
		t.Fatalf("CopyTo copied wrong bytes from [%d, %d)", off, off+n)
	}
	t.look(off, n)
	t.s.MarkSent(uint64(off), n)
	t.mark(off, n, unsent, inFlight)
	t.mark(off, n, lost, inFlight)
	t.check()
}

// look compares what a Piece shows of the n bytes at off. It has them all, with what is in front of
// them, if they lie in one chunk of a Pool or in chunks of one loan. It says whether they are
// shared.
func (t *sendTest) look(off, n int) {
	t.Helper()
	if n == 0 {
		return
	}
	const front = 10
	mem, at, shared := t.s.Piece(uint64(off), front)
	if k := min(len(mem)-at, len(t.data)-off); k <= 0 || !bytes.Equal(mem[at:at+k], t.data[off:off+k]) {
		t.Fatalf("Piece shows %d bytes that differ from those at %d", len(mem)-at, off)
	}
	var got []byte
	if !shared && at >= front && at+n <= len(mem) {
		got = mem[at-front : at+n]
	}
	if off < front {
		return
	}
	of := func(off int) part {
		for _, x := range t.apart {
			if x.index == off/ChunkSize {
				return x
			}
		}
		return part{index: -1}
	}
	first, last := of(off-front), of(off+n-1)
	switch here := of(off); {
	case (first.index >= 0 && first.loan == nil || here.index >= 0 && here.loan == nil) && got != nil:
		t.Fatalf("Piece shows [%d, %d), which is shared", off, off+n)
	case (off-front)/ChunkSize == (off+n-1)/ChunkSize && (here.index < 0 || here.loan != nil) && got == nil:
		t.Fatalf("Piece does not show [%d, %d) of one chunk", off, off+n)
	case first.loan != nil && first.loan == last.loan && (off-front)/ChunkSize >= t.base()/ChunkSize && !t.cut && got == nil:
		t.Fatalf("Piece does not show [%d, %d) of one loan", off, off+n)
	}
	if got != nil { // nobody else has these bytes
		saved := bytes.Clone(got[:front])
		clear(got[:front])
		copy(got, saved)
	}
}

// mark changes the state of the bytes of [off, off+n) that are in state from.
func (t *sendTest) mark(off, n int, from, to byte) {
	for i := off; i < off+n; i++ {
		if t.state[i] == from {
			t.state[i] = to
		}
	}
}

func (t *sendTest) ack(off, n int) {
	t.Helper()
	t.s.Ack(&t.p, uint64(off), n)
	t.mark(off, n, inFlight, acked)
	t.mark(off, n, lost, acked)
	t.check()
}

func (t *sendTest) lose(off, n int) {
	t.Helper()
	t.s.Lose(&t.p, uint64(off), n)
	t.mark(off, n, inFlight, lost)
	t.check()
}

// step does one operation of which op, a and b tell everything.
func (t *sendTest) step(op byte, a, b uint16) {
	t.Helper()
	base, sent, end := t.base(), t.sent(), len(t.data)
	size := int(b) % 1500
	if b >= 0xf000 {
		size = int(b-0xf000) * 3 // up to three chunks
	}
	at := base // somewhere in what was sent, or below
	if sent > 0 {
		at = int(a) % sent
	}
	switch op % 9 {
	case 0, 1:
		if a%3 == 0 {
			t.appendChunk()
		} else {
			t.append(size, [...]owner{pooled, lent, pooled, shared}[op%9+op/9%2*2])
		}
	case 2, 3:
		t.send(sent, min(size, end-sent))
	case 4: // in order
		t.ack(base, min(size, sent-base))
	case 5:
		t.ack(at, min(size, end-at))
	case 6:
		t.lose(at, min(size, end-at))
	case 7:
		if off, n := t.s.NextLost(); n > 0 {
			t.send(int(off), min(n, size))
		} else if bytes.IndexByte(t.state, acked) < 0 {
			t.s.Rewind()
			clear(t.state)
			t.check()
		}
	case 8:
		t.takeBack(size)
	}
	if end > 20*ChunkSize {
		t.reset()
	}
}

// takeBack takes back the last n bytes, as far as they are unsent.
func (t *sendTest) takeBack(n int) {
	t.Helper()
	want := min(n, len(t.data)-t.sent())
	if got := t.s.TakeBack(&t.p, n); got != want {
		t.Fatalf("TakeBack(%d) = %d, want %d", n, got, want)
	}
	end := len(t.data) - want
	t.data, t.state = t.data[:end], t.state[:end]
	// A chunk of the writer that is cut is copied.
	t.apart = slices.DeleteFunc(t.apart, func(x part) bool { return (x.index+1)*ChunkSize > end })
	t.cut = t.cut || want > 0
	t.check()
}

func (t *sendTest) reset() {
	t.Helper()
	t.s.Reset(&t.p)
	t.data, t.state, t.apart, t.cut = t.data[:0], t.state[:0], nil, false
	t.check()
}

func TestSendModel(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	st := &sendTest{T: t}
	for range 20 {
		for range 200 {
			st.step(byte(rnd.Uint32()), uint16(rnd.Uint32()), uint16(rnd.Uint32()))
		}
		st.reset()
	}
}

func FuzzSendBuffer(f *testing.F) {
	f.Add([]byte{0, 0, 0, 255, 255, 2, 0, 0, 255, 255, 6, 0, 10, 2, 0, 5, 0, 30, 1, 0, 7, 0, 0, 255, 0, 4, 0, 0, 255, 255})
	f.Add([]byte{0, 0, 0, 4, 0, 2, 0, 0, 4, 0, 7, 0, 0, 0, 0, 2, 0, 0, 4, 0, 4, 0, 0, 4, 0})
	f.Fuzz(func(t *testing.T, ops []byte) {
		st := &sendTest{T: t}
		for n := 0; len(ops) >= 5 && n < 300; n, ops = n+1, ops[5:] {
			st.step(ops[0], uint16(ops[1])<<8|uint16(ops[2]), uint16(ops[3])<<8|uint16(ops[4]))
		}
		st.reset()
	})
}

// TestSendAfterRewind acknowledges and loses what counts as unsent again.
func TestSendAfterRewind(t *testing.T) {
	st := &sendTest{T: t}
	st.append(5000, pooled)
	st.send(0, 1000)
	st.send(1000, 1000)
	st.lose(0, 1000)
	st.s.Rewind()
	clear(st.state)
	st.check()
	st.ack(0, 1000)
	st.lose(1000, 1000)
	st.ack(0, 2000)
	st.send(0, 5000)
	st.ack(0, 5000)
	if !st.s.Acked(5000) || st.p.Used() != 0 {
		t.Fatal("not everything is acknowledged")
	}
}

// TestSendSparseAcks acknowledges every other byte, then loses and resends the rest.
func TestSendSparseAcks(t *testing.T) {
	const size = 2 * ChunkSize
	var p Pool
	var s SendBuffer
	s.Append(&p, pattern(0, size))
	s.MarkSent(0, size)
	for off := uint64(1); off < size; off += 2 {
		s.Ack(&p, off, 1)
	}
	s.Lose(&p, 0, size)
	for off := uint64(0); off < size; off += 2 {
		if at, n := s.NextLost(); at != off || n != 1 {
			t.Fatalf("NextLost = %d, %d, want %d, 1", at, n, off)
		}
		s.MarkSent(off, 1)
	}
	if _, n := s.NextLost(); n != 0 || s.Held() != size {
		t.Fatalf("%d bytes are lost, %d held", n, s.Held())
	}
	for off := uint64(0); off < size; off += 2 {
		s.Ack(&p, off, 1)
	}
	if !s.Acked(size) || p.Used() != 0 {
		t.Fatalf("Acked = %v with %d bytes used", s.Acked(size), p.Used())
	}
}

func TestSendMarkSentPanics(t *testing.T) {
	for name, send := range map[string]func(*SendBuffer){
		"a gap":             func(s *SendBuffer) { s.MarkSent(1, 1) },
		"bytes not written": func(s *SendBuffer) { s.MarkSent(0, 4) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("sending %s did not panic", name)
				}
			}()
			var p Pool
			var s SendBuffer
			s.Append(&p, []byte("abc"))
			send(&s)
		}()
	}
}

func TestSendAllocs(t *testing.T) {
	var p Pool
	var s SendBuffer
	data, packet := pattern(0, 14000), make([]byte, 1400)
	send := func() {
		s.Append(&p, data)
		for s.Unsent() > 0 {
			off := s.Sent()
			s.CopyTo(packet, off)
			s.MarkSent(off, 1400)
		}
	}
	inOrder := func() {
		send()
		s.Ack(&p, s.base, 14000)
	}
	withLoss := func() { // the first two packets, and one in the middle
		send()
		off := s.Sent() - 14000
		s.Ack(&p, off+2800, 2800)
		s.Ack(&p, off+7000, 7000)
		s.Lose(&p, off, 2800)
		s.Lose(&p, off+5600, 1400)
		for at, n := s.NextLost(); n > 0; at, n = s.NextLost() {
			s.CopyTo(packet, at)
			s.MarkSent(at, 1400)
			s.Ack(&p, at, 1400)
		}
	}
	for name, f := range map[string]func(){"empty between": inOrder, "with loss": withLoss} {
		f()
		if n := testing.AllocsPerRun(500, f); n != 0 {
			t.Errorf("%s: sending allocates %v times", name, n)
		}
	}
	for range 100 { // a window of 1.4 MB in flight
		send()
	}
	for range 1000 {
		inOrder()
	}
	if n := testing.AllocsPerRun(1000, inOrder); n != 0 {
		t.Errorf("sending with a window allocates %v times", n)
	}
}

// benchmarkSend is what one packet of 1,400 bytes costs with a window of packets in
// flight, each ACK acknowledging 45.
func benchmarkSend(b *testing.B, window int) {
	var p Pool
	var s SendBuffer
	data, packet := pattern(0, 45*1400), make([]byte, 1400)
	acked := uint64(0)
	b.SetBytes(1400)
	for i := range b.N {
		if i%45 == 0 {
			s.Append(&p, data)
		}
		off := s.Sent()
		s.CopyTo(packet, off)
		s.MarkSent(off, 1400)
		if i >= window && i%45 == 44 {
			s.Ack(&p, acked, 45*1400)
			acked += 45 * 1400
		}
	}
}

func BenchmarkSend(b *testing.B)         { benchmarkSend(b, 0) }
func BenchmarkSendWindow2M(b *testing.B) { benchmarkSend(b, 1500) }
