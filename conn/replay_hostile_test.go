package conn

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"math"
	"net/netip"
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/tape"
)

// recordDial records an Endpoint that dials and sends its first flight, and returns the entries.
func recordDial(t testing.TB) (all []tape.Entry) {
	var out bytes.Buffer
	e, err := NewEndpoint(&EndpointConfig{Rand: bytes.NewReader(bytes.Repeat([]byte{7}, 4096)), Record: &out})
	if err != nil {
		t.Fatal(err)
	}
	cfg := &Config{TLS: &tls.Config{ServerName: "lazo.test", NextProtos: []string{"a"}}}
	if _, err := e.Dial(time.Unix(1e9, 0), Target{Remote: netip.MustParseAddrPort("10.0.0.1:443")}, cfg); err != nil {
		t.Fatal(err)
	}
	e.Transmit(time.Unix(1e9, 0), make([]byte, 2048), 1)
	e.Close()
	in, err := tape.NewReader(&out, tapeVersion)
	if err != nil {
		t.Fatal(err)
	}
	for {
		var a tape.Entry
		switch err := in.Next(&a); err {
		case nil:
			for i, s := range a.Strings {
				a.Strings[i] = bytes.Clone(s)
			}
			all = append(all, a)
		case io.EOF:
			return all
		default:
			t.Fatal(err)
		}
	}
}

// writeTape returns a recording that has the entries.
func writeTape(all []tape.Entry) []byte {
	var out bytes.Buffer
	w := tape.NewWriter(&out, tapeVersion)
	for _, a := range all {
		w.Write(a.Kind, a.Numbers, a.Strings...)
	}
	w.Flush()
	return out.Bytes()
}

// changedTLS returns entries of which the first step of TLS is another one.
func changedTLS(all []tape.Entry, change func(*tape.Entry)) []tape.Entry {
	all = append([]tape.Entry(nil), all...)
	for i := range all {
		if all[i].Kind == tapeTLS {
			all[i].Numbers = append([]uint64(nil), all[i].Numbers...)
			change(&all[i])
			break
		}
	}
	return all
}

// hostileTapes are recordings that no Endpoint has made.
func hostileTapes(t testing.TB) map[string][]tape.Entry {
	whole := recordDial(t)
	tapes := map[string][]tape.Entry{
		"TLS without numbers": changedTLS(whole, func(a *tape.Entry) { a.Numbers = nil }),
		"TLS without strings": changedTLS(whole, func(a *tape.Entry) { a.Strings = nil }),
		"many extras":         changedTLS(whole, func(a *tape.Entry) { a.Numbers[tlsNumbers+4] = math.MaxUint64 }),
		"a call before there is an Endpoint": {
			{Kind: tapeEndpoint, Numbers: []uint64{0}, Strings: [][]byte{[]byte("{}")}},
			{Kind: callHandleTimeout, Numbers: []uint64{0}},
		},
	}
	var nested []tape.Entry
	for _, a := range whole {
		nested = append(nested, a)
		if a.Kind == callDial { // its first random bytes are due
			for range 100 {
				nested = append(nested, a)
			}
			break
		}
	}
	tapes["calls inside calls"] = nested
	return tapes
}

// TestHostileReplay: a recording that nobody has made ends its replay with an error.
func TestHostileReplay(t *testing.T) {
	for name, entries := range hostileTapes(t) {
		t.Run(name, func(t *testing.T) {
			r, err := NewReplay(bytes.NewReader(writeTape(entries)), nil)
			if err != nil {
				t.Fatal(err)
			}
			var d *DivergenceError
			if err := r.Run(); !errors.As(err, &d) {
				t.Errorf("it replays with %v", err)
			}
		})
	}
	r, err := NewReplay(bytes.NewReader(writeTape(recordDial(t))), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Run(); err != nil {
		t.Errorf("as it was made: %v", err)
	}
}

// FuzzReplay replays any bytes. A replay ends with nil or an error, and makes no more of a file
// than is there.
func FuzzReplay(f *testing.F) {
	f.Add(writeTape(recordDial(f)))
	for _, entries := range hostileTapes(f) {
		f.Add(writeTape(entries))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := NewReplay(bytes.NewReader(b), nil); err == nil {
			_ = r.Run()
			r.Endpoint().Close()
		}
	})
}
