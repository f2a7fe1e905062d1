package conn

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn/congestion"
)

// TestEveryFieldIsRecorded: a configuration with all fields set comes back from a recording. A new
// field has to be written down, or to have something that answers for it.
func TestEveryFieldIsRecorded(t *testing.T) {
	cfg := &Config{
		TLS:                 &tls.Config{ServerName: "lazo.test", NextProtos: []string{"a"}},
		Context:             context.Background(),
		AllowWindowIncrease: func(*Conn, int64) bool { return true },
		AcceptEarlyData:     func([]byte) bool { return true },
		Tokens:              playedTokens{},
		Congestion:          congestion.NewBBR,
		Scheduler:           NewMinRTT,
		QLog:                func(ConnID, bool) io.WriteCloser { return nil },
		Trace:               func(*TraceEvent) {},
	}
	setFields(t, cfg)
	p := new(player)
	var back Config
	if err := recalled(describe(cfg), &back, func(name string, v json.RawMessage) error { return p.provideConn(&back, name, v) }); err != nil {
		t.Fatal(err)
	}
	compareFields(t, cfg, &back, "Context", "QLog", "Trace")
	if congestionName(reflect.ValueOf(back.Congestion)) != "BBR" || back.TLS.ServerName != "lazo.test" {
		t.Errorf("another algorithm, or %v", back.TLS.ServerName)
	}

	e := &EndpointConfig{
		Rand: bytes.NewReader(nil), Server: cfg, Admit: func(AdmissionRequest) Admission { return 0 },
		ConfigForClient: func(AdmissionRequest) (*Config, error) { return nil, nil },
		ClientHello:     func(*tls.ClientHelloInfo, netip.AddrPort, netip.AddrPort) {},
		Elsewhere:       func(time.Time, Datagram) bool { return false },
		NonQUIC:         func(time.Time, Datagram) {}, Offload: func(*TLSWork) {}, ConnIDs: playedIDs{},
		TakeTicket: func(TicketID) bool { return true }, RTTSample: func(*Conn, time.Duration) {}, Record: io.Discard,
	}
	setFields(t, e)
	var backE EndpointConfig
	if err := recalled(describe(e), &backE, func(name string, _ json.RawMessage) error { return p.provide(&backE, name) }); err != nil {
		t.Fatal(err)
	}
	compareFields(t, e, &backE, "Rand", "Server", "ClientHello", "RTTSample", "Record")
}

// TestUnknownCongestion: a recording with an algorithm of the application's says what it needs.
func TestUnknownCongestion(t *testing.T) {
	own := func(p congestion.Params) congestion.Controller { return congestion.NewReno(p) }
	b := describe(&Config{Congestion: own})
	p := new(player)
	var back Config
	provide := func(name string, v json.RawMessage) error { return p.provideConn(&back, name, v) }
	if err := recalled(b, &back, provide); err == nil {
		t.Error("nothing stands for it, and there is no error")
	}
	p.opt.Congestion = own
	if err := recalled(b, &back, provide); err != nil || back.Congestion == nil {
		t.Errorf("%v", err)
	}
	if err := recalled([]byte(`{"Newer": 1}`), &back, provide); err == nil {
		t.Error("a field that nobody knows is no error")
	}
}

// setFields sets each exported field that is plain data.
func setFields(t *testing.T, cfg any) {
	t.Helper()
	for f, v := range reflect.ValueOf(cfg).Elem().Fields() {
		if !f.IsExported() {
			continue
		}
		switch x := v.Addr().Interface().(type) {
		case *netip.AddrPort:
			*x = netip.MustParseAddrPort("10.0.0.1:443")
			continue
		case *[][32]byte:
			*x = [][32]byte{{1}, {2}}
			continue
		case *[32]byte:
			x[3] = 7
			continue
		}
		switch v.Kind() {
		case reflect.Bool:
			v.SetBool(true)
		case reflect.Int, reflect.Int64:
			v.SetInt(1234)
		case reflect.Uint8:
			v.SetUint(1)
		case reflect.Slice:
			v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		}
		if v.IsZero() {
			t.Errorf("the test does not set %s", f.Name)
		}
	}
}

// compareFields compares the fields of two configurations. What cannot be compared must be there,
// but for some fields.
func compareFields(t *testing.T, cfg, back any, but ...string) {
	t.Helper()
	absent := make(map[string]bool)
	for _, name := range but {
		absent[name] = true
	}
	b := reflect.ValueOf(back).Elem()
	for f, v := range reflect.ValueOf(cfg).Elem().Fields() {
		switch got := b.FieldByIndex(f.Index); {
		case !f.IsExported() || absent[f.Name]:
		case opaque(f.Type):
			if got.IsNil() {
				t.Errorf("nothing stands for %s", f.Name)
			}
		case !reflect.DeepEqual(got.Interface(), v.Interface()):
			t.Errorf("%s is %v, and was %v", f.Name, got.Interface(), v.Interface())
		}
	}
}

// TestEveryMethodIsRecorded: a method that changes what an Endpoint does later has an entry of its
// own. The others only look.
func TestEveryMethodIsRecorded(t *testing.T) {
	looks := map[string]bool{
		"Conns": true, "Stats": true, "Timeout": true, "Held": true, "BufferRoom": true, "HandshakeIDs": true, // Endpoint
		"MaxUDPPayloadSize": true,
		"ID":                true, "LocalAddr": true, "RemoteAddr": true, "Config": true, "Controller": true, "Server": true, // Conn
		"AdmittedWith": true, "ResetAtSupported": true, "Version": true, "HandshakeComplete": true, "TLS": true,
		"Began": true, "Err": true, "MaxDatagramSize": true, "NoDatagrams": true, "QLogs": true, "QLogEvent": true,
		"Silent": true, "EarlyData": true, "EarlyDataAccepted": true, "TicketData": true, "Window": true, "Multipath": true,
		"Paths": true, "SendError": true, "Snapshot": true, "PeerStreamLimit": true, "StreamLimit": true,
		"StreamCredit": true, "MigrationDisabled": true,
		"FinalSize": true, "Conn": true, "Early": true, "Offset": true, "Available": true, "Unsent": true, "Sent": true, "Credit": true, // Stream
		"Leaving": true,                                      // of export_test.go
		"Blocked": true, "Exceeded": true, "Discarded": true, // StreamGroup
	}
	recorded := map[string]bool{"WriteShared": true, "WriteLent": true} // as Write
	for _, name := range kindNames[callReceive:] {
		recorded[name[strings.LastIndexByte(name, '.')+1:]] = true
	}
	for _, typ := range []reflect.Type{
		reflect.TypeFor[*Endpoint](), reflect.TypeFor[*Conn](), reflect.TypeFor[*Stream](), reflect.TypeFor[*StreamGroup](),
	} {
		for m := range typ.Methods() {
			if !recorded[m.Name] && !looks[m.Name] && !strings.HasPrefix(m.Name, "Check") {
				t.Errorf("%v.%s is not recorded", typ, m.Name)
			}
		}
	}
}
