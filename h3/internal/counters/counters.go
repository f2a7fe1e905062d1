// Package counters sums up the counters of the connections of HTTP/3.
package counters

import "github.com/lazoquic/lazo/h3"

// Add adds o to sum, n times. What is negative wraps around as unsigned numbers do, so that an
// earlier snapshot of a connection can be taken away.
func Add(sum, o *h3.Stats, n int) {
	sum.Open += n * o.Open
	sum.FieldBytes += n * o.FieldBytes
	k := uint64(n)
	sum.Requests += k * o.Requests
	sum.Rejected += k * o.Rejected
	sum.Malformed += k * o.Malformed
	sum.TooLarge += k * o.TooLarge
	sum.Canceled += k * o.Canceled
	sum.Floods += k * o.Floods
	sum.HeaderTimeouts += k * o.HeaderTimeouts
	sum.Dropped += k * o.Dropped
}
