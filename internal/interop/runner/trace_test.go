package runner

import (
	"bytes"
	"crypto/tls"
	"slices"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/internal/keys"
	"github.com/lazoquic/lazo/internal/netrelay"
	"github.com/lazoquic/lazo/internal/wire"
)

// A packet is a packet as its sender sent it.
type packet struct {
	*datagram
	typ        conn.PacketType
	version    uint32
	dcid, scid []byte
	token      []byte
	size       int // bytes, all of it
	session    *session

	opened  bool // the fields below are set
	number  uint64
	phase   bool
	payload []byte
	frames  []frame
}

// A trace holds the decrypted packets that two implementations sent each other, in order.
type trace struct {
	packets  []*packet
	sessions []*session
	secrets  *keyLog
}

// A session holds what a trace knows of a connection. Arrays are indexed by direction, and then by
// packet number space.
type session struct {
	clients    []path // at the client
	initialIDs [][]byte
	idLen      [2]int // of destination IDs in short headers
	suite      uint16
	version    uint32             // of Handshake packets, and so of 1-RTT packets
	level      [2][3][]*keys.Keys // the last are by key phase
	early      *keys.Keys
	largest    [2][3]int64
	crypto     [2][3]cryptoStream
}

// Packet number spaces.
const (
	spaceInitial = iota
	spaceHandshake
	spaceApp
)

// trace decrypts what the tap recorded.
func (tp *tap) trace() *trace {
	tr := &trace{secrets: &tp.secrets}
	for _, d := range tp.recorded() {
		if d.sent {
			tr.add(d)
		}
	}
	return tr
}

// add dissects a datagram.
func (tr *trace) add(d *datagram) {
	for b := d.data; len(b) > 0; {
		if !wire.IsLong(b[0]) {
			tr.addShort(d, b)
			return
		}
		version, dcid, scid, ok := wire.ParseInvariant(b)
		if ok && version == 0 {
			tr.packets = append(tr.packets, &packet{
				datagram: d, typ: conn.PacketVersionNegotiation, dcid: dcid, scid: scid, size: len(b),
			})
			return
		}
		h, ok := wire.ParseLong(b)
		if !ok {
			// The version is unknown, so only the invariant fields can be read.
			tr.packets = append(tr.packets, &packet{datagram: d, version: version, dcid: dcid, scid: scid, size: len(b)})
			return
		}
		tr.addLong(d, &h, b[:h.End])
		b = b[h.End:]
	}
}

func (tr *trace) addLong(d *datagram, h *wire.Long, b []byte) {
	p := &packet{
		datagram: d, version: h.Version, dcid: h.DCID, scid: h.SCID, token: h.Token, size: len(b),
		typ: []conn.PacketType{conn.PacketInitial, conn.Packet0RTT, conn.PacketHandshake, conn.PacketRetry}[h.Type],
	}
	tr.packets = append(tr.packets, p)
	s := tr.sessionOf(d)
	if p.typ == conn.PacketRetry {
		if s != nil {
			s.initialIDs = append(s.initialIDs, h.SCID)
		}
		return
	}
	space := spaceInitial
	switch p.typ {
	case conn.PacketInitial:
		if s = tr.openInitial(s, p, b, h.PNOff); s == nil {
			return
		}
		s.idLen[1-d.dir] = len(h.SCID)
	case conn.PacketHandshake:
		space = spaceHandshake
		if s != nil {
			s.version = h.Version
			s.openHandshake(tr.secrets, p, b, h.PNOff)
		}
	case conn.Packet0RTT:
		space = spaceApp
		if s != nil {
			s.openEarly(tr.secrets, p, b, h.PNOff)
		}
	}
	p.session = s
	s.read(p, space)
}

// sessionOf returns the latest session of a datagram's client, nil if there is none.
func (tr *trace) sessionOf(d *datagram) *session {
	for _, s := range slices.Backward(tr.sessions) {
		if slices.ContainsFunc(s.clients, func(p path) bool { return p.client == d.atClient.client }) {
			return s
		}
	}
	return nil
}

