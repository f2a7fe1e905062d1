package loop_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/loop"
)

// TestSessionCache saves the sessions of one client, as at the end of its process. Another client
// uses them.
func TestSessionCache(t *testing.T) {
	link := conntest.Link{Delay: 50 * time.Millisecond}
	cfg := serverConfig(func(c *conn.Config) { c.Enable0RTT = true })
	var tokens []conn.TokenKind
	cfg.Endpoint.Admit = func(in conn.AdmissionRequest) conn.Admission {
		tokens = append(tokens, in.Token)
		return conn.AdmissionAccept
	}
	name := filepath.Join(t.TempDir(), "sessions")
	run(t, setup{link: link, server: cfg}, func(t *testing.T, w *world) {
		for i, want := range []time.Duration{100 * time.Millisecond, 0, 0} {
			cache := new(loop.SessionCache)
			if err := cache.Load(name); (i == 0) != errors.Is(err, fs.ErrNotExist) || i > 0 && err != nil {
				t.Fatal(err)
			}
			cfg := conntest.ClientConfig()
			cfg.Enable0RTT, cfg.Tokens = true, cache
			cfg.TLS.ClientSessionCache, cfg.TLS.ServerName = cache, "lazo.test"
			tokens = nil
			start := time.Now()
			c, err := w.client.Dial(w.ctx(), serverAddr, cfg)
			if err != nil {
				t.Fatal(err)
			}
			if took := time.Since(start); took != want {
				t.Errorf("dial %d took %v, want %v", i, took, want)
			}
			fmt.Fprint(w.open(c, conn.Bidi), "hello")
			server, err := w.server.Accept(w.ctx())
			if err != nil {
				t.Fatal(err)
			}
			if early := w.accept(server).Early(); early != (i > 0) {
				t.Errorf("dial %d: early data: %t", i, early)
			}
			if (len(tokens) > 0 && tokens[0] == conn.TokenNewToken) != (i > 0) {
				t.Errorf("dial %d: tokens %v", i, tokens)
			}
			time.Sleep(time.Second)
			c.Close(0, "")
			if err := cache.Save(name); err != nil {
				t.Fatal(err)
			}
		}
	})
	info, err := os.Stat(name)
	if err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("%v: others may read %v", err, info.Mode())
	}
}

