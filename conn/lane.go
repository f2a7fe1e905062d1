package conn

// A lane is what a connection keeps for one path ID (draft-ietf-quic-multipath-21): its packet
// numbers, its connection IDs, what is in flight, and its timers. The draft calls this a path. In
// this package a path is a pair of addresses, and a lane may move from one to another, as the whole
// connection does where there is only the lane with the ID 0.
type lane struct {
	conn *Conn
	id   uint32
	app  *space // of its 1-RTT packets

	local     localIDs
	remote    remoteIDs
	path      *path // in use
	oldPath   *path // to go back to, while path is validated
	candidate *path // probed by the client
	responses []pathResponse
	ledger    ledger
	timeouts  timeouts
	paceAt    instant // when pacing allows more; 0 if it does not hold anything up
	skipNext  uint64  // the packet number to leave out next
}
