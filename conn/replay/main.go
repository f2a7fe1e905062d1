// Command replay does again what a recording of [conn.EndpointConfig.Record] holds, and says
// whether the state machine still does the same.
//
//	go run github.com/lazoquic/lazo/conn/replay [-v] [-qlog DIR] FILE...
//
// It prints where the replay differs from the recording, and then exits with status 1. The page
// docs/replay.md tells how to step through a replay in a debugger.
package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/lazoquic/lazo/conn"
)

func main() {
	verbose := flag.Bool("v", false, "print each call")
	qlog := flag.String("qlog", "", "write a qlog of each connection into this `directory`")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: replay [-v] [-qlog DIR] FILE...")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() == 0 {
		flag.Usage()
		os.Exit(2)
	}
	same := true
	logs := newQLogs(*qlog)
	for _, name := range flag.Args() {
		s, err := replay(name, logs, *verbose)
		if err != nil {
			same = false
			s = err.Error()
		}
		fmt.Printf("%s: %s\n", name, s)
	}
	if !same {
		os.Exit(1)
	}
}

// replay replays one file, and says what was in it.
func replay(name string, logs *qlogs, verbose bool) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	opt := &conn.ReplayOptions{}
	if logs.dir != "" {
		opt.QLog = logs.open
	}
	r, err := conn.NewReplay(f, opt)
	if err != nil {
		return "", err
	}
	defer r.Endpoint().Close() // ends the qlogs
	calls := 0
	for err = r.Step(); err == nil; err = r.Step() {
		calls++
		if verbose {
			entry, at, call := r.Position()
			fmt.Printf("%d\t%v\t%s\n", entry, at, call)
		}
	}
	if err != io.EOF {
		return "", err
	}
	_, at, _ := r.Position()
	s := r.Endpoint().Stats()
	return fmt.Sprintf("%d calls in %v, as recorded: %d connections dialed and %d accepted, %d bytes received and %d sent",
		calls, at, s.Dialed, s.Accepted, s.BytesReceived, s.BytesSent), nil
}

// A log is a qlog, which is written in large pieces.
type log struct {
	*bufio.Writer
	f *os.File
}

func (l log) Close() error { return errors.Join(l.Flush(), l.f.Close()) }

// qlogs makes the qlogs of the recordings.
type qlogs struct {
	dir  string         // empty if there are none
	made map[string]int // how many have wanted a name
}

func newQLogs(dir string) *qlogs { return &qlogs{dir: dir, made: make(map[string]int)} }

// open makes the qlog of a connection. If that fails there is none. A client chose the ID. If it
// repeated one, the later connections have a number behind it. A file of an earlier run of the
// command is overwritten.
func (q *qlogs) open(id conn.ConnID, server bool) io.WriteCloser {
	side := "client"
	if server {
		side = "server"
	}
	name := fmt.Sprintf("%s_%s.sqlog", id, side)
	q.made[name]++
	if n := q.made[name]; n > 1 {
		name = fmt.Sprintf("%s-%d_%s.sqlog", id, n, side)
	}
	f, err := os.Create(filepath.Join(q.dir, name))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return nil
	}
	return log{bufio.NewWriter(f), f}
}
