package wire

import (
	"bytes"
	"math"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/require"
)

// allParams returns Params of a server with nothing at its default.
func allParams() Params {
	return Params{
		OriginalDCID:            []byte("original"),
		InitialSCID:             []byte{},
		RetrySCID:               []byte("retry"),
		ResetToken:              &[16]byte{1, 2, 3},
		MaxIdleTimeout:          30 * time.Second,
		MaxUDPPayload:           1452,
		MaxData:                 1 << 20,
		MaxStreamDataBidiLocal:  1 << 18,
		MaxStreamDataBidiRemote: 1 << 17,
		MaxStreamDataUni:        1 << 16,
		MaxStreamsBidi:          1 << 60,
		MaxStreamsUni:           3,
		AckDelayExponent:        20,
		MaxAckDelay:             (1<<14 - 1) * time.Millisecond,
		DisableActiveMigration:  true,
		Preferred: &PreferredAddress{
			V4:         netip.MustParseAddrPort("192.0.2.1:443"),
			V6:         netip.MustParseAddrPort("[2001:db8::1]:8443"),
			ID:         []byte("prefer"),
			ResetToken: [16]byte{4, 5, 6},
		},
		ActiveConnIDLimit: 8,
		MaxDatagramFrame:  65535,
		GreaseQUICBit:     true,
		MinAckDelay:       time.Millisecond,
		ResetStreamAt:     true,
		InitialMaxPathID:  MaxPathID,
		ChosenVersion:     Version2,
		AvailableVersions: []uint32{Version2, Version1},
	}
}

// RFC 9000, Section 7.4 [2].
func TestParamsRoundTrip(t *testing.T) {
	withV4, noDatagrams := allParams(), DefaultParams()
	withV4.Preferred.V6 = netip.AddrPort{}
	withV4.AvailableVersions = []uint32{} // a server may send none
	noDatagrams.InitialSCID = []byte("scid")
	for _, p := range []Params{DefaultParams(), allParams(), withV4, noDatagrams} {
		for _, grease := range []uint64{0, 1, 7, 0x1234567, math.MaxUint64} {
			got, err := ParseParams(AppendParams(nil, &p, grease), true)
			require.NoError(t, err)
			require.Equal(t, p, got)
		}
	}
	// Nothing is shared.
	p := allParams()
	b := AppendParams([]byte("xx"), &p, 5)[2:]
	got, err := ParseParams(b, true)
	require.NoError(t, err)
	clear(b)
	require.Equal(t, p, got)
}

func TestParamsDefaults(t *testing.T) {
	p := DefaultParams()
	require.Empty(t, AppendParams(nil, &p, 0))
	require.Equal(t, Params{MaxUDPPayload: 65527, AckDelayExponent: 3, MaxAckDelay: 25 * time.Millisecond, ActiveConnIDLimit: 2, InitialMaxPathID: -1}, p)
	got, err := ParseParams(nil, false)
	require.NoError(t, err)
	require.Equal(t, p, got)
}

// The parameters that a client sends in RFC 9001, Appendix A.2.
func TestParamsExample(t *testing.T) {
	got, err := ParseParams(example(t, "0408ffffffffffffffff05048000ffff07048000ffff0801100104800075300901100f088394c8f03e51570806048000ffff"), false)
	require.NoError(t, err)
	want := DefaultParams()
	want.MaxData = MaxVarint
	want.MaxStreamDataBidiLocal, want.MaxStreamDataBidiRemote, want.MaxStreamDataUni = 65535, 65535, 65535
	want.MaxStreamsBidi, want.MaxStreamsUni = 16, 16
	want.MaxIdleTimeout = 30 * time.Second
	want.InitialSCID = unhex(t, "8394c8f03e515708")
	require.Equal(t, want, got)
}

func TestParamsRounding(t *testing.T) {
	p := DefaultParams()
	p.MaxIdleTimeout = time.Nanosecond
	p.MaxAckDelay = 1500 * time.Microsecond
	p.MinAckDelay = 1500 * time.Nanosecond
	got, err := ParseParams(AppendParams(nil, &p, 0), true)
	require.NoError(t, err)
	require.Equal(t, time.Millisecond, got.MaxIdleTimeout, "not none")
	require.Equal(t, 2*time.Millisecond, got.MaxAckDelay)
	require.Equal(t, time.Microsecond, got.MinAckDelay)
}

