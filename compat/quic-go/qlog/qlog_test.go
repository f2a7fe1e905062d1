package qlog_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/qlog"
	"github.com/quic-go/quic-go/qlogwriter"
	"github.com/quic-go/quic-go/qlogwriter/jsontext"
)

// mark is an event of the program.
type mark struct{}

func (mark) Name() string { return "test:mark" }

func (mark) Encode(e *jsontext.Encoder, _ time.Time) error {
	e.WriteToken(jsontext.BeginObject)
	return e.WriteToken(jsontext.EndObject)
}

// TestDefaultConnectionTracer: both sides of a connection write packets to QLOGDIR, and what the
// program records.
func TestDefaultConnectionTracer(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	t.Setenv("QLOGDIR", dir)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cfg := &quic.Config{Tracer: qlog.DefaultConnectionTracer}
	l, err := quic.ListenAddr("127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{certificate(t)}, NextProtos: []string{"test"}}, cfg)
	check(t, err)
	defer l.Close()
	c, err := quic.DialAddr(ctx, l.Addr().String(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"test"}}, cfg)
	check(t, err)
	s, err := l.Accept(ctx)
	check(t, err)
	s.QlogTrace().AddProducer().RecordEvent(mark{})
	c.CloseWithError(7, "enough")
	if b := content(t, dir, "client"); !bytes.Contains(b, []byte("connection_closed")) || !bytes.HasSuffix(b, []byte("\n")) {
		t.Errorf("after CloseWithError the log of the client is not complete: %d bytes", len(b))
	}
	<-s.Context().Done()
	for side, want := range map[string]string{"client": `"connection_closed"`, "server": `"test:mark"`} {
		file := written(t, ctx, dir, side)
		for i, line := range bytes.Split(bytes.TrimSuffix(file, []byte("\n")), []byte("\n")) {
			if !json.Valid(bytes.TrimPrefix(line, []byte{0x1e})) {
				t.Errorf("%s: record %d is %q", side, i, line)
			}
		}
		for _, want := range []string{want, `packet_sent"`, `packet_received"`} {
			if !strings.Contains(string(file), strings.TrimPrefix(want, `"`)) {
				t.Errorf("the log of the %s has no %s", side, want)
			}
		}
	}
}

// written waits for the log of one side, with its last record.
func written(t *testing.T, ctx context.Context, dir, side string) []byte {
	t.Helper()
	for {
		files, _ := filepath.Glob(filepath.Join(dir, "*_"+side+".sqlog"))
		if len(files) == 1 {
			if b, err := os.ReadFile(files[0]); err == nil && bytes.Contains(b, []byte("connection_closed")) && bytes.HasSuffix(b, []byte("\n")) {
				return b
			}
		}
		select {
		case <-ctx.Done():
			t.Fatalf("the logs of the %s are %q", side, files)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// content returns the log of one side as it is now.
func content(t *testing.T, dir, side string) []byte {
	t.Helper()
	files, _ := filepath.Glob(filepath.Join(dir, "*_"+side+".sqlog"))
	if len(files) != 1 {
		t.Fatalf("the logs of the %s are %q", side, files)
	}
	b, err := os.ReadFile(files[0])
	check(t, err)
	return b
}

// TestTraceWithoutConnection: a program may call DefaultConnectionTracer by itself. The file is
// complete when the last Recorder is closed.
func TestTraceWithoutConnection(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	t.Setenv("QLOGDIR", dir)
	trace := qlog.DefaultConnectionTracer(t.Context(), true, quic.ConnectionIDFromBytes([]byte{1, 2, 3, 4}))
	first, second := trace.AddProducer(), trace.AddProducer()
	first.RecordEvent(mark{})
	check(t, first.Close())
	second.RecordEvent(mark{})
	check(t, second.Close())
	b := content(t, dir, "client")
	if n := bytes.Count(b, []byte("test:mark")); n != 2 || !bytes.Contains(b, []byte(qlog.EventSchema)) {
		t.Errorf("the log has %d events: %s", n, b)
	}
	if trace.AddProducer() != nil {
		t.Error("a trace that has ended takes a producer")
	}

	t.Setenv("QLOGDIR", os.DevNull) // no folder
	if trace := qlog.DefaultConnectionTracer(t.Context(), true, quic.ConnectionIDFromBytes([]byte{1})); trace.AddProducer() != nil {
		t.Error("a trace without a file takes a producer")
	}
}

// A wrapped is a trace that a program has changed.
type wrapped struct{ qlogwriter.Trace }

// TestWrappedTrace: the trace of a connection may be what a program makes of that of
// DefaultConnectionTracer. CloseWithError waits for its file, too.
func TestWrappedTrace(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("QLOGDIR", dir)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	l, err := quic.ListenAddr("127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{certificate(t)}, NextProtos: []string{"test"}}, nil)
	check(t, err)
	defer l.Close()
	tracer := func(ctx context.Context, client bool, id quic.ConnectionID) qlogwriter.Trace {
		return wrapped{qlog.DefaultConnectionTracer(ctx, client, id)}
	}
	c, err := quic.DialAddr(ctx, l.Addr().String(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"test"}}, &quic.Config{Tracer: tracer})
	check(t, err)
	c.CloseWithError(7, "enough")
	b := content(t, dir, "client")
	for _, want := range []string{"packet_sent", "connection_closed"} {
		if !bytes.Contains(b, []byte(want)) {
			t.Errorf("the log has no %s", want)
		}
	}
}

// TestWithoutDirectory: there is no trace.
func TestWithoutDirectory(t *testing.T) {
	t.Setenv("QLOGDIR", "")
	if got := qlog.DefaultConnectionTracer(t.Context(), true, quic.ConnectionIDFromBytes([]byte{1})); got != nil {
		t.Errorf("the trace is %v", got)
	}
}

func certificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	check(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
