package main

import (
	"math"
	"net"
	"slices"
	"strconv"
)

// A test is a mode with its size, and the metrics to show.
type test struct {
	name, title string
	mode        string
	size        string // the flag that scale multiplies
	n           int64
	more        []string
	metrics     []metric // the first is that of the chart
	http        bool
	resumes     bool // all contenders have the client of this program
	rsa         bool // servers have a certificate with RSA-2048, which costs them more than clients
}

// A metric is a column of a table.
type metric struct {
	name   string
	format string
	value  func(r *result) float64
	ratio  bool // tell the ratio to the first contender
}

// flags returns the flags of the client.
func (t *test) flags(scale float64) []string {
	f := []string{"--mode", t.mode}
	if t.size == "--secs" {
		f = append(f, t.size, strconv.FormatFloat(float64(t.n)*scale, 'f', 1, 64))
	} else {
		f = append(f, t.size, strconv.FormatInt(max(1, int64(float64(t.n)*scale)), 10))
	}
	return append(f, t.more...)
}

func perGiB(key string, server bool) func(r *result) float64 {
	return func(r *result) float64 {
		side := r.client
		if server {
			side = r.server
		}
		return side.number(key) / (r.client.number("bytes") / (1 << 30))
	}
}

func perOp(key string, server bool) func(r *result) float64 {
	return func(r *result) float64 {
		side := r.client
		if server {
			side = r.server
		}
		return 1e6 * side.number(key) / r.client.number("ops")
	}
}

func ofClient(key string) func(r *result) float64 {
	return func(r *result) float64 { return orNaN(r.client.number(key)) }
}

func milliseconds(key string) func(r *result) float64 {
	return func(r *result) float64 { return orNaN(r.client.number(key) / 1e3) }
}

// orNaN returns NaN for a figure that a program does not report.
func orNaN(v float64) float64 {
	if v == 0 {
		return math.NaN()
	}
	return v
}

// perPacket returns the allocations of a server per packet.
func perPacket(r *result) float64 {
	return r.server.number("mallocs") / (r.server.number("pkts_sent") + r.server.number("pkts_recv"))
}

func received(r *result) float64 { return r.server.number("dgrams") / r.server.number("dgram_secs") }

var (
	bulk = []metric{
		{name: "Gbit/s", format: "%.1f", value: ofClient("gbit_s")},
		{name: "server CPU s/GiB", format: "%.2f", value: perGiB("cpu", true), ratio: true},
		{name: "client CPU s/GiB", format: "%.2f", value: perGiB("cpu", false), ratio: true},
		{name: "server mallocs/packet", format: "%.3f", value: perPacket},
	}
	operations = []metric{
		{name: "a second", format: "%.0f", value: ofClient("ops_s")},
		{name: "server CPU µs each", format: "%.2f", value: perOp("cpu", true), ratio: true},
		{name: "client CPU µs each", format: "%.2f", value: perOp("cpu", false), ratio: true},
		{name: "server mallocs each", format: "%.1f", value: func(r *result) float64 { return perOp("mallocs", true)(r) / 1e6 }},
	}
	latencies = append(operations, []metric{
		{name: "p50 µs", format: "%.0f", value: ofClient("p50_us"), ratio: true},
		{name: "p99 µs", format: "%.0f", value: ofClient("p99_us")},
		{name: "p99.9 µs", format: "%.0f", value: ofClient("p999_us")},
	}...)
	datagrams = []metric{
		{name: "received a second", format: "%.0f", value: received},
		{name: "server CPU µs each", format: "%.2f", value: func(r *result) float64 { return 1e6 * r.server.number("cpu") / r.server.number("dgrams") }, ratio: true},
		{name: "of those sent", format: "%.3f", value: func(r *result) float64 { return r.server.number("dgrams") / r.client.number("ops") }},
		{name: "server mallocs/packet", format: "%.3f", value: perPacket},
	}
	// of active connections: the server's CPU without the handshakes
	active = append([]metric{
		operations[0],
		{name: "server CPU µs each", format: "%.2f", value: func(r *result) float64 { return 1e6 * r.client.number("server_cpu") / r.client.number("ops") }, ratio: true},
		operations[2],
	}, latencies[len(operations):]...)
	// of active connections at a set rate
	open = append(slices.Clone(active), []metric{
		{name: "client late p99 µs", format: "%.0f", value: ofClient("late_p99_us")},
		{name: "bytes a connection", format: "%.0f", value: ofClient("bytes_per_conn"), ratio: true},
	}...)
	mixed = []metric{
		{name: "handshakes a second", format: "%.0f", value: ofClient("handshakes_s")},
		{name: "p50 ms", format: "%.1f", value: milliseconds("handshake_p50_us")},
		{name: "p99 ms", format: "%.1f", value: milliseconds("handshake_p99_us")},
		{name: "given up", format: "%.0f", value: func(r *result) float64 { return r.client.number("handshakes_failed") }},
		{name: "requests p50 ms", format: "%.2f", value: milliseconds("p50_us"), ratio: true},
		{name: "p99 ms", format: "%.1f", value: milliseconds("p99_us"), ratio: true},
		{name: "client late p99 ms", format: "%.1f", value: milliseconds("late_p99_us")},
		{name: "server CPU s/s", format: "%.2f", value: func(r *result) float64 { return r.client.number("server_cpu") / r.client.number("wall") }},
		{name: "server grows by MB", format: "%.0f", value: func(r *result) float64 {
			return (r.client.number("rss_most_kb") - r.client.number("rss_before_kb")) / 1024
		}},
	}
	memory = []metric{
		{name: "bytes a connection", format: "%.0f", value: ofClient("bytes_per_conn"), ratio: true},
		{name: "the same after GC", format: "%.0f", value: ofClient("bytes_per_conn_gc"), ratio: true},
	}
)

