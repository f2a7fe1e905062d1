package handover

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"runtime"
	"syscall"
	"time"

	"github.com/lazoquic/lazo/conn"
)

// The two processes exchange messages over a connection of SOCK_SEQPACKET. The first byte says what
// a message is.
const (
	msgOffer   = 'o' // old: an offer, with the descriptors that it names
	msgRefusal = 'x' // old: why there is none
	msgIDs     = 'i' // old: a generation, and connection IDs of its handshakes
	msgReady   = 'r' // new: stop reading
	msgYours   = 'y' // old: nobody reads now; with the descriptor to forward by
	msgAll     = 'e' // old: these were all IDs
	msgServing = 's' // new: all is in place
	msgDone    = 'd' // old: read
)

const protocolVersion = 1

// An offer is what a successor gets. Its descriptors come in the order of the fields.
type offer struct {
	Version     int
	Generation  int // of the successor
	Predecessor int // generation
	Steer       uint32
	ConnIDLen   int
	ResetKey    []byte
	TokenKeys   [][]byte
	Network     string   // of the UDP sockets
	Address     string   // as the first process was given it
	Sockets     int      // UDP, in the order of the Loops
	Listeners   []string // network, space, address
	Living      []int    // generations that live besides, each with the descriptor to forward by
}

const (
	maxControl = 60 << 10 // bytes of a message
	// maxFiles is below the 253 descriptors that the kernel takes in one message.
	maxFiles = 250
	// maxIDs bounds the list of IDs. An endpoint bounds what it has by MaxHandshakes.
	maxIDs = 1 << 20
)

// A control is the connection between two processes during the handover.
type control struct {
	*net.UnixConn
	files []*os.File // that came with the message read last
}

// send writes a message with copies of descriptors.
func (c *control) send(kind byte, body []byte, files ...*os.File) error {
	fds := make([]int, 0, len(files))
	for _, f := range files {
		// Not by Fd, which would make the socket block in all processes that have it.
		rc, err := f.SyscallConn()
		if err != nil {
			return err
		}
		if err := rc.Control(func(fd uintptr) { fds = append(fds, int(fd)) }); err != nil {
			return err
		}
	}
	_, _, err := c.WriteMsgUnix(append([]byte{kind}, body...), rights(fds), nil)
	runtime.KeepAlive(files)
	return err
}

// receive reads the next message. Its descriptors are in c.files.
func (c *control) receive() (kind byte, body []byte, err error) {
	c.closeFiles()
	b, oob := make([]byte, maxControl+1), make([]byte, rightsSpace(maxFiles))
	n, oobn, flags, _, err := c.ReadMsgUnix(b, oob)
	if err == nil {
		c.files, err = filesOf(oob[:oobn])
	}
	switch {
	case err != nil:
		return 0, nil, err
	case n == 0:
		return 0, nil, io.EOF
	case cutOff(flags):
		return 0, nil, errRecord
	}
	return b[0], b[1:n], nil
}

// expect receives a message of one kind.
func (c *control) expect(kind byte) ([]byte, error) {
	got, body, err := c.receive()
	switch {
	case err != nil:
		return nil, err
	case got == msgRefusal:
		return nil, fmt.Errorf("handover: refused: %s", body)
	case got != kind:
		return nil, fmt.Errorf("handover: got message %q, want %q", got, kind)
	}
	return body, nil
}

// within sets a deadline for what follows.
func (c *control) within(d time.Duration) { c.SetDeadline(time.Now().Add(d)) }

func (c *control) closeFiles() {
	closeFiles(c.files)
	c.files = nil
}

// takeFiles returns the first n descriptors, which the caller then owns.
func (c *control) takeFiles(n int) []*os.File {
	taken := c.files[:n:n]
	c.files = c.files[n:]
	return taken
}

