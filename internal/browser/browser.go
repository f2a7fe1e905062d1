// Package browser drives headless Chromium and Firefox in tests of pages. Chromium speaks the
// DevTools protocol over two pipes, so that no port is open.
package browser

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// Variable is the environment variable with the path of Chromium. Tests that need a browser are
// skipped without it. CI sets it.
const Variable = "LAZO_CHROMIUM"

// limit is how long any call may take. Even a busy machine needs only a part of it.
const limit = 2 * time.Minute

// A Browser is a running Chromium. It is for one goroutine.
type Browser struct {
	t       testing.TB
	out     *os.File
	answers chan message
	last    int
	pages   map[string]*Page // by session
}

// A message is a command, a result or an event of the DevTools protocol.
type message struct {
	ID        int             `json:"id,omitempty"`
	Method    string          `json:"method,omitempty"`
	SessionID string          `json:"sessionId,omitempty"`
	Params    any             `json:"params,omitempty"`
	Result    json.RawMessage `json:"result,omitempty"`
	Error     *struct {
		Message string `json:"message"`
	} `json:"error,omitempty"`
}

// Start starts Chromium, and ends it with the test.
func Start(t testing.TB, flags ...string) *Browser {
	t.Helper()
	path := os.Getenv(Variable)
	if path == "" {
		t.Skipf("%s is not set to the path of Chromium", Variable)
	}
	fromUs, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	in, toUs, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, append([]string{
		"--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking",
		"--no-first-run", "--remote-debugging-pipe", "--user-data-dir=" + t.TempDir(), "--window-size=1200,900",
	}, flags...)...)
	cmd.ExtraFiles = []*os.File{fromUs, toUs} // its descriptors 3 and 4
	var log strings.Builder
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	fromUs.Close()
	toUs.Close()
	b := &Browser{t: t, out: out, answers: make(chan message, 64), pages: map[string]*Page{}}
	var reading sync.WaitGroup
	reading.Go(func() { read(in, b.answers) })
	t.Cleanup(func() {
		fmt.Fprintf(out, `{"id":1000000,"method":"Browser.close"}`+"\x00")
		out.Close()
		kill := time.AfterFunc(limit, func() { cmd.Process.Kill() })
		for range b.answers { // until it has closed its end
		}
		reading.Wait()
		cmd.Wait()
		kill.Stop()
		in.Close()
		if t.Failed() {
			t.Logf("chromium: %s", log.String())
		}
	})
	return b
}

// read passes on the messages of Chromium. Each message ends with a zero byte.
func read(in *os.File, to chan<- message) {
	defer close(to)
	for r := bufio.NewReader(in); ; {
		b, err := r.ReadBytes(0)
		if err != nil {
			return
		}
		var m message
		var raw struct {
			Params json.RawMessage `json:"params"`
		}
		if json.Unmarshal(b[:len(b)-1], &m) == nil && json.Unmarshal(b[:len(b)-1], &raw) == nil {
			m.Params = raw.Params
			to <- m
		}
	}
}

// call sends a command and waits for its result. Events that come meanwhile go to their pages.
func (b *Browser) call(session, method string, params any, result any) {
	b.t.Helper()
	b.last++
	id := b.last
	raw, err := json.Marshal(message{ID: id, Method: method, SessionID: session, Params: params})
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.out.Write(append(raw, 0)); err != nil {
		b.t.Fatalf("chromium: %s: %v", method, err)
	}
	for late := time.After(limit); ; {
		select {
		case m, ok := <-b.answers:
			switch {
			case !ok:
				b.t.Fatalf("chromium has ended, before an answer to %s", method)
			case m.ID == 0:
				b.event(&m)
			case m.ID == id && m.Error != nil:
				b.t.Fatalf("chromium: %s: %s", method, m.Error.Message)
			case m.ID == id:
				if result != nil {
					if err := json.Unmarshal(m.Result, result); err != nil {
						b.t.Fatalf("chromium: %s: %v", method, err)
					}
				}
				return
			}
		case <-late:
			b.t.Fatalf("chromium does not answer to %s", method)
		}
	}
}

// event notes an event in its page.
func (b *Browser) event(m *message) {
	p := b.pages[m.SessionID]
	if p == nil {
		return
	}
	raw, _ := m.Params.(json.RawMessage)
	switch m.Method {
	case "Runtime.exceptionThrown":
		p.errors = append(p.errors, string(raw))
	case "Runtime.consoleAPICalled":
		var v struct{ Type string }
		if json.Unmarshal(raw, &v) == nil && (v.Type == "error" || v.Type == "warning" || v.Type == "assert") {
			p.errors = append(p.errors, string(raw))
		}
	case "Log.entryAdded":
		var v struct{ Entry struct{ Level string } }
		if json.Unmarshal(raw, &v) == nil && v.Entry.Level == "error" {
			p.errors = append(p.errors, string(raw))
		}
	case "Network.requestWillBeSent":
		var v struct{ Request struct{ URL string } }
		if json.Unmarshal(raw, &v) == nil {
			p.requests = append(p.requests, v.Request.URL)
		}
	}
}

