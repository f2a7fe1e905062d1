package handover

import (
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/loop"
)

// relatives are the other generations that are alive, and the ways to them.
type relatives struct {
	group *loop.Group
	lanes []lane // for each Loop

	ways                         [loop.MaxGenerations]atomic.Pointer[way]
	sent, lost, returned, noRoom atomic.Uint64

	mu  sync.Mutex // held by those who change ways and ids
	ids map[int][]conn.ConnID
}

// A way leads to another process. It ends when that process does, or at the end of this one.
type way struct {
	c  *net.UnixConn
	rc syscall.RawConn
}

// A lane is what one Loop packs messages with.
type lane struct {
	packer packer
	b      []byte
	err    error
	write  func(fd uintptr)
}

// init makes a lane for each Loop of g.
func (r *relatives) init(g *loop.Group) {
	r.group = g
	r.lanes = make([]lane, len(g.Loops()))
	for i := range r.lanes {
		l := &r.lanes[i]
		l.write = func(fd uintptr) { l.err = sendNow(fd, l.b) }
	}
}

// add notes a generation that is alive, and the connection to it.
func (r *relatives) add(gen int, c *net.UnixConn) error {
	rc, err := c.SyscallConn()
	if err != nil {
		return err
	}
	if gen < 0 || gen >= loop.MaxGenerations {
		return errors.New("handover: there is no such generation")
	}
	if old := r.ways[gen].Swap(&way{c, rc}); old != nil {
		old.c.Close()
	}
	return nil
}

// living returns the generations that are alive, and copies of the ways to them. The caller closes
// these files.
func (r *relatives) living() (gens []int, files []*os.File, err error) {
	for gen := range r.ways {
		w := r.ways[gen].Load()
		if w == nil {
			continue
		}
		f, err := w.c.File()
		if err != nil {
			closeFiles(files)
			return nil, nil, err
		}
		gens, files = append(gens, gen), append(files, f)
	}
	return gens, files, nil
}

// idsOf returns the IDs of a generation.
func (r *relatives) idsOf(gen int) []conn.ConnID {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ids[gen]
}

// watch routes by the IDs of all generations from now on. It forgets each generation when it ends.
func (r *relatives) watch(ids map[int][]conn.ConnID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ids = make(map[int][]conn.ConnID)
	for gen := range r.ways {
		if w := r.ways[gen].Load(); w != nil {
			r.ids[gen] = ids[gen]
			go r.await(gen, w)
		}
	}
	r.group.SetElsewhere(r.ids)
}

// await waits for the end of a generation. A generation never writes to later ones, so Read returns
// only at its end.
func (r *relatives) await(gen int, w *way) {
	var b [1]byte
	w.c.Read(b[:])
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ways[gen].CompareAndSwap(w, nil) {
		delete(r.ids, gen)
		r.group.SetElsewhere(r.ids)
		w.c.Close()
	}
}

// close ends all ways. Later processes have their own.
func (r *relatives) close() {
	for gen := range r.ways {
		if w := r.ways[gen].Swap(nil); w != nil {
			w.c.Close()
		}
	}
}

// forward is the Forward of [loop.Generations].
func (r *relatives) forward(l *loop.Loop, to int, ds []conn.Datagram) {
	w := r.ways[to].Load()
	if w == nil {
		return // it has just ended
	}
	lane := &r.lanes[l.Index()]
	send := func(message []byte) {
		lane.b = message
		if err := w.rc.Control(lane.write); err != nil || lane.err != nil {
			r.lost.Add(1)
			return
		}
		r.sent.Add(1)
	}
	for i := range ds {
		lane.packer.add(&ds[i], send)
	}
	lane.packer.flush(send)
}

// takeBack reads what other processes forward from c until all of them have ended, or c is closed.
func (r *relatives) takeBack(c *net.UnixConn) error {
	b := make([]byte, maxMessage)
	for {
		n, err := c.Read(b)
		if err != nil {
			return err
		}
		r.returned.Add(1)
		for rest := b[:n]; len(rest) > 0; {
			var d conn.Datagram
			if d, rest, err = next(rest); err != nil {
				break
			}
			r.noRoom.Add(uint64(r.group.Receive(d)))
		}
	}
}

func closeFiles(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}
