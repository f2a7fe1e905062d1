package h3http

import "math"

// An allowance counts the requests that a connection to a server may still take. The mutex of the
// connection guards it.
type allowance struct {
	credit   uint64 // streams that the server allows, as the loop saw it last
	unopened int    // requests that have begun, and whose stream is not yet taken from credit
	reserved int    // requests that Reserve has announced

	// What the user was told last.
	free, inFlight int
	over           bool
}

// begin counts a request, which takes the place of one that was reserved.
func (a *allowance) begin() {
	a.unopened++
	a.release()
}

// left returns how many requests can begin without waiting for a stream.
func (a *allowance) left() int {
	return max(0, int(min(a.credit, math.MaxInt32))-a.unopened-a.reserved)
}

// release gives a reserved place back, if there is one.
func (a *allowance) release() { a.reserved = max(0, a.reserved-1) }

// changed notes what the user can see. It reports whether more requests can begin, fewer are in
// flight, or the connection has stopped taking requests, since the last call.
func (a *allowance) changed(requests int, over bool) bool {
	free, inFlight := a.left(), requests+a.reserved
	if over {
		free = 0
	}
	better := free > a.free || inFlight < a.inFlight || over && !a.over
	a.free, a.inFlight, a.over = free, inFlight, over
	return better
}
