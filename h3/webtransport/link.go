package webtransport

import (
	"errors"
	"slices"
	"sync"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/loop"
)

// A link is a connection of a Dialer, which several sessions may use.
type link struct {
	d    *Dialer
	host string
	tr   *h3http.Transport

	// The fields below belong to the Dialer's mu.
	uses int  // sessions and calls of Dial
	most int  // how many there may be; 0 before the first session
	worn bool // takes no more sessions

	mu sync.Mutex
	m  *mux // of the latest connection
}

// extend makes the mux of a connection.
func (l *link) extend(c *loop.Conn, h *h3.Conn) h3http.Extension {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.m = newMux(c, h, orDefault(l.d.MaxEarlyStreams, defaultMaxEarlyStreams), orDefault(l.d.MaxSessionsPerConn, 1), l.d.limits())
	return l.m
}

func (l *link) mux() *mux {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.m
}

// takeLink returns a link to a host for another session. It prefers a link that exists and has
// room, unless fresh is set. shared reports whether it returns such a link.
func (d *Dialer) takeLink(host string, fresh bool) (l *link, shared bool, err error) {
	dial, err := d.newConn()
	if err != nil {
		return nil, false, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, l := range d.links {
		if !fresh && l.host == host && l.uses < l.most && !l.worn && !l.mux().ended() {
			l.uses++
			return l, true, nil
		}
	}
	l = &link{d: d, host: host, uses: 1}
	l.tr = &h3http.Transport{
		TLSClientConfig: d.TLSClientConfig,
		QUICConfig:      d.QUICConfig,
		H3Config:        extendConfig(d.H3Config, orDefault(d.MaxSessionsPerConn, 1), d.limits()),
		Dial:            dial,
		Multipath:       d.Multipath,
		Logger:          d.Logger,
		Extend:          l.extend,
	}
	return l, false, nil
}

// share lets other sessions use l, as many as both sides allow. d.mu is held.
func (l *link) share() {
	peer := l.mux().peer
	if l.most > 0 || !peer.shares(l.d.limits()) {
		return
	}
	l.most = int(min(uint64(orDefault(l.d.MaxSessionsPerConn, 1)), peer.sessions))
	l.d.links = append(l.d.links, l)
}

// leave ends one use of l. The last one closes the connection.
func (l *link) leave() {
	d := l.d
	d.mu.Lock()
	l.uses--
	last := l.uses == 0
	if last {
		d.links = slices.DeleteFunc(d.links, func(other *link) bool { return other == l })
	}
	d.mu.Unlock()
	if last {
		l.tr.Close()
	}
}

// refused reports whether a session failed because of its shared connection, so that it may succeed
// on another. Then l takes no more sessions. A server rejects in this way a session that is above
// its limit (draft-ietf-webtrans-http3-16, Section 5.2).
func (l *link) refused(err error) bool {
	se, ok := errors.AsType[*conn.StreamError](err)
	rejected := ok && se.Remote && h3.ErrorCode(se.Code) == h3.RequestRejected
	if !rejected && !errors.Is(err, errLost) && !l.mux().ended() {
		return false
	}
	l.d.mu.Lock()
	defer l.d.mu.Unlock()
	l.worn = true
	return true
}
