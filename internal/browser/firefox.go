package browser

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// FirefoxVariable is the environment variable with the path of Firefox. Tests that need it are
// skipped without it. CI sets it.
const FirefoxVariable = "LAZO_FIREFOX"

// prefs keep Firefox from talking to anybody but the test, and let it use HTTP/3 with certificates
// that Trust adds.
const prefs = `
user_pref("app.normandy.enabled", false);
user_pref("app.update.disabledForTesting", true);
user_pref("browser.safebrowsing.malware.enabled", false);
user_pref("browser.safebrowsing.phishing.enabled", false);
user_pref("browser.safebrowsing.update.enabled", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("extensions.update.enabled", false);
user_pref("marionette.port", 0);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("network.dns.disableIPv6", true);
user_pref("network.http.http3.disable_when_third_party_roots_found", false);
user_pref("network.http.speculative-parallel-limit", 0);
user_pref("network.trr.mode", 5);
user_pref("services.settings.server", "data:,");
`

// A Firefox is a running Firefox. It is for one goroutine. Its tests speak the Marionette protocol
// over a TCP port of the loopback interface.
type Firefox struct {
	t    testing.TB
	c    net.Conn
	in   *bufio.Reader
	last int
	tab  string // the tab to which commands go
}

// StartFirefox starts Firefox with more preferences, lines of a prefs.js, and ends it with the
// test.
func StartFirefox(t testing.TB, more ...string) *Firefox {
	t.Helper()
	path := os.Getenv(FirefoxVariable)
	if path == "" {
		t.Skipf("%s is not set to the path of Firefox", FirefoxVariable)
	}
	dir := t.TempDir()
	text := prefs + strings.Join(more, "\n") + "\n"
	if err := os.WriteFile(filepath.Join(dir, "user.js"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	// It writes to its home, too.
	cmd := exec.Command(path, "--headless", "--no-remote", "--marionette", "--remote-allow-system-access", "--profile", dir)
	cmd.Env = append(os.Environ(), "HOME="+dir, "MOZ_CRASHREPORTER_DISABLE=1")
	var log strings.Builder
	cmd.Stdout, cmd.Stderr = &log, &log
	// Wait ends when the processes that Firefox has started have ended too, which write to dir.
	cmd.WaitDelay = limit
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	var how error
	go func() {
		how = cmd.Wait()
		close(ended)
	}()
	f := &Firefox{t: t}
	t.Cleanup(func() {
		if f.c != nil {
			f.command("Marionette:Quit", map[string]any{"flags": []string{"eForceQuit"}}, nil)
			f.c.Close()
		}
		select {
		case <-ended:
		case <-time.After(limit):
			cmd.Process.Kill()
			<-ended
		}
		if t.Failed() {
			t.Logf("firefox ended (%v): %s", how, log.String())
		}
	})
	f.connect(dir, ended)
	return f
}

// connect connects to Firefox once it has written its port into its profile.
func (f *Firefox) connect(profile string, ended <-chan struct{}) {
	f.t.Helper()
	for end := time.Now().Add(limit); ; time.Sleep(20 * time.Millisecond) {
		b, _ := os.ReadFile(filepath.Join(profile, "MarionetteActivePort"))
		if port, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 16); err == nil {
			if f.c, err = net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
				break
			}
		}
		select {
		case <-ended:
			f.t.Fatal("firefox does not start")
		default:
		}
		if time.Now().After(end) {
			f.t.Fatal("firefox has no port for tests")
		}
	}
	f.in = bufio.NewReader(f.c)
	if _, err := f.read(); err != nil { // its greeting
		f.t.Fatalf("firefox: %v", err)
	}
	var session struct{ Capabilities map[string]any }
	f.call("WebDriver:NewSession", map[string]any{
		"pageLoadStrategy": "eager", "timeouts": map[string]any{"script": limit.Milliseconds()},
	}, &session)
	f.t.Logf("firefox %v", session.Capabilities["browserVersion"])
}

// read reads a message: its length in decimal, a colon, and JSON.
func (f *Firefox) read() ([]byte, error) {
	f.c.SetReadDeadline(time.Now().Add(limit + time.Minute))
	head, err := f.in.ReadString(':')
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(strings.TrimSuffix(head, ":"))
	if err != nil {
		return nil, err
	}
	b := make([]byte, n)
	_, err = io.ReadFull(f.in, b)
	return b, err
}

