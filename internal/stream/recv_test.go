package stream

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"
)

// recvSpace is how many bytes of a stream the model knows.
const recvSpace = 12 * ChunkSize

// A recvModel is a reassembly buffer that is too simple to be wrong.
type recvModel struct {
	data  [recvSpace]byte
	known [recvSpace]bool
	read  int
}

func (m *recvModel) write(off int, b []byte) {
	for i, c := range b {
		if at := off + i; at >= m.read && !m.known[at] {
			m.data[at], m.known[at] = c, true
		}
	}
}

// ready returns the bytes in order at the read offset.
func (m *recvModel) ready() []byte {
	end := m.read
	for end < recvSpace && m.known[end] {
		end++
	}
	return m.data[m.read:end]
}

// gapsAndChunks returns how many ranges lie behind the ready bytes, and how many
// chunks hold a byte that is yet to be read.
func (m *recvModel) gapsAndChunks() (gaps, chunks int) {
	end := m.read + len(m.ready())
	lastChunk := -1
	for i := m.read; i < recvSpace; i++ {
		if !m.known[i] {
			continue
		}
		if i > end && !m.known[i-1] {
			gaps++
		}
		if i/ChunkSize != lastChunk {
			lastChunk = i / ChunkSize
			chunks++
		}
	}
	return gaps, chunks
}

// A recvTest is a RecvBuffer along with its model.
type recvTest struct {
	*testing.T
	p Pool
	r RecvBuffer
	m recvModel
	n byte // makes every write differ
}

func (t *recvTest) check() {
	t.Helper()
	ready := t.m.ready()
	gaps, chunks := t.m.gapsAndChunks()
	if t.r.scratch != nil {
		chunks++
	}
	switch {
	case t.r.Offset() != uint64(t.m.read):
		t.Fatalf("Offset = %d, want %d", t.r.Offset(), t.m.read)
	case t.r.Ready() != len(ready):
		t.Fatalf("Ready = %d, want %d", t.r.Ready(), len(ready))
	case t.r.Gaps() != gaps:
		t.Fatalf("Gaps = %d, want %d", t.r.Gaps(), gaps)
	case t.r.Held() != chunks*ChunkSize:
		t.Fatalf("Held = %d, want %d chunks", t.r.Held(), chunks)
	case t.p.Used() != int64(t.r.Held()):
		t.Fatalf("Used = %d, Held = %d", t.p.Used(), t.r.Held())
	case chunks == 0 && t.r.chunks.slots != nil:
		t.Fatal("an empty buffer holds memory")
	}
}

func (t *recvTest) write(off, n int) {
	t.Helper()
	b := make([]byte, min(n, recvSpace-off))
	for i := range b {
		t.n += 7
		b[i] = t.n
	}
	t.r.Write(&t.p, uint64(off), b)
	t.m.write(off, b)
	clear(b) // it was lent
	t.check()
}

func (t *recvTest) peek(n int) []byte {
	t.Helper()
	got, ready := t.r.Peek(&t.p, n), t.m.ready()
	if !bytes.HasPrefix(ready, got) {
		t.Fatalf("Peek(%d) at %d returned %d wrong bytes", n, t.m.read, len(got))
	}
	if want := min(n, 1024, len(ready)); len(got) < want || len(ready) > 0 && len(got) == 0 {
		t.Fatalf("Peek(%d) returned %d of %d bytes", n, len(got), len(ready))
	}
	t.check()
	return got
}

func (t *recvTest) readBytes(n int) {
	t.Helper()
	b := make([]byte, n)
	got, ready := t.r.Read(&t.p, b), t.m.ready()
	if want := min(n, len(ready)); got != want || !bytes.Equal(b[:got], ready[:got]) {
		t.Fatalf("Read(%d) at %d returned %d bytes, want %d, or wrong ones", n, t.m.read, got, want)
	}
	t.m.read += got
	t.check()
}

func (t *recvTest) discard(n int) {
	t.Helper()
	t.r.Discard(&t.p, n)
	t.m.read += n
	t.check()
}

func (t *recvTest) take() {
	t.Helper()
	at, ready := t.m.read%ChunkSize, t.m.ready()
	want := at <= ChunkSize/2 && len(ready) >= ChunkSize-at
	c, from := t.r.Take(&t.p, new(Chunk))
	switch {
	case (c != nil) != want:
		t.Fatalf("Take at %d, %d ready: taken = %t", t.m.read, len(ready), c != nil)
	case want && (from != at || !bytes.Equal(c[from:], ready[:ChunkSize-at])):
		t.Fatalf("Take at %d returned wrong bytes from %d on", t.m.read, from)
	case want:
		t.m.read += ChunkSize - at
		clear(c[:])
	}
	t.check()
}

