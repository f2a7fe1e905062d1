// Package quicflags has the flags about QUIC that the client and the server of HTTP/3 share.
package quicflags

import (
	"cmp"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/congestion"
	"github.com/lazoquic/lazo/examples/internal/usage"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/loop/capture"
)

// Flags are -cc, -versions, -qlog and -pcap.
type Flags struct {
	cc       string
	versions []uint32
	qlog     string
	pcap     string
}

// Register defines the flags in fs.
func (f *Flags) Register(fs *flag.FlagSet) {
	fs.StringVar(&f.cc, "cc", "cubic", "congestion controller: newreno, cubic or bbr")
	fs.Func("versions", "`versions` of QUIC to speak, the preferred first; default 1,2", func(s string) (err error) {
		f.versions, err = parseVersions(s)
		return err
	})
	fs.StringVar(&f.qlog, "qlog", "", "write a log of each connection to a `directory`")
	fs.StringVar(&f.pcap, "pcap", "", "write all datagrams to a `file` with the keys inside, for Wireshark")
}

// Check says what is wrong with the flags.
func (f *Flags) Check() error {
	return cmp.Or(
		usage.OneOf("cc", f.cc, "newreno", "cubic", "bbr"),
		usage.NewDirectory("qlog", f.qlog),
		usage.NewFile("pcap", f.pcap))
}

// Config returns a new configuration of connections.
func (f *Flags) Config() *conn.Config {
	cfg := &conn.Config{Versions: f.versions}
	switch f.cc {
	case "newreno":
		cfg.Congestion = congestion.NewReno
	case "bbr":
		cfg.Congestion = congestion.NewBBR
	}
	if f.qlog != "" {
		cfg.QLog = loop.QLogDir(f.qlog)
	}
	return cfg
}

// Capture writes the datagrams of the loops of lc to the file of -pcap, with the keys of tc. done
// ends the file.
func (f *Flags) Capture(tc *tls.Config, lc *loop.Config) (done func() error, err error) {
	if f.pcap == "" {
		return func() error { return nil }, nil
	}
	file, err := os.Create(f.pcap)
	if err != nil {
		return nil, err
	}
	w := capture.New(file)
	w.Attach(tc, lc)
	return func() error { return errors.Join(w.Flush(), file.Close()) }, nil
}

// parseVersions reads a list such as 2,1.
func parseVersions(s string) (versions []uint32, err error) {
	for name := range strings.SplitSeq(s, ",") {
		switch name {
		case "1":
			versions = append(versions, conn.Version1)
		case "2":
			versions = append(versions, conn.Version2)
		default:
			return nil, fmt.Errorf("unknown version %q", name)
		}
	}
	return versions, nil
}
