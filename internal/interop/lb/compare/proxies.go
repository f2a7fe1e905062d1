package main

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/lazoquic/lazo/internal/interop/internal/compare"
	"github.com/lazoquic/lazo/udpio"
)

// A proxy is one of those that are compared.
type proxy struct {
	name string
	addr netip.AddrPort
	*compare.Program
}

// lbConfig is for fmt: address, key, and the addresses of the servers.
const lbConfig = `listen: %s
ids: [{config: 0, server_id_bytes: 2, nonce_bytes: 6, key: %q}]
backends:
  - {address: %q, server_ids: ["0a00"]}
  - {address: %q, server_ids: ["0a01"]}
health: {off: true}
`

// envoyConfig is for fmt: port, and the ports of the servers. GRO is on both ways, and the cluster
// chooses by a hash, as balancers of UDP do.
const envoyConfig = `static_resources:
  listeners:
    - name: udp
      address: {socket_address: {protocol: UDP, address: 127.0.0.1, port_value: %d}}
      udp_listener_config: {downstream_socket_config: {prefer_gro: true, max_rx_datagram_size: 9000}}
      listener_filters:
        - name: envoy.filters.udp_listener.udp_proxy
          typed_config:
            "@type": type.googleapis.com/envoy.extensions.filters.udp.udp_proxy.v3.UdpProxyConfig
            stat_prefix: udp
            upstream_socket_config: {prefer_gro: true, max_rx_datagram_size: 9000}
            matcher:
              on_no_match:
                action:
                  name: route
                  typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.udp.udp_proxy.v3.Route, cluster: servers}
  clusters:
    - name: servers
      type: STATIC
      lb_policy: ROUND_ROBIN
      load_assignment:
        cluster_name: servers
        endpoints:
          - lb_endpoints:
              - endpoint: {address: {socket_address: {protocol: UDP, address: 127.0.0.1, port_value: %d}}}
              - endpoint: {address: {socket_address: {protocol: UDP, address: 127.0.0.1, port_value: %d}}}
`

// A site is two servers, and proxies in front of them.
type site struct {
	dir     string
	servers []*udpio.Socket
	proxies []*proxy
}

// newSite starts all of them.
func newSite(envoy string) (s *site, err error) {
	s = new(site)
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.dir, err = os.MkdirTemp("", "compare-"); err != nil {
		return nil, err
	}
	for range 2 {
		server, err := udpio.Listen("udp4", "127.0.0.1:0", nil)
		if err != nil {
			return nil, err
		}
		s.servers = append(s.servers, server)
		go echo(server)
	}
	lb := filepath.Join(s.dir, "lb")
	if err := compare.Build("./examples/lb", lb); err != nil {
		return nil, err
	}
	a, b := s.servers[0].LocalAddr(), s.servers[1].LocalAddr()
	if err := s.start("lb", func(addr netip.AddrPort) string {
		return fmt.Sprintf(lbConfig, addr, hex.EncodeToString(key[:]), a, b)
	}, lb, "-config"); err != nil {
		return nil, err
	}
	return s, s.start("envoy", func(addr netip.AddrPort) string {
		return fmt.Sprintf(envoyConfig, addr.Port(), a.Port(), b.Port())
	}, envoy, "--concurrency", "1", "--use-dynamic-base-id", "-l", "error", "-c")
}

// start starts a proxy. The name of its configuration follows args. It waits until datagrams come
// back.
func (s *site) start(name string, config func(addr netip.AddrPort) string, args ...string) error {
	free, err := compare.FreeAddr("udp4")
	if err != nil {
		return err
	}
	p := &proxy{name: name, addr: netip.MustParseAddrPort(free)}
	file := filepath.Join(s.dir, name+".yaml")
	if err := os.WriteFile(file, []byte(config(p.addr)), 0o600); err != nil {
		return err
	}
	if p.Program, err = compare.Start(append(args, file)); err != nil {
		return err
	}
	s.proxies = append(s.proxies, p)
	one := load{clients: 2, burst: 1}
	for begin := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		if _, _, err = one.turn(p.addr, 1200, patience); err == nil {
			return nil
		}
		if time.Since(begin) > time.Minute {
			return fmt.Errorf("%s: %w\n%s", name, err, p.Stop())
		}
	}
}

// close ends all of them.
func (s *site) close() {
	for _, p := range s.proxies {
		p.Stop()
	}
	for _, server := range s.servers {
		server.Close()
	}
	os.RemoveAll(s.dir)
}