// openInitial opens an Initial packet of s, or else of a new session.
func (tr *trace) openInitial(s *session, p *packet, b []byte, pnOff int) *session {
	ids := [][]byte{p.dcid}
	if s != nil {
		ids = slices.Concat(s.initialIDs, ids)
	}
	for _, id := range ids {
		client, server := keys.Initial(p.version, id)
		k := [...]*keys.Keys{client, server}[p.dir]
		if !p.open(k, b, pnOff, -1) {
			continue
		}
		if s == nil || !slices.ContainsFunc(s.initialIDs, func(have []byte) bool { return bytes.Equal(have, id) }) {
			s = newSession(p.atClient)
			s.initialIDs = append(s.initialIDs, id)
			tr.sessions = append(tr.sessions, s)
		}
		return s
	}
	return nil
}

func newSession(client path) *session {
	return &session{clients: []path{client}, largest: [2][3]int64{{-1, -1, -1}, {-1, -1, -1}}}
}

func (s *session) openHandshake(secrets *keyLog, p *packet, b []byte, pnOff int) {
	s.openBy(secrets, [...]string{labelClientHandshake, labelServerHandshake}[p.dir], p.version, &s.level[p.dir][spaceHandshake],
		func(k *keys.Keys) bool { return p.open(k, b, pnOff, s.largest[p.dir][spaceHandshake]) })
}

func (s *session) openEarly(secrets *keyLog, p *packet, b []byte, pnOff int) {
	var early []*keys.Keys
	if s.early != nil {
		early = []*keys.Keys{s.early}
	}
	// 0-RTT packets use the suite of the resumed session, whatever the server chooses now.
	chosen := s.suite
	s.suite = 0
	s.openBy(secrets, labelClientEarly, p.version, &early,
		func(k *keys.Keys) bool { return p.open(k, b, pnOff, s.largest[p.dir][spaceApp]) })
	s.suite = chosen
	if len(early) > 0 {
		s.early = early[0]
	}
}

// openBy calls open with the keys of a secret, once it is known. The first packet that opens tells
// the cipher suite.
func (s *session) openBy(secrets *keyLog, label string, version uint32, have *[]*keys.Keys, open func(*keys.Keys) bool) bool {
	if len(*have) > 0 {
		return open((*have)[0])
	}
	h, ok := s.clientHello()
	if !ok {
		return false
	}
	secret := secrets.secret(label, h.random)
	if secret == nil {
		return false
	}
	suites := []uint16{tls.TLS_AES_128_GCM_SHA256, tls.TLS_CHACHA20_POLY1305_SHA256, tls.TLS_AES_256_GCM_SHA384}
	if s.suite != 0 {
		suites = []uint16{s.suite}
	}
	for _, suite := range suites {
		k, err := keys.New(version, suite, secret)
		if err == nil && open(k) {
			s.suite = suite
			*have = []*keys.Keys{k}
			return true
		}
	}
	return false
}

// addShort opens a 1-RTT packet. Its path may be new.
func (tr *trace) addShort(d *datagram, b []byte) {
	p := &packet{datagram: d, typ: conn.Packet1RTT, size: len(b)}
	tr.packets = append(tr.packets, p)
	known := tr.sessionOf(d)
	if known != nil && known.openShort(tr.secrets, p, b) {
		p.session = known
		return
	}
	for _, s := range tr.sessions {
		if s != known && s.openShort(tr.secrets, p, b) {
			s.clients = append(s.clients, d.atClient)
			p.session = s
			return
		}
	}
}

