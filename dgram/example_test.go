package dgram_test

import (
	"fmt"

	"github.com/lazoquic/lazo/dgram"
)

// A stream carries capsules one after another. What is not known is skipped,
// whatever its length.
func ExampleParseCapsule() {
	b := dgram.AppendCapsule(nil, 0x2843, []byte("bye"))
	b = dgram.AppendCapsule(b, dgram.CapsuleDatagram, []byte("hello"))
	for len(b) > 0 {
		typ, length, n := dgram.ParseCapsule(b)
		if n == 0 || length > uint64(len(b)-n) {
			break // more has to arrive
		}
		if value := b[n : n+int(length)]; typ == dgram.CapsuleDatagram {
			fmt.Printf("datagram %q\n", value)
		} else {
			fmt.Printf("type %#x skipped\n", typ)
		}
		b = b[n+int(length):]
	}
	// Output:
	// type 0x2843 skipped
	// datagram "hello"
}
