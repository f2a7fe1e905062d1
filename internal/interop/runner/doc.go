// Package runner holds tests alone: the cases of quic-interop-runner, which download
// files with one implementation from another over a bad network, and judge by a trace
// of the datagrams whether both did what the case is about.
package runner