func (s *session) openShort(secrets *keyLog, p *packet, b []byte) bool {
	pnOff := 1 + s.idLen[p.dir]
	if pnOff > len(b) {
		return false
	}
	gens := &s.level[p.dir][spaceApp]
	largest := s.largest[p.dir][spaceApp]
	label := [...]string{labelClientTraffic, labelServerTraffic}[p.dir]
	ok := len(*gens) == 0 && s.openBy(secrets, label, s.version, gens,
		func(k *keys.Keys) bool { return p.open(k, b, pnOff, largest) })
	for i := len(*gens) - 1; i >= 0 && !ok; i-- {
		ok = p.open((*gens)[i], b, pnOff, largest)
	}
	if !ok && len(*gens) > 0 {
		next, err := (*gens)[len(*gens)-1].Next()
		if ok = err == nil && p.open(next, b, pnOff, largest); ok {
			*gens = append(*gens, next)
		}
	}
	if ok {
		p.dcid = b[1:pnOff]
		s.read(p, spaceApp)
	}
	return ok
}

// open opens a copy of the packet b.
func (p *packet) open(k *keys.Keys, b []byte, pnOff int, largest int64) bool {
	b = bytes.Clone(b)
	n, truncated, ok := k.Unprotect(b, pnOff)
	if !ok {
		return false
	}
	number := wire.DecodePacketNumber(largest, truncated, n)
	first := b[0]
	payload, ok := k.Open(b, pnOff+n, number)
	if !ok {
		return false
	}
	p.opened, p.number, p.payload, p.frames = true, number, payload, parseFrames(payload)
	p.phase = !wire.IsLong(first) && wire.KeyPhase(first)
	return true
}

// read updates the session from an opened packet. It ignores other packets.
func (s *session) read(p *packet, space int) {
	if !p.opened {
		return
	}
	s.largest[p.dir][space] = max(s.largest[p.dir][space], int64(p.number))
	for _, f := range p.frames {
		if f.typ == wire.FrameCrypto {
			offset, data, _ := wire.ParseCrypto(f.data)
			s.crypto[p.dir][space].add(offset, data)
		}
	}
}

func (s *session) clientHello() (hello, bool) {
	return parseFirst(&s.crypto[netrelay.Up][spaceInitial], tlsClientHello, parseClientHello)
}

func (s *session) serverHello() (hello, bool) {
	return parseFirst(&s.crypto[netrelay.Down][spaceInitial], tlsServerHello, parseServerHello)
}

func (s *session) encryptedExtensions() (hello, bool) {
	return parseFirst(&s.crypto[netrelay.Down][spaceHandshake], tlsEncryptedExtensions, parseEncryptedExtensions)
}

func parseFirst(c *cryptoStream, typ byte, parse func([]byte) (hello, bool)) (hello, bool) {
	if m := c.messages(typ); len(m) > 0 {
		return parse(m[0])
	}
	return hello{}, false
}

// of returns the packets of a direction and type.
func (tr *trace) of(dir netrelay.Dir, typ conn.PacketType) (ps []*packet) {
	for _, p := range tr.packets {
		if p.dir == dir && p.typ == typ {
			ps = append(ps, p)
		}
	}
	return ps
}

// handshakes counts as the runner does: source connection IDs in Initial packets of servers.
func (tr *trace) handshakes() int {
	ids := make(map[string]bool)
	for _, p := range tr.of(netrelay.Down, conn.PacketInitial) {
		ids[string(p.scid)] = true
	}
	return len(ids)
}

// versions returns the versions of the packets of a direction and type.
func (tr *trace) versions(dir netrelay.Dir, typ conn.PacketType) map[uint32]bool {
	versions := make(map[uint32]bool)
	for _, p := range tr.of(dir, typ) {
		versions[p.version] = true
	}
	return versions
}

// closedWithoutError counts the connections that their clients closed with code 0.
func (tr *trace) closedWithoutError() int {
	closed := make(map[*session]bool)
	for _, p := range tr.of(netrelay.Up, conn.Packet1RTT) {
		for _, f := range p.frames {
			if f.typ != wire.FrameApplicationClose {
				continue
			}
			if _, code, _, _, _ := wire.ParseConnectionClose(f.data); code == 0 {
				closed[p.session] = true
			}
		}
	}
	return len(closed)
}
