package http3

import (
	"maps"
	"testing"

	"github.com/lazoquic/lazo/h3"
)

// TestSettingsOf checks what a program learns of the settings of a peer.
func TestSettingsOf(t *testing.T) {
	s := settingsOf(map[uint64]uint64{
		h3.SettingDatagrams: 1, h3.SettingExtendedConnect: 1, h3.SettingMaxFieldSectionSize: 1000,
		0x21 + 0x1f*400000: 7, 0x21: 8, 0x22: 9, // two are reserved
	})
	if !s.EnableDatagrams || !s.EnableExtendedConnect || !maps.Equal(s.Other, map[uint64]uint64{0x22: 9}) {
		t.Errorf("the settings are %+v", s)
	}
	if s := settingsOf(nil); s.EnableDatagrams || s.Other != nil {
		t.Errorf("no settings are %+v", s)
	}
}
