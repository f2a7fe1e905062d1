package netns

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/loop"
)

// addressEnv is where a client of role "fail" dials.
const addressEnv = "LAZO_NETNS_ADDRESS"

// fail dials and reports which error that ends with. It must come long before the handshake's
// timeout.
func fail(ctx context.Context) error {
	cfg := conntest.ClientConfig()
	cfg.TLS.ServerName = "lazo.test"
	cfg.HandshakeTimeout = 5 * time.Minute
	_, err := loop.Dial(ctx, os.Getenv(addressEnv), cfg)
	var unreachable *conn.UnreachableError
	var errno syscall.Errno
	if !errors.As(err, &unreachable) || !errors.As(err, &errno) {
		return fmt.Errorf("dialed %s: %w", os.Getenv(addressEnv), err)
	}
	fmt.Println("errno", int(errno), err)
	return nil
}

// TestUnreachable: a dial that cannot reach its target returns why.
func TestUnreachable(t *testing.T) {
	p := newPair(t, 2, "1gbit")
	p.ip("-n", p.client, "-6", "addr", "add", "fd77::2/64", "dev", "eth0", "nodad")
	p.ip("-n", p.server, "-6", "addr", "add", "fd77::1/64", "dev", "eth0", "nodad")
	p.ip("-n", p.client, "route", "add", "198.51.100.0/24", "via", serverAddr)
	p.ip("-n", p.server, "route", "add", "unreachable", "198.51.100.0/24")
	p.ip("netns", "exec", p.server, "sysctl", "-q", "-w", "net.ipv4.ip_forward=1")
	for _, c := range []struct {
		name, address string
		before        func()
		want          syscall.Errno
	}{
		{"no route", "203.0.113.1:443", nil, syscall.ENETUNREACH},
		{"no route, IPv6", "[2001:db8::1]:443", nil, syscall.ENETUNREACH},
		{"closed port", serverAddr + ":443", nil, syscall.ECONNREFUSED},
		{"closed port, IPv6", "[fd77::1]:443", nil, syscall.ECONNREFUSED},
		{"no such host", "10.77.0.99:443", nil, syscall.EHOSTUNREACH},
		{"router without a route", "198.51.100.1:443", nil, syscall.EHOSTUNREACH},
		{"small MTU", serverAddr + ":443", func() { p.ip("-n", p.client, "link", "set", "eth0", "mtu", "1000") }, syscall.EMSGSIZE},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.before != nil {
				c.before()
			}
			out, err := p.command(p.client, "fail", addressEnv+"="+c.address).Output()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			if want := fmt.Sprintf("errno %d ", c.want); !strings.Contains(string(out), want) {
				t.Errorf("%s, want %s(%v)", out, want, c.want)
			}
		})
	}
}
