package http3

import (
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
)

// SetQUICHeaders adds an Alt-Svc field that announces the ports on which s serves, or Port. It
// returns ErrNoAltSvcPort if there is none.
func (s *Server) SetQUICHeaders(hdr http.Header) error {
	s.mu.Lock()
	ports := s.ports()
	s.mu.Unlock()
	if len(ports) == 0 {
		return ErrNoAltSvcPort
	}
	var values []string
	for _, port := range ports {
		values = append(values, fmt.Sprintf(`%s=":%d"; ma=2592000`, NextProtoH3, port))
	}
	hdr["Alt-Svc"] = append(hdr["Alt-Svc"], strings.Join(values, ","))
	return nil
}

// ports returns the ports to announce, in the order of the listeners. The caller has locked s.
func (s *Server) ports() (ports []int) {
	for _, l := range s.listeners {
		port := s.Port
		if port == 0 {
			port = portOf(l.Addr())
		}
		if port == 0 {
			port = portOfAddr(s.Addr)
		}
		if port > 0 && !slices.Contains(ports, port) {
			ports = append(ports, port)
		}
	}
	return ports
}

func portOf(addr net.Addr) int {
	if udp, ok := addr.(*net.UDPAddr); ok {
		return udp.Port
	}
	return 0
}

// portOfAddr returns the port of an address for listening, or 0.
func portOfAddr(addr string) int {
	_, name, err := net.SplitHostPort(addr)
	if err != nil {
		return 0
	}
	port, err := net.LookupPort("udp", name)
	if err != nil {
		return 0
	}
	return port
}