// tests are those of the comparison, in the order of the tables.
var tests = []test{
	{name: "download", title: "Download, one stream", mode: "download", size: "--bytes", n: 2 << 30, metrics: bulk},
	{name: "upload", title: "Upload, one stream", mode: "upload", size: "--bytes", n: 2 << 30, metrics: bulk},
	{name: "rr1", title: "Requests, one at a time", mode: "rr", size: "--ops", n: 20000, metrics: latencies},
	{name: "rr64", title: "Requests, 64 at a time", mode: "rr", size: "--ops", n: 200000, more: at64, metrics: latencies},
	{name: "handshake", title: "Handshakes, 8 at a time", mode: "handshake", size: "--ops", n: 2000, more: at8, metrics: operations},
	{name: "handshakeresumed", title: "Resumed handshakes, 8 at a time", mode: "handshake", size: "--ops", n: 2000,
		more: append(at8, "--resume"), metrics: operations, resumes: true},
	{name: "datagram", title: "Datagrams of 1,200 bytes", mode: "datagram", size: "--secs", n: 3, metrics: datagrams},
	{name: "idle", title: "Memory of idle connections", mode: "idle", size: "--conns", n: 2000, metrics: memory},

	{name: "get1", title: "GET of 100 bytes, one at a time", mode: "rr", size: "--ops", n: 10000, metrics: latencies, http: true},
	{name: "get64", title: "GET of 100 bytes, 64 at a time", mode: "rr", size: "--ops", n: 60000, more: at64, metrics: latencies, http: true},
	{name: "get64x8", title: "GET of 100 bytes, 64 at a time over 8 connections", mode: "rr", size: "--ops", n: 60000,
		more: append(at64, "--over", "8"), metrics: latencies, http: true},
	{name: "gethandshake", title: "A handshake and a GET of 100 bytes, 8 at a time", mode: "handshake", size: "--ops", n: 2000,
		more: at8, metrics: operations, http: true},
	{name: "httpdownload", title: "Download over HTTP", mode: "download", size: "--bytes", n: 1 << 30, metrics: bulk, http: true},
	{name: "httpupload", title: "Upload over HTTP", mode: "upload", size: "--bytes", n: 1 << 30, metrics: bulk, http: true},
	{name: "getconns10", title: "GET of 100 bytes, one at a time on each of 10 connections", mode: "active", size: "--ops", n: 60000,
		more: onEach("10"), metrics: active, http: true},
	{name: "getconns100", title: "GET of 100 bytes, one at a time on each of 100 connections", mode: "active", size: "--ops", n: 60000,
		more: onEach("100"), metrics: active, http: true},
	{name: "getconns1000", title: "GET of 100 bytes, one at a time on each of 1,000 connections", mode: "active", size: "--ops", n: 60000,
		more: onEach("1000"), metrics: active, http: true},
	{name: "getopen1000", title: "GET of 100 bytes on random ones of 1,000 connections, 5,000 a second", mode: "active", size: "--ops", n: 25000,
		more: []string{"--rate", "5000", "--conns", "999", "--loops", "8"}, metrics: open, http: true},
	{name: "getmixed", title: "400 handshakes a second, and 1,000 GET a second on 100 other connections", mode: "mixed", size: "--secs", n: 5,
		more: beside("400"), metrics: mixed, http: true},
	{name: "getoverload", title: "800 handshakes a second with RSA-2048, and the same GET beside them", mode: "mixed", size: "--secs", n: 15,
		more: append(beside("800"), "--give-up", "5s"), metrics: mixed, http: true, rsa: true},
	{name: "httpidle", title: "Memory of idle connections of HTTP", mode: "idle", size: "--conns", n: 1000, metrics: memory, http: true},
}

// Flags for so many at a time.
var (
	at8  = []string{"--concurrency", "8"}
	at64 = []string{"--concurrency", "64"}
)

// beside returns the flags for so many handshakes a second beside requests.
func beside(rate string) []string {
	return []string{"--rate", rate, "--request-rate", "1000", "--conns", "100", "--loops", "4"}
}

// onEach returns the flags for one request at a time on each of n connections that have sockets of
// their own, beside one that rests.
func onEach(n string) []string {
	return []string{"--concurrency", n, "--conns", "1", "--socket-per-conn"}
}

// freePort returns a UDP port that is free now.
func freePort() int {
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return 4433
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).Port
}
