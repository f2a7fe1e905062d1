// Package metrics shows what a program does with QUIC and HTTP/3 as metrics in the format of
// Prometheus, and requires no other module. For programs that use the client library of Prometheus,
// module metrics/prometheus has a Collector of the same metrics.
//
// Names begin with quic_ or http3_ and have base units. All values of labels are fixed: a peer
// cannot make up a new one. docs/metrics.md lists them.
package metrics
