package quiclb_test

import (
	"crypto/rand"
	"fmt"

	"github.com/lazoquic/lazo/conn/quiclb"
)

// A server issues IDs with an encrypted server ID; a balancer, which has the same key,
// finds the server by them.
func Example() {
	key := [16]byte{0x8f, 0x95, 0xf0, 0x92} // from the configuration of the whole site
	server := quiclb.Config{ID: 1, ServerID: []byte("server7"), NonceLen: 6, Key: &key}
	source, err := quiclb.NewSource(server, rand.Reader)
	if err != nil {
		fmt.Println(err)
		return
	}
	var cid [20]byte
	n := source.Generate(&cid) // an Endpoint does this

	balancer := quiclb.Config{ID: 1, ServerID: make([]byte, 7), NonceLen: 6, Key: &key}
	decoder, err := quiclb.NewDecoder(balancer)
	if err != nil {
		fmt.Println(err)
		return
	}
	sid, ok := decoder.ServerID(nil, cid[:n])
	fmt.Printf("%s %v, %d bytes\n", sid, ok, n)
	// Output: server7 true, 14 bytes
}
