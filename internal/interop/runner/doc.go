// Package runner holds tests alone: the cases of quic-interop-runner. Each downloads files with one
// implementation from another, over a bad network. A trace of the datagrams then tells whether both
// did what the case is about.
package runner
