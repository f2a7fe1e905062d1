package quic_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
)

// TestDeadlineError: programs know the message of a deadline, and its type as a net.Error.
func TestDeadlineError(t *testing.T) {
	p := connect(t, nil, nil)
	a, _ := p.streams(t)
	a.SetDeadline(time.Now().Add(-time.Second))
	calls := map[string]func([]byte) (int, error){"Read": a.Read, "Peek": a.Peek, "Write": a.Write}
	for name, call := range calls {
		_, err := call([]byte("x"))
		timeout, ok := errors.AsType[net.Error](err)
		if !ok || !timeout.Timeout() || err.Error() != "deadline exceeded" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n, err := a.Peek(nil); n != 0 || err != nil {
		t.Errorf("Peek of nothing: %d, %v", n, err)
	}
}

// TestCancelAfterClose: Write after both returns the error of CancelWrite, the context keeps that of
// Close, and another Close does nothing.
func TestCancelAfterClose(t *testing.T) {
	p := connect(t, nil, nil)
	a, b := p.streams(t)
	check(t, a.Close())
	a.CancelWrite(7)
	_, err := a.Write([]byte("x"))
	wantErr(t, "Write", err, &quic.StreamError{StreamID: a.StreamID(), ErrorCode: 7})
	check(t, a.Close())
	wantErr(t, "the context", context.Cause(a.Context()), quic.ErrStreamClosed)

	b.CancelWrite(8)
	if err := b.Close(); err == nil || !strings.Contains(err.Error(), "canceled stream") {
		t.Errorf("Close after CancelWrite: %v", err)
	}
	if err := b.Close(); err != nil {
		t.Errorf("Close again: %v", err)
	}
	b.CancelWrite(9)
	_, err = b.Write([]byte("x"))
	wantErr(t, "Write", err, &quic.StreamError{StreamID: b.StreamID(), ErrorCode: 8})

	c, err := p.client.OpenStream()
	check(t, err)
	check(t, c.Close())
	check(t, p.client.CloseWithError(1, ""))
	wantErr(t, "the context after the end of the connection", context.Cause(c.Context()), quic.ErrStreamClosed)
}

// TestAcceptReturnsErr: Accept returns the error of its context, and not the cause.
func TestAcceptReturnsErr(t *testing.T) {
	server, _ := tlsConfigs(t)
	tr := &quic.Transport{Conn: listenUDP(t)}
	t.Cleanup(func() { tr.Close() })
	l, err := tr.Listen(server, nil)
	check(t, err)
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(io.ErrNoProgress)
	_, err = l.Accept(ctx)
	wantErr(t, "Accept", err, context.Canceled)
	_, _, err = tr.ReadNonQUICPacket(ctx, nil)
	wantErr(t, "ReadNonQUICPacket", err, context.Canceled)
}

// TestCryptoErrorText: the text of an alert begins as programs know it, without the type of a frame,
// and that of the peer says it once.
func TestCryptoErrorText(t *testing.T) {
	server, client := tlsConfigs(t)
	l, err := quic.ListenAddr("127.0.0.1:0", server, patient)
	check(t, err)
	t.Cleanup(func() { l.Close() })
	other := client.Clone()
	other.NextProtos = []string{"other"}
	unknown := client.Clone()
	unknown.RootCAs = x509.NewCertPool()
	for text, c := range map[string]*tls.Config{
		"CRYPTO_ERROR 0x178 (remote): tls: no application protocol":                  other,
		"CRYPTO_ERROR 0x12a (local): tls: failed to verify certificate: x509: certi": unknown,
	} {
		_, err := quic.DialAddr(within(t), l.Addr().String(), c, patient)
		e, ok := errors.AsType[*quic.TransportError](err)
		if !ok || e.FrameType != 0 || !strings.HasPrefix(e.Error(), text) {
			t.Errorf("%v, want %s", err, text)
		}
		if ok && e.Remote && (e.Error() != text || e.ErrorMessage != "") {
			t.Errorf("%v, %q, want %s", err, e.ErrorMessage, text)
		}
	}
}

// TestEmptyDatagram: a datagram without bytes is not nil.
func TestEmptyDatagram(t *testing.T) {
	with := &quic.Config{EnableDatagrams: true}
	p := connect(t, with, with)
	check(t, p.client.SendDatagram(nil))
	if b, err := p.server.ReceiveDatagram(within(t)); err != nil || b == nil || len(b) > 0 {
		t.Errorf("%v, %v", b, err)
	}
}

// TestCancelAfterEnd: once the connection has ended, CancelRead and CancelWrite do nothing. Calls
// go on to return the error of the connection.
func TestCancelAfterEnd(t *testing.T) {
	p := connect(t, nil, nil)
	here, _ := p.streams(t)
	want := &quic.ApplicationError{ErrorCode: 7, ErrorMessage: "enough"}
	p.client.CloseWithError(7, "enough")
	here.CancelRead(1)
	here.CancelWrite(2)
	_, err := here.Read(make([]byte, 1))
	wantErr(t, "Read", err, want)
	_, err = here.Write([]byte("x"))
	wantErr(t, "Write", err, want)
	if err := here.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if err := context.Cause(here.Context()); !errors.Is(err, want) {
		t.Errorf("the context ended with %v", err)
	}
}
