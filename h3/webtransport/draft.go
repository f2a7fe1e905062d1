package webtransport

import (
	"cmp"
	"maps"
	"math"
	"net/http"
	"slices"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/varint"
	"github.com/lazoquic/lazo/h3"
)

// Settings that say which drafts of draft-ietf-webtrans-http3 a peer speaks.
const (
	settingEnabled02     = 0x2b603742 // up to draft 06: 1
	settingMaxSessions07 = 0xc671706a // drafts 07 to 12: how many sessions at once
	settingMaxSessions13 = 0x14e9cd29 // drafts 13 and 14: how many sessions at once
	settingEnabled15     = 0x2c7cf000 // since draft 15: 1
)

// Settings with the first limits of a session (draft-ietf-webtrans-http3-16, Section 5.5).
const (
	settingMaxData        = 0x2b61
	settingMaxStreamsUni  = 0x2b64
	settingMaxStreamsBidi = 0x2b65
)

// Values of :protocol.
const (
	protocolName   = "webtransport-h3" // since draft 15
	protocolName14 = "webtransport"
)

// Header fields that only draft 02 has.
const (
	header02         = "Sec-Webtransport-Http3-Draft02"
	headerResponse02 = "Sec-Webtransport-Http3-Draft"
)

// A draft stands for all drafts with the same wire format, of which it is the first. The streams,
// datagrams and capsules that this package uses are the same in all drafts.
type draft uint8

const (
	draftNone draft = 0
	draft02   draft = 2
	draft07   draft = 7
	draft13   draft = 13
	draft15   draft = 15
)

// newest returns the newest draft that settings offer. This side speaks all of them.
func newest(settings map[uint64]uint64) draft {
	switch {
	case settings[settingEnabled15] == 1:
		return draft15
	case settings[settingMaxSessions13] > 0:
		return draft13
	case settings[settingMaxSessions07] > 0:
		return draft07
	case settings[settingEnabled02] == 1:
		return draft02
	}
	return draftNone
}

// protocol returns the :protocol of the draft.
func (d draft) protocol() string {
	if d >= draft15 {
		return protocolName
	}
	return protocolName14
}

// sharesFreely reports whether sessions may share a connection without flow control for each
// session. Since draft 13 they may not (draft-ietf-webtrans-http3-16, Section 5.1).
func (d draft) sharesFreely() bool { return d < draft13 }

// isWebTransport reports whether r asks for a session.
func isWebTransport(r *http.Request) bool {
	name := r.Header.Get(":protocol")
	return r.Method == http.MethodConnect && (name == protocolName || name == protocolName14)
}

// extendConfig returns a copy of cfg, or of the zero Config, that offers all drafts and takes the
// streams of sessions. Sessions is how many may share a connection, for the settings of drafts 07
// to 14. own are the limits of a session.
func extendConfig(cfg *h3.Config, sessions int, own limits) *h3.Config {
	var c h3.Config
	if cfg != nil {
		c = *cfg
	}
	c.Datagrams = true
	c.Settings = maps.Clone(c.Settings)
	if c.Settings == nil {
		c.Settings = make(map[uint64]uint64)
	}
	most := min(uint64(sessions), varint.Max)
	c.Settings[settingEnabled02] = 1
	c.Settings[settingMaxSessions07] = most
	c.Settings[settingMaxSessions13] = 1
	c.Settings[settingEnabled15] = 1
	if own.any() {
		c.Settings[settingMaxSessions13] = most
		c.Settings[settingMaxData] = own.data
		c.Settings[settingMaxStreamsBidi] = own.streams[conn.Bidi]
		c.Settings[settingMaxStreamsUni] = own.streams[conn.Uni]
	}
	for _, typ := range []uint64{typeUni, typeBidi} {
		if !slices.Contains(c.StreamTypes, typ) {
			c.StreamTypes = append(slices.Clip(c.StreamTypes), typ)
		}
	}
	return &c
}

// An offer is what the settings of a peer offer.
type offer struct {
	draft     draft
	datagrams bool   // are allowed by the setting and by the transport parameter
	connect   bool   // extended CONNECT is allowed
	invalid   bool   // a setting has a value that is not allowed
	sessions  uint64 // how many may share a connection, by the settings of drafts 07 to 14
	limits    limits
}

func offerOf(settings map[uint64]uint64) offer {
	o := offer{
		draft:     newest(settings),
		datagrams: settings[h3.SettingDatagrams] == 1,
		connect:   settings[h3.SettingExtendedConnect] == 1,
		invalid:   settings[settingEnabled15] > 1,
		limits: limits{
			streams: [2]uint64{settings[settingMaxStreamsBidi], settings[settingMaxStreamsUni]},
			data:    settings[settingMaxData],
		},
	}
	// Since draft 15 no setting says how many sessions there may be. Servers that speak older
	// drafts as well still say it.
	o.sessions = cmp.Or(settings[settingMaxSessions13], settings[settingMaxSessions07], math.MaxUint64)
	if o.draft == draft07 {
		o.sessions = settings[settingMaxSessions07]
	}
	return o
}

// flows reports whether sessions with this peer have flow control: both sides have to ask for it
// (draft-ietf-webtrans-http3-16, Section 5.1). Before draft 13 that was not settled.
func (o offer) flows(own limits) bool { return o.draft >= draft13 && own.any() && o.limits.any() }

// shares reports whether sessions may share a connection with this peer.
func (o offer) shares(own limits) bool { return o.draft.sharesFreely() || o.flows(own) }
