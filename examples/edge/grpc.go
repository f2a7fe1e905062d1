package main

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Statuses of gRPC that the edge itself gives.
const (
	grpcDeadlineExceeded = 4
	grpcUnavailable      = 14
)

// isGRPC reports whether r is a call of gRPC. All calls are POSTs. A WebSocket is none, whatever
// its Content-Type: for its client, the status 200 of failGRPC would be an open WebSocket.
func isGRPC(r *http.Request) bool {
	kind := r.Header.Get("Content-Type")
	return r.Method == http.MethodPost && (kind == "application/grpc" || strings.HasPrefix(kind, "application/grpc+"))
}

// failGRPC answers a call whose backend failed in the form of gRPC: status 200 and a header without
// a body.
func failGRPC(w http.ResponseWriter, r *http.Request, err error) {
	t := tripOf(r)
	t.empty = true
	code := grpcUnavailable
	limit, ok := grpcTimeout(r.Header.Get("Grpc-Timeout"))
	if statusOf(err) == http.StatusGatewayTimeout || ok && time.Since(t.begin) >= limit {
		code = grpcDeadlineExceeded
	}
	h := w.Header()
	h.Set("Content-Type", "application/grpc")
	h.Set("Grpc-Status", strconv.Itoa(code))
	h.Set("Grpc-Message", http.StatusText(statusOf(err)))
	w.WriteHeader(http.StatusOK)
}

// grpcUnits are what the last letter of a Grpc-Timeout stands for.
var grpcUnits = map[byte]time.Duration{
	'H': time.Hour, 'M': time.Minute, 'S': time.Second,
	'm': time.Millisecond, 'u': time.Microsecond, 'n': time.Nanosecond,
}

// grpcTimeout reads a Grpc-Timeout: at most eight digits and a unit.
func grpcTimeout(text string) (limit time.Duration, ok bool) {
	if len(text) < 2 || len(text) > 9 {
		return 0, false
	}
	unit, ok := grpcUnits[text[len(text)-1]]
	n, err := strconv.ParseUint(text[:len(text)-1], 10, 32)
	if !ok || err != nil {
		return 0, false
	}
	if n > uint64(math.MaxInt64/unit) {
		return math.MaxInt64, true
	}
	return time.Duration(n) * unit, true
}
