package quic_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
)

// tlsConfigs returns the configurations of a server and of its clients.
func tlsConfigs(t *testing.T) (server, client *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	check(t, err)
	cert, err := x509.ParseCertificate(der)
	check(t, err)
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	server = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, NextProtos: []string{"test"}}
	return server, &tls.Config{RootCAs: roots, NextProtos: []string{"test"}}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// within returns a context that ends long after the test should.
func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// listenUDP opens a socket on loopback.
func listenUDP(t *testing.T) *net.UDPConn {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	check(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

// A pair holds both sides of a connection.
type pair struct {
	client, server *quic.Conn
}

// connect returns a connection of a client and a server that have these configurations.
func connect(t *testing.T, serverConf, clientConf *quic.Config) pair {
	t.Helper()
	s, c := tlsConfigs(t)
	l, err := quic.ListenAddr("127.0.0.1:0", s, serverConf)
	check(t, err)
	t.Cleanup(func() { l.Close() })
	var p pair
	p.client, err = quic.DialAddr(within(t), l.Addr().String(), c, clientConf)
	check(t, err)
	p.server, err = l.Accept(within(t))
	check(t, err)
	t.Cleanup(func() {
		p.client.CloseWithError(0, "")
		p.server.CloseWithError(0, "")
	})
	return p
}

// streams returns both ends of a stream. The client has sent a byte on it.
func (p pair) streams(t *testing.T) (client, server *quic.Stream) {
	t.Helper()
	client, err := p.client.OpenStream()
	check(t, err)
	_, err = client.Write([]byte{1})
	check(t, err)
	server, err = p.server.AcceptStream(within(t))
	check(t, err)
	_, err = io.ReadFull(server, make([]byte, 1))
	check(t, err)
	return client, server
}

func TestEcho(t *testing.T) {
	p := connect(t, nil, nil)
	a, b := p.streams(t)
	go func() {
		io.Copy(b, b)
		b.Close()
	}()
	sent := make([]byte, 3<<20)
	rand.Read(sent)
	go func() {
		a.Write(sent)
		a.Close()
	}()
	got, err := io.ReadAll(a)
	check(t, err)
	if string(got) != string(sent) {
		t.Errorf("%d bytes came back for %d", len(got), len(sent))
	}
	if cause := context.Cause(a.Context()); cause != quic.ErrStreamClosed {
		t.Errorf("after Close the cause of the context is %v", cause)
	}
	if _, err := a.Write([]byte("more")); err != quic.ErrStreamClosed {
		t.Errorf("Write after Close returned %v", err)
	}
	if err := a.Close(); err != nil {
		t.Errorf("a second Close returned %v", err)
	}
	if id := a.StreamID(); id != 0 || b.StreamID() != id {
		t.Errorf("the first stream has ID %d", id)
	}
}

// TestLastBytes checks that io.EOF comes together with the last bytes. Some programs rely on that
// and do not read again.
func TestLastBytes(t *testing.T) {
	p := connect(t, nil, nil)
	for range 200 { // more than the peer may have open
		s, err := p.client.OpenStreamSync(within(t))
		check(t, err)
		s.Write([]byte("request"))
		s.Close()
		r, err := p.server.AcceptStream(within(t))
		check(t, err)
		time.Sleep(time.Millisecond) // so that the end arrives as well
		if n, err := r.Read(make([]byte, 7)); n != 7 || err != nil && err != io.EOF {
			t.Fatalf("Read returned %d, %v", n, err)
		}
		r.CancelRead(0) // in case the end is late
		r.Close()
		io.ReadAll(s)
	}
}

func TestCancel(t *testing.T) {
	p := connect(t, nil, nil)
	a, b := p.streams(t)
	a.CancelWrite(7)
	wantErr(t, "Read of a stream that the peer canceled", readErr(b), &quic.StreamError{StreamID: 0, ErrorCode: 7, Remote: true})
	_, err := a.Write([]byte("x"))
	wantErr(t, "Write after CancelWrite", err, &quic.StreamError{StreamID: 0, ErrorCode: 7})
	wantErr(t, "the context", context.Cause(a.Context()), &quic.StreamError{StreamID: 0, ErrorCode: 7})
	if a.Close() == nil {
		t.Error("Close after CancelWrite returned no error")
	}
	a.CancelRead(9)
	wantErr(t, "Read after CancelRead", readErr(a), &quic.StreamError{StreamID: 0, ErrorCode: 9})
	<-b.Context().Done()
	wantErr(t, "the peer's context", context.Cause(b.Context()), &quic.StreamError{StreamID: 0, ErrorCode: 9, Remote: true})
	_, err = b.Write([]byte("x"))
	wantErr(t, "Write to a stream that the peer stopped", err, &quic.StreamError{StreamID: 0, ErrorCode: 9, Remote: true})
}

func readErr(r io.Reader) error {
	_, err := r.Read(make([]byte, 1))
	return err
}

func wantErr(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

func TestDeadlines(t *testing.T) {
	p := connect(t, nil, nil)
	a, b := p.streams(t)
	a.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	err := readErr(a)
	var timeout net.Error
	if !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("Read returned %v", err)
	}
	a.SetDeadline(time.Time{})
	b.Write([]byte("x"))
	if err := readErr(a); err != nil {
		t.Errorf("Read after the deadline was removed: %v", err)
	}
	go func() {
		readErr(b) // so Write has begun
		a.SetWriteDeadline(time.Now())
	}()
	n, err := a.Write(make([]byte, 64<<20))
	if n == 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Write returned %d, %v", n, err)
	}
}

func TestPeek(t *testing.T) {
	p := connect(t, nil, nil)
	a, b := p.streams(t)
	a.Write([]byte("abc"))
	a.Close()
	buf := make([]byte, 2)
	for range 2 {
		if n, err := b.Peek(buf); n != 2 || err != nil || string(buf) != "ab" {
			t.Fatalf("Peek returned %q, %v", buf[:n], err)
		}
	}
	buf = make([]byte, 5)
	if n, err := b.Peek(buf); n != 3 || err != io.EOF || string(buf[:n]) != "abc" {
		t.Fatalf("Peek beyond the end returned %q, %v", buf[:n], err)
	}
	sizes := make(chan int64, 2)
	b.SetReceiveFinalSizeCallback(func(n int64) { sizes <- n })
	if got, err := io.ReadAll(b); string(got) != "abc" || err != nil {
		t.Errorf("read %q, %v", got, err)
	}
	if n := <-sizes; n != 4 { // three and the byte that streams sent
		t.Errorf("the final size is %d", n)
	}
}

func TestCloseWithError(t *testing.T) {
	p := connect(t, nil, nil)
	a, b := p.streams(t)
	check(t, p.client.CloseWithError(42, "that is all"))
	local := &quic.ApplicationError{ErrorCode: 42, ErrorMessage: "that is all"}
	remote := &quic.ApplicationError{ErrorCode: 42, ErrorMessage: "that is all", Remote: true}
	wantErr(t, "cause here", context.Cause(p.client.Context()), local)
	wantErr(t, "Read here", readErr(a), local)
	_, err := p.client.OpenStream()
	wantErr(t, "OpenStream here", err, local)
	wantErr(t, "Read there", readErr(b), remote)
	_, err = b.Write([]byte("x"))
	wantErr(t, "Write there", err, remote)
	_, err = p.server.AcceptStream(within(t))
	wantErr(t, "AcceptStream there", err, remote)
	wantErr(t, "AcceptStream there", err, net.ErrClosed)
	<-p.server.Context().Done()
	wantErr(t, "cause there", context.Cause(p.server.Context()), remote)
	wantErr(t, "SendDatagram there", p.server.SendDatagram(nil), remote)
	if p.server.ConnectionStats().PacketsReceived == 0 {
		t.Error("no packets were received")
	}
}

func TestStreamLimit(t *testing.T) {
	p := connect(t, &quic.Config{MaxIncomingStreams: 2, MaxIncomingUniStreams: -1, RequireStreamCreditRelease: true}, nil)
	_, err := p.client.OpenUniStream()
	if limit, ok := errors.AsType[*quic.StreamLimitReachedError](err); !ok || limit == nil {
		t.Errorf("a stream of which the peer allows none: %v", err)
	}
	done := func(release bool) {
		s, err := p.client.OpenStreamSync(within(t))
		check(t, err)
		s.Close()
		r, err := p.server.AcceptStream(within(t))
		check(t, err)
		io.ReadAll(r)
		r.Close()
		io.ReadAll(s)
		if release {
			r.ReleaseStreamCredit()
		}
	}
	for range 10 {
		done(true)
	}
	done(false)
	done(false)
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if _, err := p.client.OpenStreamSync(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("OpenStreamSync returned %v", err)
	}
}

func TestTryWriteAll(t *testing.T) {
	p := connect(t, nil, nil)
	a, b := p.streams(t)
	if err := a.TryWriteAll(make([]byte, 64<<20)); err != quic.ErrWouldBlock {
		t.Errorf("TryWriteAll of too much returned %v", err)
	}
	check(t, a.TryWriteAll([]byte("now")))
	n, err := a.WriteWithLimit([]byte("limited"), func(n int) int { return n - 4 })
	if n != 3 || err != quic.ErrWriteLimitReached {
		t.Errorf("WriteWithLimit returned %d, %v", n, err)
	}
	a.Close()
	if got, err := io.ReadAll(b); string(got) != "nowlim" || err != nil {
		t.Errorf("read %q, %v", got, err)
	}
}

func TestDatagrams(t *testing.T) {
	conf := &quic.Config{EnableDatagrams: true}
	p := connect(t, conf, conf)
	check(t, p.client.SendDatagram([]byte("ping")))
	got, err := p.server.ReceiveDatagram(within(t))
	check(t, err)
	if string(got) != "ping" {
		t.Errorf("received %q", got)
	}
	err = p.client.SendDatagram(make([]byte, 5000))
	large, ok := errors.AsType[*quic.DatagramTooLargeError](err)
	if !ok || large.MaxDatagramPayloadSize < 1000 {
		t.Errorf("a datagram that is too large: %v", err)
	}
	s := p.server.ConnectionState()
	if !s.SupportsDatagrams.Local || !s.SupportsDatagrams.Remote || s.TLS.NegotiatedProtocol != "test" || s.Version != quic.Version1 && s.Version != quic.Version2 {
		t.Errorf("the state is %+v", s)
	}
	p = connect(t, conf, nil)
	if p.server.SendDatagram([]byte("x")) == nil || p.server.ConnectionState().SupportsDatagrams.Remote {
		t.Error("datagrams to a peer that takes none")
	}
	if _, err := p.client.ReceiveDatagram(within(t)); err == nil {
		t.Error("datagrams that were not enabled")
	}
}
