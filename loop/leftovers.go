package loop

// leftovers are bytes and datagrams that the loop has left in connections, for goroutines that
// borrow it: to move them costs more than to take them from there. What nobody has taken when the
// next turn begins is moved then. The connection would drop it if the turn brings a reset or more
// datagrams. They belong to the loop's goroutine, or to a borrower.
type leftovers struct {
	streams []*streamState
	conns   []*Conn
}

// collect moves what nobody has taken.
func (o *leftovers) collect() {
	for _, s := range o.streams {
		s.mu.Lock()
		s.in.listed = 0
		if s.in.left && s.c.c.Err() == nil { // otherwise drain moves them
			s.in.left, s.in.move = false, true
			s.receive()
		}
		s.mu.Unlock()
	}
	clear(o.streams)
	o.streams = o.streams[:0]

	for _, c := range o.conns {
		c.mu.Lock()
		c.datagrams.left = false
		c.receiveDatagrams()
		c.mu.Unlock()
	}
	clear(o.conns)
	o.conns = o.conns[:0]
}

// maxLeft is how many bytes of a stream are left in the connection. What a stream has when it
// arrives is left whole.
const maxLeft = 1 << 10

// leave reports whether n bytes that lie ready may stay in the connection for Read. The loop does
// not learn of more bytes then, nor of the end.
func (s *streamState) leave(n int) bool {
	i := &s.in
	i.left = n > 0 && n <= maxLeft && i.buf.Len() == 0 && !i.move
	if i.left && s.in.listed == 0 {
		o := &s.c.l.leftovers
		o.streams = append(o.streams, s)
		s.in.listed = int32(len(o.streams))
	}
	return i.left
}

// remove takes s out, of which nothing is left.
func (o *leftovers) remove(s *streamState) {
	last := int32(len(o.streams)) - 1
	other := o.streams[last]
	o.streams[s.in.listed-1], other.in.listed = other, s.in.listed
	o.streams[last], s.in.listed = nil, 0
	o.streams = o.streams[:last]
}
