// Package interop holds tests alone. They run this module against implementations that
// others wrote, over loopback. Peers that are written in Go are here. Peers that
// need more than Go are under .ci/interop.
package interop