// TestSessionCacheBounds: the cache returns the newest sessions first, each of them once.
func TestSessionCacheBounds(t *testing.T) {
	var c loop.SessionCache
	for i := range 10 {
		c.PutToken("a", fmt.Append(nil, "token ", i))
	}
	c.PutToken("a", []byte("token 8")) // again
	for _, want := range []string{"token 8", "token 9", "token 7", "token 6", ""} {
		if got := c.TakeToken("a"); string(got) != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	for i := range 1000 {
		c.PutToken(fmt.Sprint(i), []byte("x"))
		c.PutToken("often", []byte("x"))
	}
	n := 0
	for i := range 1000 {
		if c.TakeToken(fmt.Sprint(i)) != nil {
			n++
		}
	}
	if n != 255 || c.TakeToken("often") == nil {
		t.Errorf("%d servers, want 255 and one", n)
	}
	if _, ok := c.Get("unknown"); ok {
		t.Error("a session out of nothing")
	}
	c.Put("unknown", nil)
}

// TestSessionCacheLoadsOlder: what the cache has counts as newer than what Load adds, whether the
// file has it, too, or not.
func TestSessionCacheLoadsOlder(t *testing.T) {
	name := filepath.Join(t.TempDir(), "sessions")
	var saved, c loop.SessionCache
	for _, token := range []string{"dropped", "A", "B"} {
		saved.PutToken("a", []byte(token))
	}
	if err := errors.Join(saved.Save(name), c.Load(name)); err != nil {
		t.Fatal(err)
	}
	c.PutToken("a", []byte("new 1"))
	c.PutToken("a", []byte("new 2"))
	if err := c.Load(name); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"new 2", "new 1", "B", "A", ""} {
		if got := c.TakeToken("a"); string(got) != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestSessionCacheLoadsOlderServers: the servers of a file take the places that are left. They do
// not displace those that the cache has.
func TestSessionCacheLoadsOlderServers(t *testing.T) {
	name := filepath.Join(t.TempDir(), "sessions")
	var saved, c loop.SessionCache
	for i := range 256 {
		saved.PutToken(fmt.Sprint("saved ", i), []byte("x"))
	}
	const n = 200
	for i := range n {
		c.PutToken(fmt.Sprint("new ", i), []byte("x"))
	}
	if err := errors.Join(saved.Save(name), c.Load(name)); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if c.TakeToken(fmt.Sprint("new ", i)) == nil {
			t.Errorf("the file displaced server %d", i)
		}
	}
	for i := range 256 {
		if got := c.TakeToken(fmt.Sprint("saved ", i)) != nil; got != (i >= n) {
			t.Errorf("server %d of the file is there: %t", i, got)
		}
	}
}

func TestSessionCacheFiles(t *testing.T) {
	var c loop.SessionCache
	dir := t.TempDir()
	name := filepath.Join(dir, "sessions")
	c.PutToken("a", []byte("x"))
	for range 2 {
		if err := c.Save(name); err != nil {
			t.Fatal(err)
		}
	}
	if files, _ := os.ReadDir(dir); len(files) != 1 {
		t.Errorf("files %v", files)
	}
	if err := c.Save(filepath.Join(dir, "no", "such", "directory")); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if err := c.Load(name); err != nil { // Load adds to the cache
		t.Error(err)
	}
	for content, ok := range map[string]bool{
		"":   false,
		"x":  false,
		"{}": true,
		// Get does not return this one
		`{"sessions":[{"server":"a","items":[{"ticket":"AAAA","state":"AAAA"}]}]}`: true,
	} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := c.Load(name); (err == nil) != ok || err != nil && !strings.Contains(err.Error(), name) {
			t.Errorf("%q: %v", content, err)
		}
	}
	if _, ok := c.Get("a"); ok {
		t.Error("a session that is none")
	}
	if c.TakeToken("a") == nil {
		t.Error("the token is lost")
	}
}

// TestSessionCacheLoadsOnce: what the cache has already is not there twice after Load, so that no
// session or token is given twice.
func TestSessionCacheLoadsOnce(t *testing.T) {
	name := filepath.Join(t.TempDir(), "sessions")
	content := `{"sessions":[{"server":"a","items":[{"ticket":"AAAA","state":"AAAA"},{"ticket":"AAAB","state":"AAAA"}]}],` +
		`"tokens":[{"server":"a","items":["AAAA","AAAB"]}]}`
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	var c loop.SessionCache
	for range 3 {
		if err := errors.Join(c.Load(name), c.Save(name)); err != nil {
			t.Fatal(err)
		}
	}
	if b, err := os.ReadFile(name); err != nil || string(b) != content {
		t.Errorf("%s, %v", b, err)
	}
	if a, b := string(c.TakeToken("a")), string(c.TakeToken("a")); a == b || c.TakeToken("a") != nil {
		t.Errorf("%q and %q", a, b)
	}
}

// TestSessionCacheLoadsNothingGiven: the same file is loaded again. What the cache has given since,
// or was told to forget, does not come back.
func TestSessionCacheLoadsNothingGiven(t *testing.T) {
	name := filepath.Join(t.TempDir(), "sessions")
	content := `{"sessions":[{"server":"a","items":[{"ticket":"AAAA","state":"AAAA"},{"ticket":"AAAB","state":"AAAA"}]},` +
		`{"server":"b","items":[{"ticket":"AAAC","state":"AAAA"}]}],` +
		`"tokens":[{"server":"a","items":["AAAA","AAAB"]}]}`
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	var c loop.SessionCache
	var tokens []string
	for range 3 {
		if err := c.Load(name); err != nil {
			t.Fatal(err)
		}
		tokens = append(tokens, string(c.TakeToken("a")))
		c.Get("a")
		c.Put("b", nil)
	}
	if tokens[0] == "" || tokens[1] == "" || tokens[0] == tokens[1] || tokens[2] != "" {
		t.Errorf("tokens %q", tokens)
	}
	if err := errors.Join(c.Load(name), c.Save(name)); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(name); err != nil || strings.Contains(string(b), "ticket") {
		t.Errorf("%s, %v", b, err)
	}
}
