package main

import (
	"context"
	"encoding/binary"
	"io"
	"sync"

	"github.com/lazoquic/lazo/loop"
)

// buffers are the read buffers of the blocking tier.
var buffers = sync.Pool{New: func() any { return new([256 << 10]byte) }}

// serveConn serves a connection on the blocking tier.
func (s *server) serveConn(c *loop.Conn) {
	if s.o.datagrams && c.MaxDatagramSize() > 0 { // a client that takes none sends none
		go s.serveDatagrams(c)
	}
	c.ServeStreams(context.Background(), s.serveStream)
	s.connClosed()
}

func (s *server) serveDatagrams(c *loop.Conn) {
	b := make([]byte, 2048)
	for {
		n, err := c.ReceiveDatagram(context.Background(), b)
		if err != nil {
			return
		}
		s.datagram(n)
	}
}

func (s *server) serveStream(st *loop.Stream) {
	defer st.Close()
	bp := buffers.Get().(*[256 << 10]byte)
	defer buffers.Put(bp)
	b := bp[:]
	if _, err := io.ReadFull(st, b[:8]); err != nil {
		return
	}
	n := int64(binary.BigEndian.Uint64(b))
	got := int64(8)
	for {
		k, err := st.Read(b)
		got += int64(k)
		if err == io.EOF {
			break
		}
		if err != nil {
			return
		}
	}
	s.received.Add(got)
	for n > 0 {
		k, err := st.WriteShared(zeros[:min(n, int64(len(zeros)))])
		s.sent.Add(int64(k))
		if err != nil {
			return
		}
		n -= int64(k)
	}
	if st.CloseWrite() == nil {
		s.streams.Add(1)
	}
}
