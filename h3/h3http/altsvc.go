package h3http

import (
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/lazoquic/lazo/h3/internal/lifetime"
)

// defaultMaxAge is the default of RFC 7838, Section 3.1.
const defaultMaxAge = 24 * time.Hour

// AltSvc sets the Alt-Svc header that advertises s. Use it as middleware of the TCP server.
//
// It advertises the ports on which s serves, or the port of Addr while s does not serve yet. After
// Shutdown or Close it advertises nothing. To advertise a port that clients see and s does not
// know, set the header without AltSvc.
func (s *Server) AltSvc(next http.Handler) http.Handler {
	maxAge := int64(lifetime.Timeout(s.AltSvcMaxAge, defaultMaxAge).Seconds())
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor < 3 {
			for _, port := range s.ports() {
				// RFC 7838, Section 3
				w.Header().Add("Alt-Svc", fmt.Sprintf(`h3=":%d"; ma=%d`, port, maxAge))
			}
		}
		next.ServeHTTP(w, r)
	})
}

// ports returns the UDP ports of s, in order.
func (s *Server) ports() []uint16 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return nil
	}
	var ports []uint16
	for g := range s.groups {
		ports = append(ports, g.LocalAddr().Port())
	}
	if len(ports) == 0 {
		if port := addrPort(s.Addr); port != 0 {
			ports = append(ports, port)
		}
	}
	slices.Sort(ports)
	return slices.Compact(ports)
}

// addrPort returns the port of a host:port, or 0 if it is not known yet.
func addrPort(addr string) uint16 {
	if addr == "" {
		return 443
	}
	_, text, err := net.SplitHostPort(addr)
	if err != nil {
		return 0
	}
	if port, err := strconv.ParseUint(text, 10, 16); err == nil {
		return uint16(port)
	}
	port, err := net.LookupPort("udp", text)
	if err != nil {
		return 0
	}
	return uint16(port)
}
