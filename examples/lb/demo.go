package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/quiclb"
	"github.com/lazoquic/lazo/examples/internal/envlog"
	"github.com/lazoquic/lazo/examples/internal/rebind"
	"github.com/lazoquic/lazo/examples/internal/selfsigned"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/udpio"
)

const (
	demoALPN    = "lb-demo"
	demoChanges = 10      // of the client's address
	demoPart    = 1 << 20 // bytes that are downloaded between two changes
	demoWindow  = 256 << 10
	demoTimeout = 10 * time.Second // without progress, a download has failed
)

// A demo has two servers, and what they share.
type demo struct {
	dir     string
	servers []*demoServer
	client  *conn.Config
	endLogs func() error // those of the environment; may be nil
}

// A demoServer is a server of two loops.
type demoServer struct {
	name string
	id   []byte
	*loop.Group
}

// demonstrate downloads twice through a balancer, by connection ID and by addresses alone. The
// client changes its address meanwhile.
func demonstrate(ctx context.Context, w io.Writer) error {
	d, err := newDemo()
	if err != nil {
		return err
	}
	defer d.close()
	fmt.Fprintf(w, "Two servers, A and B, and a balancer in front of them. A client downloads %d MB and changes its\n"+
		"address %d times meanwhile, as a phone does behind a NAT or between networks.\n\n", demoChanges+1, demoChanges)
	fmt.Fprintln(w, "1. The balancer looks at the server ID in connection IDs (QUIC-LB).")
	survived, err := d.download(ctx, routeByID, w)
	if err != nil {
		return fmt.Errorf("the download by connection ID failed: %w", err)
	}
	fmt.Fprintf(w, "   Result: complete after %d changes, on one connection.\n\n", survived)
	fmt.Fprintln(w, "2. The same balancer hashes addresses and ports, as one does that knows nothing of QUIC.")
	survived, err = d.download(ctx, routeByTwo, w)
	if err == nil {
		fmt.Fprintf(w, "   Result: complete. That was luck, as with %d throws of a coin; try again.\n", survived)
		return nil
	}
	fmt.Fprintf(w, "   Result: the connection broke after change %d: %v\n", survived+1, err)
	return ctx.Err()
}

func newDemo() (_ *demo, err error) {
	d := new(demo)
	defer func() {
		if err != nil {
			d.close()
		}
	}()
	if d.dir, err = os.MkdirTemp("", "lb-"); err != nil {
		return nil, err
	}
	cert, err := selfsigned.Certificate()
	if err != nil {
		return nil, err
	}
	d.client = &conn.Config{
		TLS: &tls.Config{RootCAs: x509.NewCertPool(), NextProtos: []string{demoALPN}},
		// who only receives must say something, or the server does not learn the new address
		KeepAlive: 100 * time.Millisecond, MaxStreamData: demoWindow, MaxIdleTimeout: demoTimeout,
	}
	d.client.TLS.RootCAs.AddCert(cert.Leaf)
	if d.endLogs, err = envlog.Attach(d.client.TLS, d.client, slog.Default()); err != nil {
		return nil, err
	}
	var resetKey [32]byte
	rand.Read(resetKey[:])
	for i, name := range []string{"A", "B"} {
		s := &demoServer{name: name, id: []byte{0xa0 + byte(i)}}
		s.Group, err = loop.Listen("udp", "127.0.0.1:0", 2, &loop.Config{
			Endpoint: conn.EndpointConfig{
				Server: &conn.Config{
					TLS: &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{demoALPN}}, QLog: envlog.QLog(),
				},
				// the same on all servers: each can tell a client that its connection is lost
				ResetKey: resetKey,
			},
			Shard: func(_ int, cfg *loop.Config) { cfg.Endpoint.ConnIDs = s.source() },
		})
		if err != nil {
			return nil, err
		}
		d.servers = append(d.servers, s)
		go s.serve()
	}
	return d, nil
}

func (d *demo) close() {
	for _, s := range d.servers {
		s.Close()
	}
	if d.endLogs != nil {
		d.endLogs()
	}
	os.RemoveAll(d.dir)
}