// step does one operation of which op, a and b tell everything.
func (t *recvTest) step(op byte, a, b uint16) {
	t.Helper()
	ready := len(t.m.ready())
	size := int(b) % 1500
	if b >= 0xf000 {
		size = int(b-0xf000) * 3 // up to three chunks
	}
	switch op % 8 {
	case 0, 1, 2: // in order or nearly
		t.write(min(t.m.read+ready+int(a%3)*(size/2), recvSpace), size)
	case 3: // anywhere
		t.write(int(a)%recvSpace, size)
	case 4:
		t.readBytes(size)
	case 5:
		t.discard(min(size, ready))
	case 6:
		t.discard(min(int(a)%(size+1), len(t.peek(size))))
	case 7:
		if a%2 == 0 {
			t.peek(size)
		} else {
			t.take()
		}
	}
	if t.m.read == recvSpace {
		t.reset()
	}
}

func (t *recvTest) reset() {
	t.Helper()
	t.r.Reset(&t.p)
	t.m = recvModel{}
	t.check()
}

func TestRecvModel(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	rt := &recvTest{T: t}
	for range 30 {
		for range 100 {
			rt.step(byte(rnd.Uint32()), uint16(rnd.Uint32()), uint16(rnd.Uint32()))
		}
		rt.reset()
	}
	if rt.p.Used() != 0 {
		t.Errorf("%d bytes of chunks are lost", rt.p.Used())
	}
}

func FuzzRecvBuffer(f *testing.F) {
	f.Add([]byte{0, 0, 0, 5, 0, 4, 0, 0, 5, 0})
	f.Add([]byte{3, 16, 0, 0, 1, 3, 32, 0, 0, 1, 0, 0, 0, 255, 255, 7, 0, 0, 4, 0, 4, 0, 0, 255, 255})
	f.Fuzz(func(t *testing.T, ops []byte) {
		rt := &recvTest{T: t}
		for n := 0; len(ops) >= 5 && n < 300; n, ops = n+1, ops[5:] {
			rt.step(ops[0], uint16(ops[1])<<8|uint16(ops[2]), uint16(ops[3])<<8|uint16(ops[4]))
		}
		rt.reset()
	})
}

func TestRecvKeepsFirstVersion(t *testing.T) {
	var p Pool
	var r RecvBuffer
	r.Write(&p, 4, []byte("AAA"))
	r.Write(&p, 10, []byte("BB"))
	r.Write(&p, 2, []byte("cccccccccccc"))
	r.Write(&p, 0, []byte("ddd"))
	r.Write(&p, 0, []byte("eeeeeeeeeeeeeeeee"))
	if got, want := string(r.Peek(&p, 99)), "ddccAAAcccBBcceee"; got != want {
		t.Fatalf("got %q, want %q", got, want)
	}
}

// TestRecvFarAhead writes one byte at the end of a window of 1 TiB.
func TestRecvFarAhead(t *testing.T) {
	var p Pool
	var r RecvBuffer
	r.Write(&p, 1<<40, []byte{1})
	if r.Held() != ChunkSize || cap(r.chunks.slots) > minSlots {
		t.Fatalf("one byte holds %d bytes and %d slots", r.Held(), cap(r.chunks.slots))
	}
	if r.Ready() != 0 || r.Gaps() != 1 || r.Peek(&p, 1) != nil || r.Read(&p, make([]byte, 1)) != 0 {
		t.Fatal("a byte far ahead is ready")
	}
	r.Reset(&p)
	if p.Used() != 0 || r.chunks.slots != nil {
		t.Fatal("Reset leaves memory")
	}
}

// TestRecvOneByteGaps receives every other byte from the end to the start, then the rest.
func TestRecvOneByteGaps(t *testing.T) {
	const size = 4 * ChunkSize
	var p Pool
	var r RecvBuffer
	for off := size - 1; off > 0; off -= 2 {
		r.Write(&p, uint64(off), []byte{byte(off % 251)})
	}
	if r.Gaps() != size/2 || r.Ready() != 0 || r.Held() != size {
		t.Fatalf("Gaps, Ready, Held = %d, %d, %d", r.Gaps(), r.Ready(), r.Held())
	}
	all := make([]byte, size)
	for i := range all {
		if all[i] = 0xff; i%2 == 0 {
			all[i] = byte(i % 251)
		}
	}
	r.Write(&p, 0, all)
	if r.Gaps() != 0 || r.Ready() != size {
		t.Fatalf("Gaps, Ready = %d, %d", r.Gaps(), r.Ready())
	}
	got := make([]byte, size)
	r.Read(&p, got)
	for i, c := range got {
		if c != byte(i%251) {
			t.Fatalf("byte %d is %d", i, c)
		}
	}
	if r.Held() != 0 || p.Used() != 0 {
		t.Fatalf("Held, Used = %d, %d at the end", r.Held(), p.Used())
	}
}