// A Page is a tab.
type Page struct {
	b        *Browser
	session  string
	errors   []string
	requests []string
}

// Open opens a page. Its load event need not have come yet.
func (b *Browser) Open(url string) *Page {
	b.t.Helper()
	var target struct{ TargetID string }
	b.call("", "Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var attached struct{ SessionID string }
	b.call("", "Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	p := &Page{b: b, session: attached.SessionID}
	b.pages[p.session] = p
	for _, domain := range []string{"Runtime", "Log", "Network", "Page"} {
		p.call(domain+".enable", nil, nil)
	}
	p.call("Page.navigate", map[string]any{"url": url}, nil)
	return p
}

func (p *Page) call(method string, params any, result any) {
	p.b.t.Helper()
	p.b.call(p.session, method, params, result)
}

// Errors returns the errors in the console so far, exceptions included.
func (p *Page) Errors() []string {
	p.Eval("0") // what happened before has arrived then
	return p.errors
}

// Requests returns the URLs that the page has asked for so far, the page itself included.
func (p *Page) Requests() []string {
	p.Eval("0")
	return p.requests
}

// Eval returns the value of an expression, as encoding/json decodes it. It waits for a promise.
func (p *Page) Eval(expr string) any {
	p.b.t.Helper()
	var v struct {
		Result           struct{ Value any }
		ExceptionDetails json.RawMessage
	}
	p.call("Runtime.evaluate", map[string]any{"expression": expr, "returnByValue": true, "awaitPromise": true}, &v)
	if v.ExceptionDetails != nil {
		p.b.t.Fatalf("chromium: %s: %s", expr, v.ExceptionDetails)
	}
	return v.Result.Value
}

// Wait waits until an expression is true.
func (p *Page) Wait(expr string) {
	p.b.t.Helper()
	if !becomes(func() bool { return p.Eval(expr) == true }) {
		p.b.t.Fatalf("chromium: never true: %s\n%s", expr, strings.Join(p.errors, "\n"))
	}
}

// becomes reports whether f returns true within the limit.
func becomes(f func() bool) bool {
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if f() {
			return true
		}
	}
	return false
}

// Key presses a key: a character, or a name such as ArrowLeft.
func (p *Page) Key(key string) {
	p.b.t.Helper()
	down := map[string]any{"type": "keyDown", "key": key}
	if len(key) == 1 {
		down["text"] = key
	}
	p.call("Input.dispatchKeyEvent", down, nil)
	p.call("Input.dispatchKeyEvent", map[string]any{"type": "keyUp", "key": key}, nil)
}

// Mouse sends an event of the mouse: mouseMoved, mousePressed, mouseReleased or mouseWheel. delta
// is how far mouseWheel scrolls. ctrl says whether the control key is held.
func (p *Page) Mouse(what string, x, y, delta float64, ctrl bool) {
	p.b.t.Helper()
	ev := map[string]any{"type": what, "x": x, "y": y, "deltaX": 0, "deltaY": delta, "modifiers": 0}
	if ctrl {
		ev["modifiers"] = 2
	}
	switch what {
	case "mousePressed", "mouseReleased":
		ev["button"], ev["clickCount"] = "left", 1
	}
	p.call("Input.dispatchMouseEvent", ev, nil)
}

// Dark makes the page see a dark or a light preference.
func (p *Page) Dark(dark bool) {
	p.b.t.Helper()
	value := "light"
	if dark {
		value = "dark"
	}
	p.call("Emulation.setEmulatedMedia", map[string]any{"features": []any{map[string]any{"name": "prefers-color-scheme", "value": value}}}, nil)
}

// Screenshot returns a picture of the first height pixels of the page, as PNG.
func (p *Page) Screenshot(width, height int) []byte {
	p.b.t.Helper()
	var v struct{ Data string }
	p.call("Page.captureScreenshot", map[string]any{
		"format": "png", "captureBeyondViewport": true,
		"clip": map[string]any{"x": 0, "y": 0, "width": width, "height": height, "scale": 1},
	}, &v)
	png, err := base64.StdEncoding.DecodeString(v.Data)
	if err != nil {
		p.b.t.Fatal(err)
	}
	return png
}
