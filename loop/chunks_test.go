package loop

import (
	"bytes"
	"testing"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/internal/fifo"
	"github.com/lazoquic/lazo/internal/require"
)

// TestChunksEndWhereThoseOfTheConnectionDo: a full chunk is a conn.Chunk of the stream, whatever
// was written before it.
func TestChunksEndWhereThoseOfTheConnectionDo(t *testing.T) {
	var pool chunkPool
	var b fifo.Buffer
	const size = len(conn.Chunk{})
	b.Write(&pool, make([]byte, 100))
	b.Discard(&pool, 100)
	b.Write(&pool, make([]byte, 2*size))
	require.Len(t, b.Peek(), size-100)
	b.Discard(&pool, size-100)
	require.Len(t, b.Peek(), size)
	b.Discard(&pool, size)
	require.Len(t, b.Peek(), 100)
	b.Reset(&pool)
}

// TestChunkPool: chunks come back for reuse. Chunks with lent memory come back without it. A pool
// keeps only a bounded number.
func TestChunkPool(t *testing.T) {
	var pool chunkPool
	var b fifo.Buffer
	data := bytes.Repeat([]byte("lazo"), 5000)
	turn := func() {
		b.Write(&pool, data)
		b.Push(&pool, pool.lend(data))
		b.Write(&pool, data[:10])
		for _, n := range []int{len(data), len(data), 10} {
			for n > 0 {
				k := min(n, len(b.Peek()))
				b.Discard(&pool, k)
				n -= k
			}
		}
	}
	turn()
	require.Zero(t, b.Len())
	require.Equal(t, 1, pool.lent.n)
	require.Nil(t, pool.lent.top.Memory)
	require.Zero(t, testing.AllocsPerRun(100, turn))

	for range maxFreeChunks + 10 {
		c := &fifo.Chunk{Memory: make([]byte, len(conn.Chunk{}))}
		c.Next = fifo.NewShared()
		c.Next.Fill(data, 0)
		pool.Put(c)
	}
	require.Equal(t, maxFreeChunks, pool.own.n)
	require.Equal(t, maxFreeChunks, pool.lent.n)
}
