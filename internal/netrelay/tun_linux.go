package netrelay

import (
	"bytes"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lazoquic/lazo/internal/netns"
)

// TunnelConfig configures a Tunnel. Lengths, rates and queues of its links count whole IP packets.
// Damage is for the kernel's checksums to find.
type TunnelConfig struct {
	Up, Down Link
	Seed     uint64
	MTU      int // of both devices, in bytes; default 1500

	// Filter, if not nil, sees each IP packet as it was sent, before anything else applies, and
	// reports whether to pass it on. It is called from one goroutine for each direction, and must
	// not keep or change the packet.
	Filter func(dir Dir, packet []byte) bool
}

// A Tunnel is two network namespaces and the path between them. Each has a TUN device. What the
// kernel sends to one device comes out of the other after what Link says, be it UDP, TCP or
// anything else over IP. Nothing of it has a name on the machine, and nothing outlives the process.
type Tunnel struct {
	Client, Server *netns.Namespace

	cfg                TunnelConfig
	inClient, inServer *os.File // the devices
	up, down           *line
	nat                nat
	black              atomic.Bool
	wg                 sync.WaitGroup
}

// TunName is the name of both devices.
const TunName = "tun0"

// Addresses of the devices. The whole of 10.77.0.0/16 and fd77::/64 is at the other end.
const (
	ServerAddr4 = "10.77.0.1"
	ClientAddr4 = "10.77.0.2"
	ServerAddr6 = "fd77::1"
	ClientAddr6 = "fd77::2"
)

// NewTunnel makes a Tunnel. It needs root, and says what is missing otherwise.
func NewTunnel(cfg TunnelConfig) (*Tunnel, error) {
	if cfg.MTU == 0 {
		cfg.MTU = 1500
	}
	t := &Tunnel{cfg: cfg}
	var err error
	if t.Client, t.inClient, err = end(cfg.MTU, ClientAddr4, ClientAddr6); err != nil {
		return nil, err
	}
	if t.Server, t.inServer, err = end(cfg.MTU, ServerAddr4, ServerAddr6); err != nil {
		t.inClient.Close()
		t.Client.Close()
		return nil, err
	}
	t.up = newLine(cfg.Up, cfg.Seed, uint64(Up), func(d *datagram) { deliver(t.inServer, d) })
	t.down = newLine(cfg.Down, cfg.Seed, uint64(Down), func(d *datagram) {
		if t.nat.in(packet(d.data)) {
			deliver(t.inClient, d)
		}
	})
	t.wg.Go(t.up.run)
	t.wg.Go(t.down.run)
	t.wg.Go(func() { t.read(t.inClient, Up, t.up) })
	t.wg.Go(func() { t.read(t.inServer, Down, t.down) })
	return t, nil
}

// end makes one end of a Tunnel: a namespace with a device.
func end(mtu int, four, six string) (*netns.Namespace, *os.File, error) {
	n, err := netns.New()
	if err != nil {
		return nil, nil, err
	}
	dev, err := n.AddTUN(netns.Device{Name: TunName, MTU: mtu, Addrs: []netip.Prefix{
		netip.PrefixFrom(netip.MustParseAddr(four), 16), netip.PrefixFrom(netip.MustParseAddr(six), 64),
	}})
	if err != nil {
		n.Close()
		return nil, nil, err
	}
	return n, dev, nil
}

// read passes on the packets that a namespace sends, until its device is closed.
func (t *Tunnel) read(dev *os.File, dir Dir, l *line) {
	buf := make([]byte, max(t.cfg.MTU, maxDatagram))
	for {
		n, err := dev.Read(buf)
		if err != nil {
			return // the device is closed
		}
		p, black := packet(buf[:n]), t.black.Load()
		if !p.valid() || t.cfg.Filter != nil && !t.cfg.Filter(dir, p) || black || dir == Up && !t.nat.out(p) {
			continue
		}
		l.push(time.Now(), &datagram{data: bytes.Clone(p), ecn: p.ecn()})
	}
}

// deliver writes the packet of d. The kernel drops a packet that it cannot read, as routers do.
func deliver(dev *os.File, d *datagram) {
	p := packet(d.data)
	if d.ecn == ce && p.valid() && p.ecn() != ce {
		p.mark()
	}
	_, _ = dev.Write(p)
}

// Rebind makes the server see other ports of the client, and, if source is valid, that address of
// ServerAddr4's or ServerAddr6's network. What is on its way to the former ports is lost, as when a
// NAT starts again; TCP connections do not survive.
func (t *Tunnel) Rebind(source netip.Addr) { t.nat.rebind(source) }

// Blackhole drops everything that is sent from now on, or stops to.
func (t *Tunnel) Blackhole(on bool) { t.black.Store(on) }

// SetLinks changes both directions, for what is sent from now on.
func (t *Tunnel) SetLinks(up, down Link) {
	t.up.setLink(up)
	t.down.setLink(down)
}

// Close ends the Tunnel, and waits until it has. The namespaces go when nothing is in them any
// more.
func (t *Tunnel) Close() {
	t.inClient.Close()
	t.inServer.Close()
	t.up.close()
	t.down.close()
	t.wg.Wait()
	t.Client.Close()
	t.Server.Close()
}
