package carriers

import (
	"context"
	"crypto/tls"
	"net/http"
	"time"

	"golang.org/x/net/websocket"
)

// openWebSocket opens the carrier that is a WebSocket over TLS and the kernel's TCP, as pages have
// it.
func (c *comparison) openWebSocket(ctx context.Context, p tcpPath) error {
	tc, roots, err := certificate()
	if err != nil {
		return err
	}
	l, err := p.listenTCP()
	if err != nil {
		return err
	}
	// A WebSocket is none of the server's connections any more, and ends when its client closes.
	srv := &http.Server{Handler: websocket.Server{Handler: func(ws *websocket.Conn) {
		ws.PayloadType = websocket.BinaryFrame
		send(context.Background(), c.begin, func(b []byte) error {
			_, err := ws.Write(b)
			return err
		})
	}}}
	c.opened = append(c.opened, func() { srv.Close() })
	go srv.Serve(tls.NewListener(l, tc))
	addr := l.Addr().String()
	ws, err := dialWebSocket(ctx, p, addr, &tls.Config{RootCAs: roots, ServerName: serverName})
	if err != nil {
		return err
	}
	c.opened = append(c.opened, func() { ws.Close() })
	c.carriers = append(c.carriers, webSocket(ws))
	return nil
}

func dialWebSocket(ctx context.Context, p tcpPath, addr string, tc *tls.Config) (*websocket.Conn, error) {
	cfg, err := websocket.NewConfig("wss://"+addr+"/", "https://"+addr)
	if err != nil {
		return nil, err
	}
	c, err := p.dialTCP(ctx, addr)
	if err != nil {
		return nil, err
	}
	deadline, _ := ctx.Deadline()
	c.SetDeadline(deadline)
	ws, err := websocket.NewClient(cfg, tls.Client(c, tc))
	if err != nil {
		c.Close()
		return nil, err
	}
	c.SetDeadline(time.Time{})
	return ws, nil
}

// webSocket returns the carrier that is a WebSocket.
func webSocket(ws *websocket.Conn) *carrier {
	return &carrier{"a WebSocket over TCP", func(took func([]byte)) error {
		var b []byte
		for {
			if err := websocket.Message.Receive(ws, &b); err != nil {
				return err
			}
			if len(b) == SnapshotLen {
				took(b)
			}
		}
	}}
}
