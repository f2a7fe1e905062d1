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