// RFC 9000, Section 18.1.
func TestParamsGrease(t *testing.T) {
	p := DefaultParams()
	for _, grease := range []uint64{1, 8, 0xdeadbeef, math.MaxUint64, math.MaxUint64 - 7} {
		c := cursor{b: AppendParams(nil, &p, grease)}
		id := c.varint()
		content := c.bytes(c.varint())
		require.Equal(t, len(c.b), c.n())
		require.Equal(t, uint64(27), id%31)
		require.Len(t, content, int(grease&7))
	}
}

// A value of 0 offers multipath without more paths, and is not the same as no value
// (draft-ietf-quic-multipath-21, Section 2.1).
// draft-ietf-quic-multipath-21, Section 2.1 [2].
func TestParamsInitialMaxPathID(t *testing.T) {
	for s, want := range map[string]int64{"": -1, "3e0100": 0, "3e0103": 3, "3e08c0000000ffffffff": MaxPathID} {
		p, err := ParseParams(unhex(t, s), false)
		require.NoError(t, err)
		require.Equal(t, want, p.InitialMaxPathID)
	}
	for _, s := range []string{"3e08c000000100000000", "3e08ffffffffffffffff", "3e00", "3e020000"} {
		_, err := ParseParams(unhex(t, s), false)
		require.Error(t, err, s)
	}
}

// Both code points of reset_stream_at are understood, and sent.
func TestParamsResetStreamAt(t *testing.T) {
	for _, s := range []string{"1d00", "c017f7586d2cb57100"} {
		p, err := ParseParams(unhex(t, s), false)
		require.NoError(t, err)
		require.True(t, p.ResetStreamAt)
	}
	p := DefaultParams()
	p.ResetStreamAt = true
	require.Equal(t, unhex(t, "1d00c017f7586d2cb57100"), AppendParams(nil, &p, 0))
}

func TestParamsClamped(t *testing.T) {
	p, err := ParseParams(example(t, "01 08 ffffffffffffffff"), false)
	require.NoError(t, err)
	require.Positive(t, p.MaxIdleTimeout)
	require.Positive(t, int64(p.MaxIdleTimeout)+time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano(), "no overflow")
}

// min_ack_delay of 0 is not the same as none.
func TestParamsMinAckDelayZero(t *testing.T) {
	for _, s := range []string{"c0000000ff04de1b 01 00", "c0000000ff04de1b 01 00 0b 01 00"} {
		p, err := ParseParams(example(t, s), false)
		require.NoError(t, err)
		require.Equal(t, time.Nanosecond, p.MinAckDelay)
		again, err := ParseParams(AppendParams(nil, &p, 0), false)
		require.NoError(t, err)
		require.Equal(t, p, again)
	}
}

// RFC 9000, Section 19.11 [1].
func TestParamsErrors(t *testing.T) {
	for name, s := range map[string]string{
		"truncated identifier":           "40",
		"no length":                      "01",
		"length beyond the end":          "01 04 000000",
		"endless":                        "01 ffffffffffffffff 00",
		"duplicate":                      "04 01 01 04 01 01",
		"duplicate with another between": "04 01 01 05 01 01 04 01 02",
		"duplicate flag":                 "0c 00 0c 00",
		"duplicate unknown":              "1b 00 1b 01 07",
		"duplicate, other encodings":     "1b 00 401b 00",
		"empty integer":                  "04 00",
		"integer cut":                    "04 01 40",
		"bytes behind an integer":        "04 02 01 01",
		"max_udp_payload_size of 1199":   "03 02 44af",
		// RFC 9000, Section 4.6 [1].
		"initial_max_streams_bidi above 2^60":   "08 08 d000000000000001",
		"initial_max_streams_uni above 2^60":    "09 08 d000000000000001",
		"ack_delay_exponent of 21":              "0a 01 15",
		"ack_delay_exponent of 256":             "0a 02 4100",
		"max_ack_delay of 2^14":                 "0b 04 80004000",
		"max_ack_delay of 2^62-1":               "0b 08 ffffffffffffffff",
		"active_connection_id_limit of 1":       "0e 01 01",
		"disable_active_migration with content": "0c 01 00",
		"grease_quic_bit with content":          "6ab2 01 00", // RFC 9287, Section 3 [1]
		"reset_stream_at with content":          "1d 01 00",
		"reset_stream_at, old, with content":    "c017f7586d2cb571 01 00",
		"min_ack_delay > default max_ack_delay": "c0000000ff04de1b 04 800061a9",
		"min_ack_delay > max_ack_delay":         "0b 01 01 c0000000ff04de1b 02 43e9",
		"min_ack_delay > later max_ack_delay":   "c0000000ff04de1b 02 43e9 0b 01 01",
		"min_ack_delay of 2^62-1":               "c0000000ff04de1b 08 ffffffffffffffff",
		"min_ack_delay overflowing to zero":     "c0000000ff04de1b 08 e000000000000000",
		"initial_scid of 21 bytes":              "0f 15 000000000000000000000000000000000000000000",
		"version_information empty":             "11 00",
		"version_information cut":               "11 07 00000001000000",
		"chosen version of zero":                "11 08 00000000 00000000",
		"available version of zero":             "11 0c 00000001 00000001 00000000",
		"client: chosen version not available":  "11 08 00000001 6b3343cf",
		"client: no available versions":         "11 04 00000001",
		"client: original_dcid":                 "00 00",
		"client: stateless_reset_token":         "02 10 000102030405060708090a0b0c0d0e0f",
		"client: preferred_address":             "0d 2a 000000000000 000000000000000000000000000000000000 01aa 000102030405060708090a0b0c0d0e0f",
		"client: retry_scid":                    "10 01 aa",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseParams(example(t, s), false)
			require.ErrorContains(t, err, "wire: ")
		})
	}
}

