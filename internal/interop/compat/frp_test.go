package compat

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/require"
)

// The configurations of the server and the client of a tunnel over QUIC, to a server of TCP.
const (
	frpServer = `bindAddr = "127.0.0.1"
bindPort = %d
quicBindPort = %d
`
	frpClient = `serverAddr = "127.0.0.1"
serverPort = %d
loginFailExit = false
transport.protocol = "quic"

[[proxies]]
name = "echo"
type = "tcp"
localIP = "127.0.0.1"
localPort = %d
remotePort = %d
`
)

// tunnelFRP sends bytes through a tunnel of frp and back, on several connections at a time.
func tunnelFRP(t *testing.T, dir string) {
	work := t.TempDir()
	port, quicPort, public := freePort(t), freePort(t), freePort(t)
	for program, config := range map[string]string{
		"frps": fmt.Sprintf(frpServer, port, quicPort),
		"frpc": fmt.Sprintf(frpClient, quicPort, echoTCP(t), public),
	} {
		command(t, dir, "go", "build", "-tags", "noweb", "-o", program, "./cmd/"+program)
		require.NoError(t, os.WriteFile(filepath.Join(work, program+".toml"), []byte(config), 0o644))
		s := exec.Command(filepath.Join(dir, program), "-c", program+".toml")
		s.Dir = work
		s.Stdout, s.Stderr = t.Output(), t.Output()
		require.NoError(t, s.Start())
		defer s.Wait()
		defer s.Process.Kill()
	}
	addr := fmt.Sprintf("127.0.0.1:%d", public)
	err := echo(addr, 10)
	for end := time.Now().Add(time.Minute); err != nil && time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		err = echo(addr, 10) // the client connects
	}
	require.NoError(t, err)
	const connections, size = 8, 4 << 20
	var wg sync.WaitGroup
	failed := make(chan error, connections)
	for range connections {
		wg.Go(func() { failed <- echo(addr, size) })
	}
	wg.Wait()
	for range connections {
		require.NoError(t, <-failed)
	}
}

// echoTCP sends back what it gets, and returns its port.
func echoTCP(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				io.Copy(c, c)
			}()
		}
	}()
	return l.Addr().(*net.TCPAddr).Port
}

// echo sends n bytes to addr, and reads them back.
func echo(addr string, n int) error {
	c, err := net.DialTimeout("tcp4", addr, time.Minute)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Minute))
	sent := bytes.Repeat([]byte("0123456789"), n/10)
	wrote := make(chan error, 1)
	go func() {
		_, err := c.Write(sent)
		wrote <- err
	}()
	got := make([]byte, len(sent))
	_, err = io.ReadFull(c, got)
	if err = errors.Join(err, <-wrote); err == nil && !bytes.Equal(got, sent) {
		err = errors.New("other bytes came back")
	}
	return err
}
