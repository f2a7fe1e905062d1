package conn

import (
	"net/netip"
	"time"
)

// A TokenKind says which valid token an [AdmissionRequest] carried. An invalid one counts as none.
type TokenKind uint8

// Kinds of tokens.
const (
	TokenNone     TokenKind = iota // none, or an invalid one
	TokenRetry                     // of a Retry packet: the address is validated now
	TokenNewToken                  // of a NEW_TOKEN frame: it was validated earlier
)

// An AdmissionRequest describes a client's Initial packet that belongs to no connection.
type AdmissionRequest struct {
	Time          time.Time // for limits by rate: the time given to Receive
	Local, Remote netip.AddrPort
	DCID          ConnID
	Version       uint32
	Token         TokenKind
	Pending       int // incomplete handshakes of clients right now
}

// Admission is what to do with an [AdmissionRequest].
type Admission uint8

// What to do with an AdmissionRequest.
const (
	AdmissionAccept Admission = iota // create a connection
	// send Retry and keep no state; accept if the Initial has the token of a Retry packet
	AdmissionRetry
	AdmissionRefuse // send CONNECTION_CLOSE with CONNECTION_REFUSED
	AdmissionIgnore // drop
)
