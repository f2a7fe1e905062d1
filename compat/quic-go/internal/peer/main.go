// Command peer is an ordinary program for quic-go. Tests build it against quic-go and against this
// module, and let the two talk.
//
//	peer serve        prints its address, and echoes streams and datagrams
//	peer call ADDR    calls a server of that kind, and prints "ok"
package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"os"
	"time"

	"github.com/quic-go/quic-go"
)

// Both sides know these in advance.
const (
	canceled = quic.StreamErrorCode(7) // by the client, on its second stream
	refused  = quic.StreamErrorCode(9) // by the server, on that stream
	over     = quic.ApplicationErrorCode(42)
)

var config = &quic.Config{EnableDatagrams: true, Allow0RTT: true, MaxIncomingStreams: 3}

func main() {
	log.SetFlags(0)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var err error
	switch {
	case len(os.Args) == 2 && os.Args[1] == "serve":
		err = serve(ctx)
	case len(os.Args) == 3 && os.Args[1] == "call":
		err = call(ctx, os.Args[2])
	default:
		err = errors.New("usage: peer serve | peer call ADDR")
	}
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("ok")
}

// serve echoes until a client has closed two connections.
func serve(ctx context.Context) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	l, err := quic.ListenAddrEarly("127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		NextProtos:   []string{"echo"},
	}, config)
	if err != nil {
		return err
	}
	defer l.Close()
	fmt.Println(l.Addr())
	for range 2 {
		c, err := l.Accept(ctx)
		if err != nil {
			return err
		}
		if err := echo(ctx, c); !errors.Is(err, &quic.ApplicationError{ErrorCode: over, Remote: true}) {
			return fmt.Errorf("the connection ended with: %w", err)
		}
	}
	return nil
}

// echo serves a connection until it ends, and returns why.
func echo(ctx context.Context, c *quic.Conn) error {
	go func() {
		for b, err := c.ReceiveDatagram(ctx); err == nil; b, err = c.ReceiveDatagram(ctx) {
			c.SendDatagram(b)
		}
	}()
	for {
		s, err := c.AcceptStream(ctx)
		if err != nil {
			return err
		}
		go func() {
			_, err := io.Copy(s, s)
			if stop, ok := errors.AsType[*quic.StreamError](err); ok && stop.Remote && stop.ErrorCode == canceled {
				s.CancelWrite(refused)
				return
			}
			s.Close()
		}()
	}
}

// call connects twice, the second time with early data.
func call(ctx context.Context, addr string) error {
	conf := &tls.Config{
		InsecureSkipVerify: true, ServerName: "localhost", NextProtos: []string{"echo"},
		ClientSessionCache: tls.NewLRUClientSessionCache(1),
	}
	for i := range 2 {
		c, err := quic.DialAddrEarly(ctx, addr, conf, config)
		if err != nil {
			return err
		}
		if err := talk(ctx, c); err != nil {
			return fmt.Errorf("connection %d: %w", i, err)
		}
		if early := c.ConnectionState().Used0RTT; early != (i == 1) {
			return fmt.Errorf("connection %d: early data: %v", i, early)
		}
		c.CloseWithError(over, "over")
		if err := context.Cause(c.Context()); !errors.Is(err, &quic.ApplicationError{ErrorCode: over}) {
			return fmt.Errorf("connection %d ended with: %w", i, err)
		}
	}
	return nil
}

func talk(ctx context.Context, c *quic.Conn) error {
	for range 10 { // more than the peer allows at once
		if err := echoed(ctx, c); err != nil {
			return err
		}
	}
	s, err := c.OpenStreamSync(ctx)
	if err != nil {
		return err
	}
	if _, err := s.Write([]byte("x")); err != nil {
		return err
	}
	if _, err := io.ReadFull(s, make([]byte, 1)); err != nil {
		return err
	}
	s.CancelWrite(canceled)
	_, err = s.Read(make([]byte, 1))
	if want := (&quic.StreamError{StreamID: s.StreamID(), ErrorCode: refused, Remote: true}); !errors.Is(err, want) {
		return fmt.Errorf("a canceled stream returned %w, want %w", err, want)
	}
	return pinged(ctx, c)
}

// echoed sends a megabyte and reads it back.
func echoed(ctx context.Context, c *quic.Conn) error {
	s, err := c.OpenStreamSync(ctx)
	if err != nil {
		return err
	}
	sent := make([]byte, 1<<20)
	rand.Read(sent)
	go func() {
		s.Write(sent)
		s.Close()
	}()
	got, err := io.ReadAll(s)
	if err == nil && !bytes.Equal(got, sent) {
		err = fmt.Errorf("%d bytes came back for %d", len(got), len(sent))
	}
	return err
}

// pinged sends datagrams until one comes back.
func pinged(ctx context.Context, c *quic.Conn) error {
	for range 20 {
		if err := c.SendDatagram([]byte("ping")); err != nil {
			return err
		}
		short, cancel := context.WithTimeout(ctx, time.Second)
		b, err := c.ReceiveDatagram(short)
		cancel()
		if err == nil && string(b) == "ping" {
			return nil
		}
	}
	return errors.New("no datagram came back")
}
