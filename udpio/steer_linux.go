package udpio

import (
	"errors"
	"fmt"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Steer makes the kernel choose by destination connection ID among the n sockets that have the
// address of s, such as those of [ListenGroup]: a QUIC packet goes to the socket whose index, in
// the order in which they were opened, is [SteerIndex](id, n, k). All packets of one connection
// then reach one socket, wherever they come from. One call serves the whole group, also for sockets
// that are opened later; closing one renumbers the others. It needs no privilege.
//
// In packets with long headers the ID tells its own length. In those with short headers (RFC 9000,
// Section 17.3) it must have idLen bytes, 4 to 20. Where IDs vary in length, or a datagram is too
// short, the choice is arbitrary, and the program must pass it on to the right socket. k should be
// odd, secret and random, so that nobody can aim at one socket, or link IDs by it.
//
// With AddLocal, the group of the oldest socket is meant. The error matches
// [errors.ErrUnsupported] on systems other than Linux.
func (s *Socket) Steer(n int, k uint32, idLen int) error {
	if n < 1 || idLen < 4 || idLen > 20 {
		return fmt.Errorf("udpio: steer: invalid: %d sockets, %d bytes of ID", n, idLen)
	}
	rc, err := s.SyscallConn()
	if err != nil {
		return err
	}
	program, err := bpf.Assemble(steering(uint32(n), k, uint32(idLen)))
	if err != nil {
		return fmt.Errorf("udpio: steer: %w", err)
	}
	filter := make([]unix.SockFilter, len(program))
	for i, ins := range program {
		filter[i] = unix.SockFilter{Code: ins.Op, Jt: ins.Jt, Jf: ins.Jf, K: ins.K}
	}
	fprog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	var optErr error
	err = rc.Control(func(fd uintptr) {
		optErr = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_REUSEPORT_CBPF, &fprog)
	})
	if err = errors.Join(err, optErr); err != nil {
		return fmt.Errorf("udpio: steer: %w", err)
	}
	return nil
}

// steering is [SteerIndex] as a program for the kernel. Its input begins with the UDP payload. A
// load beyond the end of the input ends the program, which then returns 0: the first socket.
func steering(n, k, idLen uint32) []bpf.Instruction {
	return []bpf.Instruction{
		bpf.LoadAbsolute{Off: 0, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: 0x80, SkipFalse: 4},
		// Long header: the ID's length is byte 5, the ID begins at 6 and its last
		// 4 bytes at 6 + length - 4 (RFC 8999, Section 5.1).
		bpf.LoadAbsolute{Off: 5, Size: 1},
		bpf.TAX{},
		bpf.LoadIndirect{Off: 2, Size: 4},
		bpf.Jump{Skip: 1},
		// Short header: the ID begins at byte 1.
		bpf.LoadAbsolute{Off: 1 + idLen - 4, Size: 4},
		bpf.ALUOpConstant{Op: bpf.ALUOpMul, Val: k},
		bpf.ALUOpConstant{Op: bpf.ALUOpShiftRight, Val: 16},
		bpf.ALUOpConstant{Op: bpf.ALUOpMod, Val: n},
		bpf.RetA{},
	}
}