// What only servers send may be wrong in itself.
func TestParamsServerErrors(t *testing.T) {
	const addrs = "c0000201 01bb 20010db8000000000000000000000001 01bb"
	const token = "000102030405060708090a0b0c0d0e0f"
	for name, s := range map[string]string{
		"original_dcid of 21 bytes":          "00 15 000000000000000000000000000000000000000000",
		"retry_scid of 21 bytes":             "10 15 000000000000000000000000000000000000000000",
		"stateless_reset_token of 15 bytes":  "02 0f 000102030405060708090a0b0c0d0e",
		"stateless_reset_token of 17 bytes":  "02 11 " + token + "10",
		"preferred_address empty":            "0d 00",
		"preferred_address, empty ID":        "0d 29 " + addrs + "00" + token,
		"preferred_address, ID of 21 bytes":  "0d 3e " + addrs + "15 000000000000000000000000000000000000000000" + token,
		"preferred_address, cut":             "0d 29 " + addrs + "01 aa" + token[2:],
		"preferred_address, bytes behind it": "0d 2b " + addrs + "01 aa" + token + "00",
		"preferred_address, ID too long":     "0d 2a " + addrs + "ff aa" + token,
		"available version of zero":          "11 0c 00000001 00000001 00000000",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseParams(example(t, s), true)
			require.ErrorContains(t, err, "wire: ")
		})
	}
	p, err := ParseParams(example(t, "0d 2a "+addrs+"01 aa"+token+"11 04 00000001"), true)
	require.NoError(t, err)
	require.Equal(t, &PreferredAddress{
		V4:         netip.MustParseAddrPort("192.0.2.1:443"),
		V6:         netip.MustParseAddrPort("[2001:db8::1]:443"),
		ID:         []byte{0xaa},
		ResetToken: [16]byte(unhex(t, token)),
	}, p.Preferred)
	require.Equal(t, uint32(Version1), p.ChosenVersion)
	require.Empty(t, p.AvailableVersions)
}

// As many unknown parameters as a TLS extension holds are ignored, in bounded time.
// RFC 9000, Section 7.4.2 [1].
func TestParamsManyUnknown(t *testing.T) {
	var b []byte
	for id := uint64(20000); len(b) < 65530; id++ {
		b = AppendVarint(b, id)
		b = append(b, 0)
	}
	p, err := ParseParams(b, false)
	require.NoError(t, err)
	require.Equal(t, DefaultParams(), p)
}

func FuzzParams(f *testing.F) {
	p, client := allParams(), DefaultParams()
	client.InitialSCID = []byte("scid")
	f.Add(AppendParams(nil, &p, 7), true)
	f.Add(AppendParams(nil, &client, 1<<40), false)
	f.Add(example(f, "0408ffffffffffffffff05048000ffff07048000ffff0801100104800075300901100f088394c8f03e51570806048000ffff"), false)
	f.Add(example(f, "c0000000ff04de1b 01 00 0b 01 00"), false)
	f.Add([]byte{}, false)
	f.Fuzz(func(t *testing.T, b []byte, fromServer bool) {
		in := bytes.Clone(b)
		p, err := ParseParams(in, fromServer)
		if err != nil {
			return
		}
		clear(in) // nothing may alias it
		enc := AppendParams(nil, &p, 0)
		p2, err := ParseParams(enc, fromServer)
		if err != nil || !reflect.DeepEqual(p, p2) {
			t.Fatalf("%x: %+v became %+v: %v", b, p, p2, err)
		}
		if !bytes.Equal(enc, AppendParams(nil, &p2, 0)) {
			t.Fatalf("%x is not encoded twice alike", b)
		}
	})
}
