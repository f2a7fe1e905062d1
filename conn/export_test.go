package conn

import (
	"fmt"
	"reflect"
	"time"
)

// CheckEmpty returns what an Endpoint whose connections have all ended, long ago, still has. now
// is no earlier than its last verb.
func (e *Endpoint) CheckEmpty(now time.Time) error {
	e.HandleTimeout(now) // the streams of the last connection end with a verb
	if s := e.Stats(); s.Conns != 0 || s.Handshakes != 0 || s.Buffered != 0 {
		return fmt.Errorf("%d connections, %d handshakes and %d bytes are left over", s.Conns, s.Handshakes, s.Buffered)
	}
	if e.first != nil || e.last != nil || e.walks != nil || len(e.expired) != 0 {
		return fmt.Errorf("connections are in the list")
	}
	if !e.events.empty() || !e.output.empty() || !e.farewells.empty() || !e.answers.empty() || e.timers.Min() != nil {
		return fmt.Errorf("it has not come to rest: %v", e.Timeout())
	}
	return emptyMaps(reflect.ValueOf(e).Elem(), "Endpoint")
}

// emptyMaps returns an error about a map in v that has members. What v points to is not looked at.
func emptyMaps(v reflect.Value, name string) error {
	switch v.Kind() {
	case reflect.Map:
		if v.Len() > 0 {
			return fmt.Errorf("%s has %d members", name, v.Len())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if err := emptyMaps(v.Field(i), name+"."+v.Type().Field(i).Name); err != nil {
				return err
			}
		}
	}
	return nil
}
