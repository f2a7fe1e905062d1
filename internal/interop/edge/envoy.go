package edge

import (
	"fmt"
	"net/netip"
)

// envoyText is for fmt: address and port to listen at, certificate, key, address and port of the
// backend.
const envoyText = `static_resources:
  listeners:
    - name: quic
      address: {socket_address: {protocol: UDP, address: %s, port_value: %d}}
      udp_listener_config: {quic_options: {}, downstream_socket_config: {prefer_gro: true}}
      filter_chains:
        - transport_socket:
            name: envoy.transport_sockets.quic
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.transport_sockets.quic.v3.QuicDownstreamTransport
              downstream_tls_context:
                common_tls_context:
                  tls_certificates:
                    - {certificate_chain: {filename: %q}, private_key: {filename: %q}}
          filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                codec_type: HTTP3
                stat_prefix: quic
                server_name: envoy
                http3_protocol_options: {}
                route_config:
                  virtual_hosts:
                    - {name: all, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: backend, timeout: 60s}}]}
                http_filters:
                  - name: envoy.filters.http.router
                    typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
  clusters:
    - name: backend
      type: STATIC
      typed_extension_protocol_options:
        envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
          "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
          explicit_http_config: {http_protocol_options: {enable_trailers: true}}
      load_assignment:
        cluster_name: backend
        endpoints:
          - lb_endpoints: [{endpoint: {address: {socket_address: {address: %s, port_value: %d}}}}]
`

// EnvoyConfig returns the configuration of an Envoy that serves HTTP/3 at listen, and asks backend
// over HTTP/1.1. cert and key are PEM files.
func EnvoyConfig(listen netip.AddrPort, cert, key string, backend netip.AddrPort) string {
	return fmt.Sprintf(envoyText, listen.Addr(), listen.Port(), cert, key, backend.Addr(), backend.Port())
}
