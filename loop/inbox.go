package loop

import (
	"time"

	"github.com/lazoquic/lazo/udpio"
)

// Sizes of the buffers that are read into. A GRO read needs 64 KiB, or the kernel truncates it.
const (
	groBuffers, groBufferSize = 4, 64 << 10
	buffers, bufferLen        = 32, 2 << 10
)

// An inbox gets all its buffers when it has been full busyReads times within busyTime. So a client
// that makes a connection for a few requests does without most of them.
const (
	busyReads = 16
	busyTime  = 100 * time.Millisecond
)

// An inbox holds what one turn reads.
type inbox struct {
	ms    []udpio.Message
	bufs  [][]byte // the loop's own buffers; a Backend may put others into ms
	size  int      // of a buffer
	most  int      // buffers of a busy loop
	full  int      // reads that filled all buffers, since the time below
	since time.Time
}

func (in *inbox) init(gro bool) {
	if gro {
		in.size, in.most = groBufferSize, groBuffers
		in.grow(1)
	} else {
		in.size, in.most = bufferLen, buffers
		in.grow(buffers)
	}
}

// grow makes it n buffers.
func (in *inbox) grow(n int) {
	for len(in.bufs) < n {
		in.bufs = append(in.bufs, make([]byte, in.size))
	}
	in.ms = make([]udpio.Message, n)
	in.restore()
}

// restore puts the loop's buffers back in their places. Buffers of messages that were not read may
// have changed places too.
func (in *inbox) restore() {
	for i, b := range in.bufs {
		in.ms[i].Buf = b
	}
}

// next makes the inbox ready for another read, after one of n messages at the time now.
func (in *inbox) next(now time.Time, n int) {
	if len(in.bufs) < in.most && n == len(in.bufs) {
		if now.Sub(in.since) > busyTime {
			in.since, in.full = now, 0
		}
		if in.full++; in.full == busyReads {
			in.grow(in.most)
			return
		}
	}
	in.restore()
}
