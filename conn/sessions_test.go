package conn_test

import (
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
)

// A client keeps its sessions over a dial that fails for another reason than their use.
func TestSessionsOfFailedDial(t *testing.T) {
	for _, tt := range []struct {
		name string
		fail func(r *versionRun) *conn.Conn
		kept bool
	}{
		{"the network is down", func(r *versionRun) *conn.Conn {
			r.n.Connect(r.client, r.server, conntest.Link{Filter: func(*conntest.Packet) bool { return false }}, r.n.Default)
			c := r.begin()
			r.n.RunFor(time.Minute)
			return c
		}, true},
		{"the user gives up", func(r *versionRun) *conn.Conn {
			c := r.begin()
			c.Close(0, "")
			r.n.RunFor(time.Second)
			return c
		}, true},
		{"no common version", func(r *versionRun) *conn.Conn {
			r.forge = [][]uint32{{reserved}}
			return r.dial()
		}, true},
		{"the server refuses", func(r *versionRun) *conn.Conn {
			r.cfg.TLS = r.cfg.TLS.Clone()
			r.cfg.TLS.NextProtos = []string{"other"}
			return r.dial()
		}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newVersionRun(t, []uint32{v1}, []uint32{v1})
			r.connect("first").Close(0, "")
			cache, name := r.cfg.TLS.ClientSessionCache, r.cfg.TLS.ServerName
			if _, ok := cache.Get(name); !ok {
				t.Fatal("there is no session")
			}
			c := tt.fail(r)
			if c.Err() == nil {
				t.Fatal("the dial did not fail")
			}
			if s, _ := cache.Get(name); (s != nil) != tt.kept {
				t.Errorf("%v: kept = %t, want %t", c.Err(), s != nil, tt.kept)
			}
		})
	}
}
