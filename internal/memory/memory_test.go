package memory

import "testing"

func TestAccount(t *testing.T) {
	all := New(100)
	a, b := all.Child(), all.Child()
	a.Charge(70)
	b.Charge(20)
	if a.Used() != 70 || b.Used() != 20 || all.Used() != 90 || a.Room() != 10 || b.Room() != 10 || all.Room() != 10 {
		t.Fatalf("%+v, %+v, %+v", all, a, b)
	}
	b.Charge(30)
	if all.Room() != -20 || a.Room() != -20 {
		t.Fatalf("%d bytes are left beyond the limit", all.Room())
	}
	a.Release(70)
	b.Release(50)
	if a.Used() != 0 || b.Used() != 0 || all.Used() != 0 || all.Room() != 100 {
		t.Fatalf("%+v, %+v, %+v", all, a, b)
	}
}
