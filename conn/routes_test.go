package conn

import "testing"

// TestRouteAgain: the lane of the packet before is that of the next one as long as the table stays
// as it is, and the connection ID is the same.
func TestRouteAgain(t *testing.T) {
	var table routeTable
	c, other := new(Conn), new(Conn)
	for _, x := range []*Conn{c, other} {
		x.lane.conn = x
		x.routes = claims{table: &table, to: route{conn: x}}
	}
	second := &lane{conn: c, id: 1}
	id := func(first byte, n int) ConnID {
		id := ConnID{n: uint8(n)}
		for i := range n {
			id.b[i] = first + byte(i)
		}
		return id
	}
	c.routes.addID(id(10, 8), &c.lane)
	c.routes.addID(id(20, 8), second)
	other.routes.addID(id(30, 5), &other.lane)
	packet := func(id ConnID) []byte { return append(id.Append(nil), 1, 2, 3) }
	// come takes a packet the general way.
	come := func(id ConnID) {
		t.Helper()
		r, ok := table.byID(id.bytes())
		if !ok {
			t.Fatalf("%v leads nowhere", id)
		}
		n, l := r.conn.routes.startOf(packet(id))
		table.note(packet(id)[:n], l)
	}
	want := func(id ConnID, n int, l *lane) {
		t.Helper()
		if gotN, got := table.again(packet(id)); got != l || got != nil && gotN != n {
			t.Fatalf("again(%v) is %d, %p, want %d, %p", id, gotN, got, n, l)
		}
	}
	want(id(10, 8), 0, nil)
	for _, x := range []struct {
		id ConnID
		l  *lane
	}{{id(10, 8), &c.lane}, {id(20, 8), second}, {id(30, 5), &other.lane}, {id(10, 8), &c.lane}} {
		come(x.id)
		want(x.id, int(x.id.n), x.l)
		for _, y := range []ConnID{id(10, 8), id(20, 8), id(30, 5)} {
			if y != x.id {
				want(y, 0, nil)
			}
		}
	}
	if _, l := table.again(id(10, 8).Append(nil)); l != nil {
		t.Error("a packet that ends with its connection ID has a lane")
	}

	table.byID(id(20, 8).Append(nil)) // looked up, but no packet with a short header has come by it
	want(id(20, 8), 0, nil)
	for _, x := range []struct {
		what   string
		last   ConnID
		change func()
	}{
		{"another ID is issued", id(20, 8), func() { c.routes.addID(id(40, 8), &c.lane) }},
		{"another ID is forgotten", id(20, 8), func() {
			c.routes.retireID(id(10, 8), 5)
			c.routes.expire(5)
		}},
		{"it is forgotten", id(20, 8), func() {
			c.routes.retireID(id(20, 8), 6)
			c.routes.expire(6)
		}},
		{"the connection has closed", id(30, 5), func() { other.routes.handOver(new(closedConn)) }},
	} {
		come(x.last)
		if _, l := table.again(packet(x.last)); l == nil {
			t.Errorf("%s, and the lane was not known before", x.what)
		}
		x.change()
		if _, l := table.again(packet(x.last)); l != nil {
			t.Errorf("%s, and the lane is still known", x.what)
		}
	}
}
