package udpio

import (
	"fmt"
	"net"
	"os"
)

// FromFile makes a Socket of f, a UDP socket that is bound, such as one that another process has
// passed on. FromFile takes over f, and closes it on an error. It sets the options of the socket as
// Listen does.
func FromFile(f *os.File, cfg *Config) (*Socket, error) {
	pc, err := net.FilePacketConn(f) // a copy
	f.Close()
	if err != nil {
		return nil, fmt.Errorf("udpio: socket of a file: %w", err)
	}
	c, ok := pc.(*net.UDPConn)
	if !ok {
		pc.Close()
		return nil, fmt.Errorf("udpio: socket of a file: %w", net.UnknownNetworkError(pc.LocalAddr().Network()))
	}
	conf := cfg.withDefaults()
	d, err := adopt(c, conf)
	if err != nil {
		return nil, fmt.Errorf("udpio: socket of a file: %w", err)
	}
	return &Socket{d, conf.ReusePort}, nil
}

// SetReading makes ReadBatch leave datagrams in the kernel, for another process that has the same
// socket, or read them again. Meanwhile ReadBatch waits for its deadline, for Wake and for room to
// write, and WriteBatch works as usual. Call SetReading on the goroutine that calls ReadBatch and
// WriteBatch. The error matches [errors.ErrUnsupported] on systems other than Linux, and on a
// net.PacketConn that is not a [net.UDPConn].
func (s *Socket) SetReading(on bool) error { return s.driver.setReading(on) }
