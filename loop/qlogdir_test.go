package loop

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/lazoquic/lazo/conn"
)

// settle waits until the goroutine of d has written everything and ended.
func settle(d *qlogDir) {
	for {
		d.mu.Lock()
		busy := d.writing
		d.mu.Unlock()
		if !busy {
			return
		}
		runtime.Gosched()
	}
}

func testConnID(t *testing.T, b ...byte) conn.ConnID {
	id, ok := conn.ConnIDFromSlice(b)
	if !ok {
		t.Fatal("not a connection ID")
	}
	return id
}

func TestQLogDir(t *testing.T) {
	d := &qlogDir{dir: filepath.Join(t.TempDir(), "new", "dir"), options: QLogOptions{Report: func(error) {}}}
	var wg sync.WaitGroup
	want := make(map[string]string)
	for i := range 4 {
		for _, server := range []bool{true, false} {
			id := testConnID(t, 0xab, byte(i))
			w := d.open(id, server)
			side := "client"
			if server {
				side = "server"
			}
			name := fmt.Sprintf("ab%02x_%s.sqlog", i, side)
			for k := range 100 {
				want[name] += fmt.Sprintf("%d of %s\n", k, name)
			}
			wg.Go(func() {
				for k := range 100 {
					fmt.Fprintf(w, "%d of %s\n", k, name)
				}
				w.Close()
				if _, err := w.Write([]byte("more")); err == nil {
					t.Error("a closed file took a record")
				}
			})
		}
	}
	d.open(testConnID(t, 1), true).Close() // nothing was written: no file
	wg.Wait()
	settle(d)
	files, err := os.ReadDir(d.dir)
	if err != nil || len(files) != len(want) {
		t.Fatalf("%d files, %v; want %d", len(files), err, len(want))
	}
	for name, content := range want {
		got, err := os.ReadFile(filepath.Join(d.dir, name))
		if err != nil || string(got) != content {
			t.Errorf("%s: %v, %d bytes differ from the %d written", name, err, len(got), len(content))
		}
	}
}

// TestQLogDirDone: when Done of a file is closed, the file is complete, or was given up.
func TestQLogDirDone(t *testing.T) {
	dir := t.TempDir()
	for name, path := range map[string]string{"written": dir, "given up": filepath.Join(os.DevNull, "x"), "nothing written": dir} {
		t.Run(name, func(t *testing.T) {
			open := QLogDirReport(path, func(error) {})
			w := open(testConnID(t, 1), name == "written")
			if name != "nothing written" {
				w.Write([]byte("record\n"))
			}
			done := w.(interface{ Done() <-chan struct{} }).Done()
			select {
			case <-done:
				t.Error("done before Close")
			default:
			}
			w.Close()
			<-done
			if b, err := os.ReadFile(filepath.Join(dir, "01_server.sqlog")); name == "written" && (err != nil || string(b) != "record\n") {
				t.Errorf("the file has %q, %v", b, err)
			}
		})
	}
}

// TestQLogDirKeepsEarlierFiles: a client that takes the ID of an earlier connection does not
// overwrite what was written of that, whether it has ended or not. All files begin at one time,
// as where the clock is coarse.
func TestQLogDirKeepsEarlierFiles(t *testing.T) {
	synctest.Test(t, testQLogDirKeepsEarlierFiles)
}

func testQLogDirKeepsEarlierFiles(t *testing.T) {
	d := &qlogDir{dir: t.TempDir(), options: QLogOptions{Report: func(err error) { t.Error(err) }}}
	var files []io.WriteCloser
	for i := range 4 {
		w := d.open(testConnID(t, 1), true)
		files = append(files, w)
		fmt.Fprintf(w, "record of %d\n", i)
		settle(d)
		if i == 0 {
			w.Close()
		}
	}
	for i, w := range files {
		if i > 0 {
			fmt.Fprintf(w, "more of %d\n", i)
			w.Close()
		}
	}
	settle(d)
	names, err := filepath.Glob(filepath.Join(d.dir, "01*_server.sqlog"))
	if err != nil || len(names) != 4 {
		t.Fatal(names, err)
	}
	got := make(map[string]int)
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		got[string(b)]++
	}
	for _, want := range []string{"record of 0\n", "record of 1\nmore of 1\n", "record of 2\nmore of 2\n", "record of 3\nmore of 3\n"} {
		if got[want] != 1 {
			t.Errorf("%q is in %d files", want, got[want])
		}
	}
}

func TestQLogDirDropsAndMarks(t *testing.T) {
	d := &qlogDir{dir: t.TempDir(), options: QLogOptions{Report: func(error) {}}}
	d.writing = true // as if the disk were busy
	w := d.open(testConnID(t, 1), true)
	record := append(bytes.Repeat([]byte("x"), 1<<20-1), '\n')
	for range 7 {
		if n, err := w.Write(record); n != len(record) || err != nil {
			t.Fatal(n, err)
		}
	}
	if got := len(d.in.data); got > maxQLogBytes {
		t.Errorf("%d bytes wait, more than %d", got, maxQLogBytes)
	}
	d.write() // the disk has caught up
	io.WriteString(w, "\x1e{\"time\":12.5,\"name\":\"next\"}\n")
	settle(d)
	got, err := os.ReadFile(filepath.Join(d.dir, "01_server.sqlog"))
	if err != nil {
		t.Fatal(err)
	}
	if mark := "\x1e{\"time\":12.5,\"name\":\"loglevel:warning\",\"data\":{\"message\":\"3 records are missing\"}}\n\x1e{\"time\":12.5,\"name\":\"next\"}\n"; !strings.Contains(string(got), mark) {
		t.Error("no record about what was dropped before the next one")
	}
}

func TestQLogDirUnwritable(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	d := &qlogDir{dir: file, options: QLogOptions{Report: func(error) {}}} // not a directory
	w := d.open(testConnID(t, 1), false)
	for range 3 {
		if _, err := io.WriteString(w, "record\n"); err != nil {
			t.Error(err)
		}
		settle(d)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	settle(d)
}

// TestQLogDirReports: a failure to write is reported once.
func TestQLogDirReports(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	reports := make(chan error, 10)
	d := &qlogDir{dir: filepath.Join(file, "below"), options: QLogOptions{Report: func(err error) { reports <- err }}}
	for i := range 3 {
		id, _ := conn.ConnIDFromSlice([]byte{1, 2, 3, byte(i)})
		w := d.open(id, true)
		w.Write([]byte("record"))
		w.Close()
	}
	settle(d)
	if err := <-reports; !errors.Is(err, syscall.ENOTDIR) {
		t.Error(err)
	}
	if len(reports) > 0 {
		t.Error("a second report: ", <-reports)
	}
}
