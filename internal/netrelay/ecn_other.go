//go:build !linux

package netrelay

import "net"

// carriesECN says whether sockets read and write ECN codepoints here.
const carriesECN = false

func receiveECN(*net.UDPConn, bool) error { return nil }

func parseECN([]byte) uint8 { return 0 }

func appendECN(b []byte, _ uint8, _ bool) []byte { return b }
