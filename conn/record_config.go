package conn

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/lazoquic/lazo/conn/congestion"
)

// A recording holds configurations as JSON objects of their fields. Of functions and other things
// that cannot be written down it says that they are there.

// there stands for a value that cannot be written down.
const there = `"set"`

// describe returns a Config or EndpointConfig as a recording holds it.
func describe[T Config | EndpointConfig](cfg *T) []byte {
	fields := make(map[string]json.RawMessage)
	v := reflect.ValueOf(cfg).Elem()
	for f, value := range v.Fields() {
		if !f.IsExported() || value.IsZero() {
			continue
		}
		if f.Name == "TLS" {
			fields[f.Name] = marshal(describeTLS(value.Interface().(*tls.Config)))
		} else if f.Name == "Congestion" {
			fields[f.Name] = marshal(congestionName(value))
		} else if opaque(f.Type) {
			fields[f.Name] = json.RawMessage(there)
		} else {
			fields[f.Name] = marshal(value.Interface())
		}
	}
	return marshal(fields)
}

// opaque reports whether a value of the type cannot be written down.
func opaque(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Func, reflect.Interface, reflect.Pointer:
		return true
	}
	return false
}

func marshal(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("conn: a configuration cannot be recorded: %v", err))
	}
	return b
}

// A describedTLS is what the state machine itself takes from a tls.Config.
type describedTLS struct {
	ServerName   string
	NextProtos   []string
	Certificates bool // a server has some
	Sessions     bool // a client has a ClientSessionCache
	NoTickets    bool
	ByHello      bool // GetConfigForClient is there
	MaxVersion   uint16
}

func describeTLS(c *tls.Config) describedTLS {
	return describedTLS{
		ServerName:   c.ServerName,
		NextProtos:   c.NextProtos,
		Certificates: len(c.Certificates) > 0 || c.GetCertificate != nil || c.GetConfigForClient != nil,
		Sessions:     c.ClientSessionCache != nil,
		NoTickets:    c.SessionTicketsDisabled,
		ByHello:      c.GetConfigForClient != nil,
		MaxVersion:   c.MaxVersion,
	}
}

// otherCongestion is the name of an algorithm that package congestion does not have.
const otherCongestion = "other"

// congestionName names an algorithm. Functions cannot be compared, but where they begin can.
func congestionName(f reflect.Value) string {
	switch f.Pointer() {
	case reflect.ValueOf(congestion.NewCubic).Pointer():
		return "CUBIC"
	case reflect.ValueOf(congestion.NewReno).Pointer():
		return "NewReno"
	case reflect.ValueOf(congestion.NewBBR).Pointer():
		return "BBR"
	}
	return otherCongestion
}

// recalled fills cfg from what describe has returned. It calls provide for each field that could
// not be written down, and fails if that has nothing.
func recalled[T Config | EndpointConfig](b []byte, cfg *T, provide func(name string, value json.RawMessage) error) error {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(b, &fields); err != nil {
		return fmt.Errorf("conn: the recording has no configuration: %w", err)
	}
	v := reflect.ValueOf(cfg).Elem()
	for f, value := range v.Fields() {
		b, ok := fields[f.Name]
		if !ok || !f.IsExported() {
			continue
		}
		delete(fields, f.Name)
		var err error
		if opaque(f.Type) {
			err = provide(f.Name, b)
		} else {
			err = json.Unmarshal(b, value.Addr().Interface())
		}
		if err != nil {
			return fmt.Errorf("conn: %s of the recording: %w", f.Name, err)
		}
	}
	for name := range fields {
		return fmt.Errorf("conn: the recording has a configuration with %s, which this version does not know", name)
	}
	return nil
}
