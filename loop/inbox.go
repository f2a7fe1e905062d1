package loop

import (
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/udpio"
)

// Sizes of the buffers that are read into. A GRO read needs 64 KiB, or the kernel truncates it. A
// client begins with firstBuffers short ones, without GRO.
const (
	firstBuffers              = 4
	buffers, bufferLen        = 32, 2 << 10
	groBuffers, groBufferSize = 4, 64 << 10
)

// An inbox gets all its buffers when it has been full busyReads times within busyTime. So a client
// that makes a connection for a few requests does without most of them.
const (
	busyReads = 4
	busyTime  = 100 * time.Millisecond
)

// An inbox holds what one turn reads.
type inbox struct {
	ms    []udpio.Message
	bufs  [][]byte // the loop's own buffers; a Backend may put others into ms
	gro   bool     // the Backend can coalesce
	small bool     // it has the first buffers only
	full  int      // reads that filled all buffers, since the time below
	since time.Time
}

// ownOnly reports whether what an Endpoint with this configuration receives is for connections that
// it dials, so that it tells how long datagrams may be.
func ownOnly(cfg *conn.EndpointConfig) bool {
	return cfg.Server == nil && cfg.NonQUIC == nil && cfg.Elsewhere == nil
}

// init makes the buffers, or only a few if it is to begin small.
func (in *inbox) init(gro, small bool) {
	if in.gro, in.small = gro, true; small {
		in.make(firstBuffers, bufferLen)
	} else {
		in.grow()
	}
}

// grow makes all buffers.
func (in *inbox) grow() {
	if !in.small {
		return
	}
	if in.small = false; in.gro {
		in.make(groBuffers, groBufferSize)
	} else {
		in.make(buffers, bufferLen)
	}
}

// fit makes the buffers long enough for datagrams of n bytes.
func (in *inbox) fit(n int) {
	if n > bufferLen {
		in.grow()
	}
}

func (in *inbox) make(n, size int) {
	in.ms, in.bufs = make([]udpio.Message, n), make([][]byte, n)
	for i := range in.bufs {
		in.bufs[i] = make([]byte, size)
	}
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
	if in.small && n == len(in.bufs) {
		if now.Sub(in.since) > busyTime {
			in.since, in.full = now, 0
		}
		if in.full++; in.full == busyReads {
			in.grow()
			return
		}
	}
	in.restore()
}
