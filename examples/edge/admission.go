package main

import (
	"runtime"

	"github.com/lazoquic/lazo/conn"
)

// defaultRetryAbove is how many handshakes may be in progress before clients have to prove their
// address.
const defaultRetryAbove = 1024

// admit decides about new clients of HTTP/3 by the handshakes in progress. Each Loop has its share.
func (e *edge) admit(in conn.AdmissionRequest) conn.Admission {
	return admission(in, *e.site.Load().config.RetryAbove, runtime.GOMAXPROCS(0))
}

// admission is admit for a number of Loops. With above 0 every client proves its address.
func admission(in conn.AdmissionRequest, above, loops int) conn.Admission {
	share, most := 0, max(4*defaultRetryAbove/loops, 1)
	if above > 0 {
		share = max(above/loops, 1)
		most = 4 * share
	}
	switch {
	case in.Pending >= most:
		return conn.AdmissionIgnore
	case in.Pending >= share && in.Token == conn.TokenNone:
		return conn.AdmissionRetry
	}
	return conn.AdmissionAccept
}
