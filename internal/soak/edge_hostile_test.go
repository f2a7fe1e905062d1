package soak

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/h3/masque"
	"github.com/lazoquic/lazo/loop"
)

// hostilities are what hostile clients do. They return an error only if they could not try.
var hostilities = []func(ctx context.Context, d *deployment, rng *rand.Rand) error{
	sendGarbage, leaveHandshakes, breakHTTP3, resetStreams, readNothing, sendSlowly, sendLongFields, askForbidden,
}

// visitHostile does what it can to hurt the others.
func visitHostile(ctx context.Context, d *deployment, rng *rand.Rand, done func(time.Duration)) error {
	for i := 0; ctx.Err() == nil; i++ {
		began := time.Now()
		if err := hostilities[i%len(hostilities)](ctx, d, rng); err != nil && ctx.Err() == nil {
			return fmt.Errorf("hostile: %w", err)
		}
		done(time.Since(began))
		pause(ctx, rng, time.Second)
	}
	return nil
}

// sendGarbage sends datagrams that look like packets.
func sendGarbage(_ context.Context, d *deployment, rng *rand.Rand) error {
	c, err := net.Dial("udp", d.addr.String())
	if err != nil {
		return err
	}
	defer c.Close()
	for range 300 {
		b := make([]byte, 1+rng.IntN(1400))
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		b[0] |= 0x40
		c.Write(b) // it may be refused, too
	}
	return nil
}

// leaveHandshakes begins connections and forgets them.
func leaveHandshakes(ctx context.Context, d *deployment, _ *rand.Rand) error {
	for range 20 {
		short, cancel := context.WithTimeout(ctx, time.Millisecond)
		c, err := loop.Dial(short, d.addr.String(), &conn.Config{TLS: h3TLS()})
		cancel()
		if err == nil {
			c.Close(0x100, "")
		}
	}
	return nil
}

// dialRaw makes a connection that speaks no HTTP/3 of its own.
func dialRaw(ctx context.Context, d *deployment) (*loop.Conn, error) {
	dialing, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	return loop.Dial(dialing, d.addr.String(), &conn.Config{TLS: h3TLS(), HandshakeTimeout: handshakeTimeout})
}

// breakHTTP3 sends frames that close the connection (RFC 9114, Section 7.2.8).
func breakHTTP3(ctx context.Context, d *deployment, rng *rand.Rand) error {
	c, err := dialRaw(ctx, d)
	if err != nil {
		return err
	}
	defer c.Close(0x100, "")
	st, err := c.OpenStream(ctx, conn.Uni)
	if err != nil {
		return err
	}
	frames := []string{"\x00\x04\x00\x04\x00", "\x00\x02\x00", "\x00\x04\x3f\x00", "\x00\x04\x00\x0d\x01\xff", "\x01"}
	io.WriteString(st, frames[rng.IntN(len(frames))])
	select {
	case <-c.Context().Done():
	case <-time.After(time.Second): // what was sent may be the beginning of something good
	}
	return nil
}

// resetStreams opens requests and resets them at once.
func resetStreams(ctx context.Context, d *deployment, _ *rand.Rand) error {
	c, err := dialRaw(ctx, d)
	if err != nil {
		return err
	}
	defer c.Close(0x100, "")
	for range 300 {
		opening, cancel := context.WithTimeout(ctx, time.Second)
		st, err := c.OpenStream(opening, conn.Bidi)
		cancel()
		if err != nil {
			return nil // the edge has closed the connection, or gives no more streams
		}
		st.Write([]byte{0x01, 0x20}) // the beginning of a HEADERS frame
		st.Reset(0x10c)
		st.StopSending(0x10c)
	}
	return nil
}

// readNothing asks for much and takes nothing for a while.
func readNothing(ctx context.Context, d *deployment, _ *rand.Rand) error {
	tr := newTransport()
	defer tr.Close()
	asking, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(asking, "GET", d.base()+"/bytes/50000000", nil)
	if err != nil {
		return err
	}
	resp, err := tr.RoundTrip(r)
	if err != nil {
		return nil
	}
	<-asking.Done()
	return resp.Body.Close()
}

// sendSlowly sends a body that does not go on for a while.
func sendSlowly(ctx context.Context, d *deployment, _ *rand.Rand) error {
	tr := newTransport()
	defer tr.Close()
	asking, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	body, w := io.Pipe()
	go func() {
		io.WriteString(w, "begin")
		<-asking.Done()
		w.Close()
	}()
	r, err := http.NewRequestWithContext(asking, "POST", d.base()+"/echo", body)
	if err != nil {
		return err
	}
	if resp, err := tr.RoundTrip(r); err == nil {
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	return nil
}

// sendLongFields sends more than a header may have.
func sendLongFields(ctx context.Context, d *deployment, _ *rand.Rand) error {
	tr := newTransport()
	defer tr.Close()
	asking, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(asking, "GET", d.base()+"/bytes/1", nil)
	if err != nil {
		return err
	}
	r.Header.Set("Long", strings.Repeat("x", 2<<20))
	if resp, err := tr.RoundTrip(r); err == nil {
		resp.Body.Close()
	}
	return nil
}

// askForbidden asks for tunnels that lead elsewhere.
func askForbidden(ctx context.Context, d *deployment, _ *rand.Rand) error {
	tr := newTransport()
	defer tr.Close()
	c := &masque.Client{Transport: tr, Proxy: d.base()}
	asking, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	for range 20 {
		if tunnel, err := c.Dial(asking, "10.1.2.3:53"); err == nil {
			tunnel.Close()
			return errors.New("there is a tunnel to 10.1.2.3")
		}
	}
	return nil
}