// TestRecvPeekStraddles peeks across a chunk boundary on two streams at a time.
func TestRecvPeekStraddles(t *testing.T) {
	var p Pool
	var r, other RecvBuffer
	data := pattern(0, 2*ChunkSize)
	for _, b := range []*RecvBuffer{&r, &other} {
		b.Write(&p, 0, data)
		b.Discard(&p, ChunkSize-100)
	}
	got := r.Peek(&p, 5000)
	if !bytes.Equal(got, data[ChunkSize-100:][:1024]) {
		t.Fatalf("Peek returned %d bytes, or wrong ones", len(got))
	}
	other.Discard(&p, 1)
	other.Peek(&p, 1024)
	other.Write(&p, 2*ChunkSize, make([]byte, 3*ChunkSize))
	if !bytes.Equal(got, data[ChunkSize-100:][:1024]) {
		t.Fatal("using another stream overwrote what Peek had returned")
	}
	if got := r.Peek(&p, 100); len(got) != 100 || &got[0] != &r.chunks.first()[ChunkSize-100] {
		t.Fatal("Peek copied what lies together")
	}
	held := r.Held()
	if r.Discard(&p, 200); r.Held() != held-2*ChunkSize {
		t.Fatalf("Held went from %d to %d", held, r.Held())
	}
}

func TestRecvDiscardPanics(t *testing.T) {
	for _, n := range []int{-1, 4} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("Discard(%d) of 3 bytes did not panic", n)
				}
			}()
			var p Pool
			var r RecvBuffer
			r.Write(&p, 0, []byte("abc"))
			r.Discard(&p, n)
		}()
	}
}

// pattern returns the n bytes at off of a stream that tells its offsets.
func pattern(off, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte((off + i) % 251)
	}
	return b
}

func TestRecvAllocs(t *testing.T) {
	var p Pool
	var r RecvBuffer
	packet := pattern(0, 1400)
	off := uint64(0)
	write := func(n int) {
		for range n {
			r.Write(&p, off, packet)
			off += 1400
		}
	}
	batch := func() { // all is read between batches
		write(45)
		for r.Ready() > 0 {
			r.Discard(&p, len(r.Peek(&p, 1024)))
		}
	}
	behind := func() { // the reader stays behind
		write(10)
		r.Discard(&p, 14000)
	}
	gap := func() { // a packet comes late
		r.Write(&p, off+1400, packet)
		r.Write(&p, off+4200, packet)
		r.Write(&p, off, packet)
		r.Write(&p, off+2800, packet)
		off += 5600
		r.Discard(&p, 5600)
	}
	batch()
	if n := testing.AllocsPerRun(500, batch); n != 0 {
		t.Errorf("reading all allocates %v times", n)
	}
	write(500)
	for range 500 {
		behind()
	}
	if n := testing.AllocsPerRun(500, behind); n != 0 {
		t.Errorf("reading behind allocates %v times", n)
	}
	gap()
	if n := testing.AllocsPerRun(500, gap); n != 0 {
		t.Errorf("filling gaps allocates %v times", n)
	}
}

// BenchmarkRecv is what one packet of 1,400 bytes costs when batches of 45 are read.
func BenchmarkRecv(b *testing.B) {
	var p Pool
	var r RecvBuffer
	packet := pattern(0, 1400)
	off := uint64(0)
	b.SetBytes(1400)
	for i := range b.N {
		r.Write(&p, off, packet)
		if off += 1400; i%45 == 44 {
			for r.Ready() > 0 {
				r.Discard(&p, len(r.Peek(&p, 1)))
			}
		}
	}
}

// BenchmarkRecvRead is BenchmarkRecv with a second copy, by Read.
func BenchmarkRecvRead(b *testing.B) {
	var p Pool
	var r RecvBuffer
	packet, buf := pattern(0, 1400), make([]byte, 16384)
	off := uint64(0)
	b.SetBytes(1400)
	for i := range b.N {
		r.Write(&p, off, packet)
		if off += 1400; i%45 == 44 {
			for r.Ready() > 0 {
				r.Read(&p, buf)
			}
		}
	}
}

// BenchmarkRecvReordered has every other packet come before the one in front of it.
func BenchmarkRecvReordered(b *testing.B) {
	var p Pool
	var r RecvBuffer
	packet := pattern(0, 1400)
	off := uint64(0)
	b.SetBytes(1400)
	for i := range b.N {
		if i%2 == 0 {
			r.Write(&p, off+1400, packet)
		} else {
			r.Write(&p, off, packet)
			off += 2800
			r.Discard(&p, 2800)
		}
	}
}

// BenchmarkRecvOneByteGaps is one byte of the worst case: 2,000 ranges, the first of
// which joins each time.
func BenchmarkRecvOneByteGaps(b *testing.B) {
	var p Pool
	var r RecvBuffer
	one := []byte{1}
	for i := range uint64(2000) {
		r.Write(&p, 2*i+1, one)
	}
	for i := range uint64(b.N) {
		r.Write(&p, 2*i, one)
		r.Write(&p, 2*(i+2000)+1, one)
		r.Discard(&p, 2)
	}
}
