package h3

// What HTTP/3 keeps counts in the account of the connection: see [conn.Conn.Hold]. Buffers count by
// their capacity, also while they wait for reuse.

// Bytes that count for what has a fixed size, maps and what lies behind pointers included.
const (
	connCost   = 8 << 10 // a Conn, without the tables of QPACK
	streamCost = 768
)

// account counts the memory that the buffers of the stream have now.
func (s *Stream) account() {
	if n := cap(s.section) + cap(s.joined) + cap(s.out); n != s.memory {
		s.c.q.Hold(int64(n - s.memory))
		s.memory = n
	}
}

// count counts the memory of the bytes that wait.
func (o *outStream) count() {
	if n := cap(o.buf); n != o.counted {
		o.account.Hold(int64(n - o.counted))
		o.counted = n
	}
}
