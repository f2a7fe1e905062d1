package fifo

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// A stock is a Source that counts what it has lent.
type stock struct {
	size    int
	aligned bool
	free    *Chunk
	own     int // how many lent chunks have memory of their own
	lent    int // how many lent chunks have other memory
}

func (s *stock) Get(offset uint64) *Chunk {
	s.own++
	c := s.free
	if c == nil {
		c = &Chunk{Memory: make([]byte, s.size)}
	} else {
		s.free, c.Next = c.Next, nil
	}
	at := 0
	if s.aligned {
		at = int(offset % uint64(s.size))
	}
	c.Clear(at)
	return c
}

func (s *stock) Put(c *Chunk) {
	for c != nil {
		next := c.Next
		if c.Lender != nil {
			s.lent--
		} else {
			s.own--
			c.Next, s.free = s.free, c
		}
		c = next
	}
}

// TestBufferModel compares a Buffer with a bytes.Buffer.
func TestBufferModel(t *testing.T) {
	for _, src := range []*stock{{size: 4 << 10, aligned: true}, {size: 16 << 10}, {size: 1}} {
		seed := rand.Uint64()
		m := &model{t: t, seed: seed, r: rand.New(rand.NewPCG(seed, 0)), src: src}
		for m.step = range 5000 {
			m.next()
		}
		m.b.Reset(src)
		if m.b.Len() != 0 || m.b.First() != nil || src.own != 0 || src.lent != 0 {
			m.fail("reset left something: %d chunks, %d of others", src.own, src.lent)
		}
		if m.b.End() != m.appended || m.b.Taken() != m.appended {
			m.fail("%d and %d bytes came and went, want %d", m.b.End(), m.b.Taken(), m.appended)
		}
	}
}

type model struct {
	t        *testing.T
	seed     uint64
	step     int
	r        *rand.Rand
	src      *stock
	b        Buffer
	want     bytes.Buffer
	appended uint64
}

func (m *model) fail(format string, args ...any) {
	m.t.Helper()
	m.t.Logf("seed %d, step %d, chunks of %d bytes", m.seed, m.step, m.src.size)
	m.t.Fatalf(format, args...)
}

// some returns up to 40,000 bytes.
func (m *model) some() []byte {
	p := make([]byte, m.r.IntN(40_000)>>m.r.IntN(12))
	for i := range p {
		p[i] = byte(m.r.Uint32())
	}
	return p
}

func (m *model) next() {
	switch p := m.some(); m.r.IntN(7) {
	case 0, 1:
		if m.want.Len() < 1<<20 {
			m.write(p)
		}
	case 2:
		got := make([]byte, len(p))
		n := m.b.Read(m.src, got)
		if want := m.want.Next(len(p)); !bytes.Equal(got[:n], want) {
			m.fail("read %d bytes that differ from %d", n, len(want))
		}
	case 3:
		front := m.b.Peek()
		if len(front) == 0 != (m.want.Len() == 0) {
			m.fail("%d bytes at the front, %d are there", len(front), m.want.Len())
		}
		n := m.r.IntN(len(front) + 1)
		if !bytes.Equal(front[:n], m.want.Next(n)) {
			m.fail("the front differs")
		}
		m.b.Discard(m.src, n)
	case 4:
		// all but some
		for m.want.Len() > 100 {
			n := min(len(m.b.Peek()), m.want.Len()-100)
			m.want.Next(n)
			m.b.Discard(m.src, n)
		}
	case 5:
		if m.r.IntN(20) == 0 {
			m.want.Reset()
			m.b.Reset(m.src)
			m.b.Pass(len(p))
			m.b.Pass(-len(p) / 2)
			m.appended += uint64(len(p) - len(p)/2)
		}
	case 6:
		n := min(len(p), m.want.Len())
		if got := m.b.TakeBack(m.src, len(p)); got != n {
			m.fail("took back %d bytes, want %d", got, n)
		}
		m.want.Truncate(m.want.Len() - n)
		m.appended -= uint64(n)
	}
	if m.b.Len() != m.want.Len() || m.b.End() != m.appended || m.b.Taken() != m.appended-uint64(m.want.Len()) {
		m.fail("%d bytes up to %d, want %d up to %d", m.b.Len(), m.b.End(), m.want.Len(), m.appended)
	}
	if m.b.Len() == 0 && (m.b.First() != nil || m.src.own != 0 || m.src.lent != 0) {
		m.fail("an empty buffer holds memory")
	}
}

// write appends p in one of four ways.
func (m *model) write(p []byte) {
	switch m.r.IntN(4) {
	case 0:
		m.b.Write(m.src, p)
	case 1:
		n := copy(m.b.Space(m.src), p)
		p = p[:n]
		m.b.Commit(n)
		if m.b.Len() == 0 {
			m.b.Reset(m.src)
		}
	case 2:
		if len(p) == 0 {
			return
		}
		c := NewShared()
		c.Fill(p, 0)
		m.src.lent++
		m.b.Push(m.src, c)
	case 3:
		if len(p) < m.src.size {
			return
		}
		c := m.src.Get(0)
		from := m.r.IntN(m.src.size)
		c.Fill(bytes.Clone(p[:m.src.size]), from)
		m.b.Push(m.src, c)
		p = p[from:m.src.size]
	}
	m.want.Write(p)
	m.appended += uint64(len(p))
}

func TestBufferAllocatesNothing(t *testing.T) {
	src := &stock{size: 4 << 10}
	var b Buffer
	p := make([]byte, 40_000)
	turn := func() {
		b.Write(src, p)
		b.Read(src, p)
	}
	turn()
	if n := testing.AllocsPerRun(100, turn); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
