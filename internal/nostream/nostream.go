// Package nostream has what stands for a connection of QUIC where a net.Conn is expected: it may
// have addresses, and carries no stream of bytes.
package nostream

import "time"

// A Conn is the methods of a net.Conn that fail. Embed it beside LocalAddr and RemoteAddr.
type Conn struct{ Err error } // what each method returns

func (c Conn) Read([]byte) (int, error)         { return 0, c.Err }
func (c Conn) Write([]byte) (int, error)        { return 0, c.Err }
func (c Conn) Close() error                     { return c.Err }
func (c Conn) SetDeadline(time.Time) error      { return c.Err }
func (c Conn) SetReadDeadline(time.Time) error  { return c.Err }
func (c Conn) SetWriteDeadline(time.Time) error { return c.Err }
