// Command peer3 is a program as others write it for the HTTP/3 of quic-go. Tests build it against
// quic-go and against this module, and let the two talk.
//
//	peer3 serve            prints two addresses, and serves HTTP/3 at both; the streams of
//	                       connections to the second it accepts itself
//	peer3 call ADDR ADDR   calls a server of that kind, and prints "ok"
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"
)

// What both sides agree on.
const (
	setting   = 0x1234
	ownStream = 0x4242 // the type of unidirectional streams that are not of HTTP/3
	protocol  = "echo" // of extended CONNECT
	hint      = "</style.css>; rel=preload"
)

func main() {
	log.SetFlags(0)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var err error
	switch {
	case len(os.Args) == 2 && os.Args[1] == "serve":
		err = serve(ctx)
	case len(os.Args) == 4 && os.Args[1] == "call":
		err = call(ctx, os.Args[2], os.Args[3])
	default:
		err = errors.New("usage: peer3 serve | peer3 call ADDR ADDR")
	}
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("ok")
}
