package main

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"
)

// A udpSocket is a line of proc/net/udp or udp6.
type udpSocket struct {
	Local   string `json:"local"`
	Remote  string `json:"remote,omitempty"` // of a connected socket
	Inode   uint64 `json:"inode"`
	Waiting int64  `json:"waiting"` // bytes to be read, as the kernel accounts them
	Drops   int64  `json:"drops"`   // datagrams without room, over the life of the socket
	Process string `json:"process,omitempty"`
	PID     int    `json:"pid,omitempty"`
}

// sockets returns all UDP sockets of the network namespace, without their processes.
func (m *machine) sockets() (all []udpSocket) {
	for _, file := range []string{"proc/net/udp", "proc/net/udp6"} {
		for _, line := range m.lines(file) {
			if s, ok := parseSocket(line); ok {
				all = append(all, s)
			}
		}
	}
	return all
}

// parseSocket reads a line. It reports false for the headings.
func parseSocket(line string) (s udpSocket, ok bool) {
	f := strings.Fields(line)
	if len(f) < 13 {
		return s, false
	}
	local, ok := parseAddr(f[1])
	if !ok {
		return s, false
	}
	s.Local = local.String()
	if remote, ok := parseAddr(f[2]); ok && remote.Port() != 0 {
		s.Remote = remote.String()
	}
	_, waiting, _ := strings.Cut(f[4], ":")
	s.Waiting, _ = strconv.ParseInt(waiting, 16, 64)
	s.Inode, _ = strconv.ParseUint(f[9], 10, 64)
	s.Drops, _ = strconv.ParseInt(f[12], 10, 64)
	return s, true
}

// parseAddr reads an address such as 0100007F:01BB. The kernel prints each 32 bits of the IP
// address as a number of its own byte order, which is taken to be little-endian.
func parseAddr(text string) (addr netip.AddrPort, ok bool) {
	ip, port, _ := strings.Cut(text, ":")
	b, err := hex.DecodeString(ip)
	n, portErr := strconv.ParseUint(port, 16, 16)
	if err != nil || portErr != nil || len(b)%4 != 0 {
		return addr, false
	}
	for word := range slices.Chunk(b, 4) {
		slices.Reverse(word)
	}
	a, ok := netip.AddrFromSlice(b)
	return netip.AddrPortFrom(a, uint16(n)), ok
}

// name fills in the processes of sockets. Those of other users are only visible to root.
func (m *machine) name(sockets []udpSocket) {
	missing := make(map[string]*udpSocket)
	for i := range sockets {
		missing[fmt.Sprintf("socket:[%d]", sockets[i].Inode)] = &sockets[i]
	}
	entries, _ := fs.ReadDir(m.files, "proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || len(missing) == 0 {
			continue
		}
		dir := path.Join("proc", e.Name(), "fd")
		open, _ := fs.ReadDir(m.files, dir)
		for _, fd := range open {
			target, err := fs.ReadLink(m.files, path.Join(dir, fd.Name()))
			if err != nil {
				continue
			}
			if s := missing[target]; s != nil {
				s.PID = pid
				s.Process, _ = m.text(path.Join("proc", e.Name(), "comm"))
				delete(missing, target)
			}
		}
	}
}

// owner writes the process of a socket.
func (s *udpSocket) owner() string {
	if s.PID == 0 {
		return "an unknown process"
	}
	return fmt.Sprintf("%s (%d)", s.Process, s.PID)
}

func socketDrops(m *machine) finding {
	f := finding{Name: "sockets that lost datagrams", Source: "proc_pid_net(5); " + lazoSockets}
	all := m.sockets()
	if all == nil && !m.has("proc/net/udp") {
		return hidden(f)
	}
	losers := slices.DeleteFunc(slices.Clone(all), func(s udpSocket) bool { return s.Drops == 0 })
	slices.SortStableFunc(losers, func(a, b udpSocket) int { return cmp.Compare(b.Drops, a.Drops) })
	f.Why = "For each open socket the kernel counts the datagrams that found no room in its buffer. In Lazo the same count is " +
		"loop.Stats.Socket.QueueOverflows. If SlowTurns grows with it, a handler blocks the loop, and a larger buffer only delays the loss."
	if len(losers) == 0 {
		f.Value, f.Verdict = fmt.Sprintf("none of %d", len(all)), good
		return f
	}
	f.Value = fmt.Sprintf("%d of %d:", len(losers), len(all))
	worst := losers[:min(len(losers), 5)]
	m.name(worst)
	for i := range worst {
		f.Value += fmt.Sprintf(" %s of %s lost %d;", worst[i].Local, worst[i].owner(), worst[i].Drops)
	}
	f.Value = strings.TrimSuffix(f.Value, ";")
	f.Verdict, f.Command = note, "tune watch"
	f.Effect = "The command shows which of them lose datagrams now."
	return f
}