// sendOffer sends an offer with its descriptors.
func (c *control) sendOffer(o *offer, files []*os.File) error {
	body, err := json.Marshal(o)
	if err != nil {
		return err
	}
	if len(body) > maxControl || len(files) > maxFiles {
		return fmt.Errorf("handover: %d descriptors are more than fit", len(files))
	}
	return c.send(msgOffer, body, files...)
}

// receiveOffer reads an offer, whose descriptors stay in c.files.
func (c *control) receiveOffer() (*offer, error) {
	body, err := c.expect(msgOffer)
	if err != nil {
		return nil, err
	}
	o := new(offer)
	if err := json.Unmarshal(body, o); err != nil {
		return nil, fmt.Errorf("handover: offer: %w", err)
	}
	if o.Version != protocolVersion {
		return nil, fmt.Errorf("handover: the predecessor speaks version %d, this process %d", o.Version, protocolVersion)
	}
	if o.Sockets < 1 || len(c.files) != o.Sockets+len(o.Listeners)+len(o.Living) {
		return nil, fmt.Errorf("handover: %d descriptors do not fit the offer", len(c.files))
	}
	return o, nil
}

// sendIDs sends the IDs of a generation, in as many messages as it takes.
func (c *control) sendIDs(gen int, ids []conn.ConnID) error {
	body := []byte{byte(gen)}
	for i, id := range ids {
		at := len(body)
		body = id.Append(append(body, 0))
		body[at] = byte(len(body) - at - 1)
		if len(body) > maxControl-32 || i == len(ids)-1 {
			if err := c.send(msgIDs, body); err != nil {
				return err
			}
			body = body[:1]
		}
	}
	return nil
}

// receiveIDs reads the IDs of all generations up to msgAll.
func (c *control) receiveIDs() (map[int][]conn.ConnID, error) {
	all := make(map[int][]conn.ConnID)
	for n := 0; ; {
		kind, b, err := c.receive()
		switch {
		case err != nil:
			return nil, err
		case kind == msgAll:
			return all, nil
		case kind != msgIDs || len(b) == 0:
			return nil, errRecord
		}
		gen := int(b[0])
		for b = b[1:]; len(b) > 0; n++ {
			size := int(b[0])
			if len(b) < 1+size || n >= maxIDs {
				return nil, errRecord
			}
			id, ok := conn.ConnIDFromSlice(b[1 : 1+size])
			if !ok {
				return nil, errRecord
			}
			all[gen] = append(all[gen], id)
			b = b[1+size:]
		}
	}
}

// dial connects to the process that serves path. It returns nil if nobody does.
func dial(path string) (*control, error) {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil && info.Mode()&fs.ModeSocket == 0 {
		return nil, fmt.Errorf("handover: %s is no socket", path)
	}
	u, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: path, Net: "unixpacket"})
	switch {
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, fs.ErrNotExist):
		return nil, nil // whoever listened there has died
	case err != nil:
		return nil, fmt.Errorf("handover: %w", err)
	}
	if err := checkPeer(u); err != nil {
		u.Close()
		return nil, err
	}
	return &control{UnixConn: u}, nil
}

// listen listens at a name beside path. publish makes it path.
func listen(path string) (*net.UnixListener, error) {
	name := fmt.Sprintf("%s.%d", path, os.Getpid())
	os.Remove(name) // of a process that had this ID and died
	lc := net.ListenConfig{Control: keepOthersOut}
	ln, err := lc.Listen(context.Background(), "unixpacket", name)
	if err != nil {
		return nil, fmt.Errorf("handover: %w", err)
	}
	u := ln.(*net.UnixListener)
	u.SetUnlinkOnClose(false)
	return u, nil
}

// publish moves ln to path in one step, so that somebody listens there all the time.
func publish(ln *net.UnixListener, path string) error { return os.Rename(ln.Addr().String(), path) }

// unixConn makes a connection of f, and closes f.
func unixConn(f *os.File) (*net.UnixConn, error) {
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("handover: %w", err)
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		c.Close()
		return nil, errors.New("handover: a descriptor is not what the offer says")
	}
	return u, nil
}