// command sends a command and waits for its result: each is a list of a kind, the number of the
// command, and two more.
func (f *Firefox) command(name string, params, result any) error {
	f.last++
	raw, err := json.Marshal([]any{0, f.last, name, params})
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(f.c, "%d:%s", len(raw), raw); err != nil {
		return err
	}
	b, err := f.read()
	if err != nil {
		return err
	}
	var answer [4]json.RawMessage
	if err := json.Unmarshal(b, &answer); err != nil {
		return err
	}
	if id := string(answer[1]); id != strconv.Itoa(f.last) {
		return fmt.Errorf("an answer to command %s", id)
	}
	if e := string(answer[2]); e != "null" {
		return errors.New(e)
	}
	if result == nil {
		return nil
	}
	return json.Unmarshal(answer[3], result)
}

// call is command, but fails the test if that fails.
func (f *Firefox) call(name string, params, result any) {
	f.t.Helper()
	if err := f.command(name, params, result); err != nil {
		f.t.Fatalf("firefox: %s: %v", name, err)
	}
}

// Trust makes Firefox trust servers with certificates of an authority, whose own certificate is in
// DER.
func (f *Firefox) Trust(authority []byte) {
	f.t.Helper()
	f.call("Marionette:SetContext", map[string]any{"value": "chrome"}, nil)
	f.call("WebDriver:ExecuteScript", map[string]any{
		"script": `Cc["@mozilla.org/security/x509certdb;1"].getService(Ci.nsIX509CertDB).addCertFromBase64(arguments[0], "C,,")`,
		"args":   []any{base64.StdEncoding.EncodeToString(authority)},
	}, nil)
	f.call("Marionette:SetContext", map[string]any{"value": "content"}, nil)
}

// A Tab is a page in Firefox, in a window of its own.
type Tab struct {
	f      *Firefox
	handle string
}

// Open opens a page. Its load event need not have come yet.
func (f *Firefox) Open(url string) *Tab {
	f.t.Helper()
	var v struct{ Handle string }
	f.call("WebDriver:NewWindow", map[string]any{"type": "window", "focus": true}, &v)
	p := &Tab{f, v.Handle}
	p.front()
	f.call("WebDriver:Navigate", map[string]any{"url": url}, nil)
	return p
}

// front makes commands go to the page.
func (p *Tab) front() {
	p.f.t.Helper()
	if p.f.tab != p.handle {
		p.f.call("WebDriver:SwitchToWindow", map[string]any{"handle": p.handle, "focus": false}, nil)
		p.f.tab = p.handle
	}
}

// evaluate runs arguments[0] as the page's own scripts run. The page itself makes JSON of the
// value.
const evaluate = `const [expr, done] = arguments
window.eval('(async () => JSON.stringify([await (0, eval)(' + JSON.stringify(expr) + ')]))()')
	.then(v => done({ value: v }), e => done({ error: String(e) }))`

// Eval returns the value of an expression, as encoding/json decodes it. It waits for a promise.
func (p *Tab) Eval(expr string) any {
	p.f.t.Helper()
	p.front()
	var v struct{ Value struct{ Value, Error string } }
	p.f.call("WebDriver:ExecuteAsyncScript", map[string]any{"script": evaluate, "args": []any{expr}}, &v)
	var values []any
	if err := json.Unmarshal([]byte(v.Value.Value), &values); v.Value.Error != "" || err != nil {
		p.f.t.Fatalf("firefox: %s: %s", expr, v.Value.Error)
	}
	return values[0]
}

// Wait waits until an expression is true.
func (p *Tab) Wait(expr string) {
	p.f.t.Helper()
	if !becomes(func() bool { return p.Eval(expr) == true }) {
		p.f.t.Fatalf("firefox: never true: %s", expr)
	}
}

// Screenshot returns a picture of the page, as PNG.
func (p *Tab) Screenshot() []byte {
	p.f.t.Helper()
	p.front()
	var v struct{ Value string }
	p.f.call("WebDriver:TakeScreenshot", map[string]any{"full": true}, &v)
	png, err := base64.StdEncoding.DecodeString(v.Value)
	if err != nil {
		p.f.t.Fatal(err)
	}
	return png
}
