package masque

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/h3/h3http"
)

// A Conn is a tunnel to one target. It is a [net.Conn], where each Read and Write is one UDP
// payload, and a [net.PacketConn], which reaches the target alone. Payloads that come are queued;
// if nobody reads, the oldest are dropped. When the tunnel has ended, Read returns what is left and
// then the error, which is io.EOF if the proxy ended the tunnel. After Close nothing is left.
// Errors for time match [os.ErrDeadlineExceeded], and those after Close [net.ErrClosed].
type Conn struct {
	tunnel
	counts        counters
	remote        netip.AddrPort
	remoteAddr    *net.UDPAddr // remote as a *net.UDPAddr
	inbox         *inbox
	read, write   *pastDeadline
	receivers     sync.WaitGroup
	closing       sync.Once
	outgoing      sync.Mutex
	outgoingBytes buffer // the buffer of Write; outgoing guards it
}

var (
	_ net.Conn       = (*Conn)(nil)
	_ net.PacketConn = (*Conn)(nil)
)

func newConn(client *Client, s *h3http.Stream, remote netip.AddrPort) *Conn {
	c := &Conn{remote: remote, remoteAddr: net.UDPAddrFromAddrPort(remote), read: newDeadline(), write: newDeadline()}
	c.tunnel = tunnel{s: s, limit: capsuleLimit(client.CapsuleLimit), maxAge: client.MaxAge, counters: &c.counts, hold: s.Account().Hold}
	c.inbox = newInbox(func() { c.counts.dropped.Add(1) }, c.hold)
	c.receivers.Go(func() { c.inbox.end(ended(c.receiveDatagrams(c.queue)), false) })
	c.receivers.Go(c.receiveStream)
	return c
}

func (c *Conn) queue(b []byte) error {
	c.inbox.push(b)
	return nil
}

// ended returns the error of Read for a source that ended because of err.
func ended(err error) error {
	if err == nil || err == io.EOF {
		return io.EOF
	}
	return fmt.Errorf("masque: %w", err)
}

// receiveStream takes the capsules until the stream ends. Then it ends the other direction too. No
// more datagrams come after both have ended.
func (c *Conn) receiveStream() {
	err := c.receiveCapsules(c.queue)
	c.inbox.end(ended(err), true)
	if malformed, ok := errors.AsType[*h3.Error](err); ok {
		c.s.StopSending(malformed.Code) // RFC 9297, Section 3.3
		c.s.Reset(malformed.Code)
		return
	}
	c.s.CloseWrite() // RFC 9298, Section 3.1: the proxy has closed its socket
}

// Read reads one UDP payload. What does not fit into b is lost.
func (c *Conn) Read(b []byte) (int, error) { return c.inbox.read(b, c.read) }

// Write sends b as one UDP payload. It waits for room in the queue to the proxy. The error
// matches *[dgram.TooLargeError] and EMSGSIZE if b is too long.
func (c *Conn) Write(b []byte) (int, error) {
	past := c.write.wait()
	c.outgoing.Lock()
	defer c.outgoing.Unlock()
	if err := c.inbox.failure(); err != nil {
		return 0, err
	}
	c.outgoingBytes.grow(headroom+len(b), c.hold)
	n := copy(c.outgoingBytes[headroom:], b)
	if err := c.send(deadlineContext{past}, c.outgoingBytes[:headroom+n]); err != nil {
		return 0, err
	}
	return len(b), nil
}

// ReadFrom is Read; the address is that of RemoteAddr.
func (c *Conn) ReadFrom(b []byte) (int, net.Addr, error) {
	n, err := c.Read(b)
	if err != nil {
		return n, nil, err
	}
	return n, c.RemoteAddr(), nil
}

// WriteTo is Write; addr must be that of RemoteAddr.
func (c *Conn) WriteTo(b []byte, addr net.Addr) (int, error) {
	if udp, ok := addr.(*net.UDPAddr); !ok || unmap(udp.AddrPort()) != unmap(c.remote) {
		return 0, fmt.Errorf("masque: the tunnel leads to %v and not to %v", c.remote, addr)
	}
	return c.Write(b)
}

func unmap(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }

// Close ends the tunnel. It does not wait for delivery.
func (c *Conn) Close() error {
	err := net.ErrClosed
	c.closing.Do(func() {
		err = nil
		c.inbox.close()
		c.s.Close()
		c.receivers.Wait()
		c.release()
		c.outgoing.Lock()
		defer c.outgoing.Unlock()
		c.outgoingBytes.release(c.hold)
	})
	return err
}

// LocalAddr returns the end of the connection to the proxy, a *net.UDPAddr.
func (c *Conn) LocalAddr() net.Addr { return c.s.LocalAddr() }

// RemoteAddr returns the address of the target, a *net.UDPAddr. If the target was given by
// name, and the proxy does not say which address that stands for, it is 192.0.0.8. It must
// not be changed.
func (c *Conn) RemoteAddr() net.Addr { return c.remoteAddr }

// MaxPayload returns the length of the longest payload that travels as a datagram now, or 0
// if all travel in capsules. It follows the path MTU of the connection to the proxy.
func (c *Conn) MaxPayload() int { return max(0, c.s.MaxDatagramSize()-headroom) }

// Stats returns a snapshot of the counters.
func (c *Conn) Stats() Stats { return c.counts.snapshot() }

// SetDeadline sets the deadlines of Read and Write; the zero Time is none.
func (c *Conn) SetDeadline(t time.Time) error {
	c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

// SetReadDeadline sets the deadline of Read and ReadFrom.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.read.set(t)
	return nil
}

// SetWriteDeadline sets the deadline of Write and WriteTo.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.write.set(t)
	return c.s.SetWriteDeadline(t)
}
