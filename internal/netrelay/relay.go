// Package netrelay is a bad network between clients and a server of this machine. A Relay forwards
// UDP datagrams with delay, loss, damage, disorder and a limited rate. It can also send the
// datagrams of a client from another port or address, as a NAT does. A Tunnel does the same to all
// IP packets between two network namespaces, which takes Linux and root. Tests use them where real
// sockets matter. For other tests package conntest does the same in virtual time.
package netrelay

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Dir is the direction of a datagram.
type Dir uint8

// The directions.
const (
	Up   Dir = iota // from a client to the server
	Down            // from the server to a client
)

// Config configures a Relay.
type Config struct {
	Server   netip.AddrPort
	Up, Down Link
	Seed     uint64

	// Filter, if not nil, sees each datagram before Up or Down applies. It may change the datagram,
	// and reports whether to pass it on. Delivered sees each datagram that Up or Down lets through.
	// Both may be called from several goroutines at once, and must not keep the Packet.
	Filter    func(*Packet) bool
	Delivered func(*Packet)
}

// A Packet is a datagram on its way.
type Packet struct {
	Dir    Dir
	Data   []byte
	ECN    uint8
	Client netip.AddrPort // of the client, as the Relay sees it
	Source netip.AddrPort // of the client, as the server sees it
}

// A Relay forwards datagrams between any number of clients and one server. Each client's
// come from a socket of its own.
type Relay struct {
	cfg      Config
	front    *socket
	up, down *line
	wg       sync.WaitGroup

	mu     sync.Mutex
	source netip.Addr // the address of upstream sockets
	flows  map[netip.AddrPort]*flow
	black  bool
	closed bool
}

// A flow is the traffic of one client.
type flow struct {
	client netip.AddrPort
	socket *socket // the socket towards the server
}

// New starts a Relay on a port of the loopback interface, of the server's address family.
func New(cfg Config) (*Relay, error) {
	source := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	if cfg.Server.Addr().Is6() {
		source = netip.IPv6Loopback()
	}
	front, err := listen(source)
	if err != nil {
		return nil, err
	}
	r := &Relay{cfg: cfg, front: front, source: source, flows: make(map[netip.AddrPort]*flow)}
	r.up = newLine(cfg.Up, cfg.Seed, uint64(Up), r.deliverUp)
	r.down = newLine(cfg.Down, cfg.Seed, uint64(Down), r.deliverDown)
	r.wg.Go(r.up.run)
	r.wg.Go(r.down.run)
	r.wg.Go(func() {
		r.read(front, Up, r.up, r.flowOf)
	})
	return r, nil
}

// Addr returns where clients find the server.
func (r *Relay) Addr() netip.AddrPort { return r.front.addr() }

// read passes everything that s receives on to l, until s is closed.
func (r *Relay) read(s *socket, dir Dir, l *line, flowOf func(from netip.AddrPort) *flow) {
	buf, oob := make([]byte, maxDatagram), make([]byte, 128)
	for {
		n, ecn, from, err := s.read(buf, oob)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // the error is about one datagram, which the other side refused
		}
		f := flowOf(from)
		if f == nil {
			continue
		}
		p := Packet{Dir: dir, Data: buf[:n], ECN: ecn, Client: f.client}
		if p.Source = s.addr(); dir == Up {
			p.Source = r.upstream(f).addr()
		}
		if r.cfg.Filter != nil && !r.cfg.Filter(&p) || r.blackhole() {
			continue
		}
		l.push(time.Now(), &datagram{data: append([]byte(nil), p.Data...), ecn: p.ECN, flow: f})
	}
}

// flowOf returns the flow of a client, and makes it if necessary. It returns nil if there can be
// none.
func (r *Relay) flowOf(client netip.AddrPort) *flow {
	r.mu.Lock()
	defer r.mu.Unlock()
	if f := r.flows[client]; f != nil || r.closed {
		return f
	}
	f := &flow{client: client}
	if err := r.bind(f); err != nil {
		return nil // a NAT without a free port drops the datagram too
	}
	r.flows[client] = f
	return f
}

// bind gives f a new socket. The caller holds r.mu.
func (r *Relay) bind(f *flow) error {
	s, err := listen(r.source)
	if err != nil {
		return err
	}
	if f.socket != nil {
		f.socket.Close()
	}
	f.socket = s
	r.wg.Go(func() {
		r.read(s, Down, r.down, func(from netip.AddrPort) *flow {
			if from != r.cfg.Server {
				return nil
			}
			return f
		})
	})
	return nil
}

// upstream returns the socket that sends the datagrams of f now.
func (r *Relay) upstream(f *flow) *socket {
	r.mu.Lock()
	defer r.mu.Unlock()
	return f.socket
}

func (r *Relay) deliverUp(d *datagram) {
	s := r.upstream(d.flow)
	r.delivered(Up, d, s)
	s.write(d.data, d.ecn, r.cfg.Server)
}

func (r *Relay) deliverDown(d *datagram) {
	r.delivered(Down, d, r.upstream(d.flow))
	r.front.write(d.data, d.ecn, d.flow.client)
}

// delivered reports d, which is of the flow with the socket s.
func (r *Relay) delivered(dir Dir, d *datagram, s *socket) {
	if r.cfg.Delivered != nil {
		r.cfg.Delivered(&Packet{Dir: dir, Data: d.data, ECN: d.ecn, Client: d.flow.client, Source: s.addr()})
	}
}

// Rebind makes the server see every client at another port, and, if source is valid, at that
// address, which must be one of this machine. What is on its way to the former port is lost.
func (r *Relay) Rebind(source netip.Addr) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return net.ErrClosed
	}
	if source.IsValid() {
		r.source = source
	}
	var errs []error
	for _, f := range r.flows {
		errs = append(errs, r.bind(f))
	}
	return errors.Join(errs...)
}

// Blackhole drops everything that arrives from now on, or stops to.
func (r *Relay) Blackhole(on bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.black = on
}

func (r *Relay) blackhole() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.black
}

// SetLinks changes both directions, for what arrives from now on.
func (r *Relay) SetLinks(up, down Link) {
	r.up.setLink(up)
	r.down.setLink(down)
}

// Close stops the Relay, and waits until it has.
func (r *Relay) Close() {
	r.mu.Lock()
	r.closed = true
	r.front.Close()
	for _, f := range r.flows {
		f.socket.Close()
	}
	r.mu.Unlock()
	r.up.close()
	r.down.close()
	r.wg.Wait()
}