// demoKey encrypts server IDs.
const demoKey = "8f95f09245765f80256934e50c66207f"

// source makes the connection IDs of the server.
func (s *demoServer) source() *quiclb.Source {
	cfg := quiclb.Config{ServerID: s.id, NonceLen: 7, Key: (*[16]byte)(unhex(demoKey))}
	source, err := quiclb.NewSource(cfg, rand.Reader)
	if err != nil {
		panic(err) // the configuration is a constant
	}
	return source
}

func unhex(s string) (b []byte) {
	fmt.Sscanf(s, "%x", &b)
	return b
}

// serve sends its name on the first stream of each connection, and then zeros without end.
func (s *demoServer) serve() {
	for {
		c, err := s.Accept(context.Background())
		if err != nil {
			return
		}
		go func() {
			st, err := c.AcceptStream(context.Background())
			if err == nil {
				_, err = io.WriteString(st, s.name)
			}
			for part := make([]byte, 64<<10); err == nil; {
				_, err = st.Write(part)
			}
		}()
	}
}

// balancer starts a balancer in front of the servers.
func (d *demo) balancer(ctx context.Context, routeBy string) (*balancer, error) {
	text := fmt.Sprintf("listen: 127.0.0.1:0\nroute_by: %s\nids:\n  - {config: 0, server_id_bytes: 1, nonce_bytes: 7, key: %q}\nbackends:\n", routeBy, demoKey)
	for _, s := range d.servers {
		text += fmt.Sprintf("  - {address: %q, server_ids: [%q]}\n", s.LocalAddr(), fmt.Sprintf("%x", s.id))
	}
	name := filepath.Join(d.dir, "lb.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		return nil, err
	}
	c, err := readConfig(name)
	if err != nil {
		return nil, err
	}
	b, err := newBalancer(c, slog.New(slog.DiscardHandler))
	if err == nil {
		go b.run(ctx)
	}
	return b, err
}

// download downloads through a balancer. It returns how many changes of address the connection has
// survived.
func (d *demo) download(ctx context.Context, routeBy string, w io.Writer) (survived int, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	b, err := d.balancer(ctx, routeBy)
	if err != nil {
		return 0, err
	}
	socket, err := udpio.Listen("udp", "127.0.0.1:0", nil)
	if err != nil {
		return 0, err
	}
	nat := &rebind.Socket{Socket: socket}
	g, err := loop.New(nil, nat)
	if err != nil {
		return 0, err
	}
	defer g.Close()
	c, err := g.Dial(ctx, b.addr().String(), d.client)
	if err != nil {
		return 0, err
	}
	s, err := c.OpenStream(ctx, conn.Bidi)
	if err != nil {
		return 0, err
	}
	if err := s.CloseWrite(); err != nil {
		return 0, err
	}
	owner := make([]byte, 1)
	if _, err := io.ReadFull(s, owner); err != nil {
		return 0, err
	}
	for part := 0; ; part++ {
		if _, err := io.CopyN(io.Discard, s, demoPart); err != nil {
			return max(part-1, 0), told(err)
		}
		if part == demoChanges {
			return part, c.Close(0, "")
		}
		from, err := nat.Rebind(netip.MustParseAddr("127.0.0.1"))
		if err != nil {
			return part, err
		}
		would := d.byAddress(from)
		fmt.Fprintf(w, "   change %2d: %v; the server is %s, a hash of addresses names %s%s\n",
			part+1, from, owner, would, map[bool]string{true: "", false: ": wrong"}[would == string(owner)])
	}
}

// told explains an error.
func told(err error) error {
	if errors.Is(err, conn.ErrStatelessReset) {
		return fmt.Errorf("the packets reached a server that does not know it (%w)", err)
	}
	return err
}

// byAddress returns the name of the server that a hash of addresses chooses.
func (d *demo) byAddress(client netip.AddrPort) string {
	var bs []*backend
	names := make(map[netip.AddrPort]string)
	for _, s := range d.servers {
		bs = append(bs, &backend{addr: s.LocalAddr()})
		names[s.LocalAddr()] = s.name
	}
	return names[newMaglev(bs).find(hashAddr(client)).addr]
}
