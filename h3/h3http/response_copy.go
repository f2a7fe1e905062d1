package h3http

import (
	"io"
	"net/http"

	"github.com/lazoquic/lazo/internal/fifo"
)

// ReadFrom is part of [io.ReaderFrom]. It saves those who copy files a buffer for each. A source
// that has much at a time, as a file has, is read into the memory in which the loop takes it.
func (w *response) ReadFrom(r io.Reader) (n int64, err error) {
	pool := w.pool()
	if pool == nil {
		return 0, errStreamClosed
	}
	c := pool.memory(w.bulk)
	defer func() { pool.Put(c) }() // Put takes nil
	for {
		if c == nil {
			c = pool.memory(w.bulk)
		}
		k, err := r.Read(c.Memory)
		if k > 0 {
			whole := exhausted(r)
			w.bulk = k == len(c.Memory) || whole && n+int64(k) >= blockSize/2
			taken, k, werr := w.writeChunk(c, k)
			if n += int64(k); werr != nil {
				return n, werr
			}
			switch {
			case taken:
				c = nil
			case w.bulk != (len(c.Memory) == blockSize):
				pool.Put(c)
				c = nil
			}
			if whole && err == nil {
				err = io.EOF // what its next Read would say
			}
		}
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

// exhausted reports whether r has passed on all that it may. Then its last Read was short because
// of its limit. Some programs copy a file by such pieces, so the next one may fill its memory.
func exhausted(r io.Reader) bool {
	l, ok := r.(*io.LimitedReader)
	return ok && l.N <= 0
}

// pool returns what lends memory for the response, or nil if the exchange is over with it.
func (w *response) pool() *source {
	if !w.enter() {
		return nil
	}
	defer w.x.mu.Unlock()
	return w.x.c.pool
}

// writeChunk writes the first n bytes of c. If it does so without a copy, it reports that c is
// taken.
func (w *response) writeChunk(c *fifo.Chunk, n int) (taken bool, written int, err error) {
	if !w.committed || w.request.Method == http.MethodHead {
		written, err = w.Write(c.Memory[:n])
		return false, written, err
	}
	if err = w.beforeWrite(n); err != nil {
		return false, 0, err
	}
	if !w.enter() {
		return false, 0, errStreamClosed
	}
	defer w.x.mu.Unlock()
	return w.x.writeChunk(c, n, holdBuffer)
}
