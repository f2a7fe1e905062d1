package compat

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/lazoquic/lazo/internal/require"
)

// A program is a module that others wrote for quic-go, with tests.
type program struct {
	module, version string
	packages        []string // whose tests run
	run             string   // which of them; all by default

	edits  []edit   // what the source needs to build against quic-go v0.65
	remove []string // directories that do not build against it
	proxy  bool     // its tests use the proxy of quic-go's tests
	uses   []string // modules of other programs that it needs as they are edited here
	tags   string   // build tags

	use func(t *testing.T, dir string) // more to do with it, or nil

	// fails are tests that pass with quic-go and fail with Lazo, and why.
	fails map[string]string
	// leaves says why the tests leave something of Lazo behind; empty for none.
	leaves string
}

// An edit replaces text in a file, which has it once.
type edit struct{ file, old, new string }

var programs = []program{
	{
		module: "github.com/quic-go/connect-ip-go", version: "v0.7.0",
		packages: []string{"./..."},
	},
	{
		module: "github.com/quic-go/webtransport-go", version: "v0.13.0",
		packages: []string{".", "./integrationtests"},
		edits: []edit{
			{"server.go", streamBefore, streamSince},
			{"server.go", headerBefore, headerSince},
		},
		remove: []string{"example", "interop", "interop_chrome"},
		fails: map[string]string{
			"TestSessionManagerSessionClose":   "it takes the first stream of the server for the only one of HTTP/3; Lazo opens those of QPACK too",
			"TestReceiveStreamDataFlowControl": "missing.md: ReceiveStream.Read returns what came before the reset",
		},
		leaves: "the tests that fail close neither their servers nor their connections",
	},
	{
		module: "github.com/libp2p/go-libp2p", version: "v0.52.0",
		packages: []string{"./p2p/transport/quic/...", "./p2p/transport/quicreuse/..."},
		proxy:    true,
		leaves:   "the tests leave listeners open, as many of them as with quic-go itself",
	},
	{
		module: "github.com/coredns/coredns", version: "v1.15.0",
		packages: []string{"./core/dnsserver", "./plugin/quic", "./plugin/pkg/proxy", "./plugin/pkg/doh", "./plugin/forward", "./test"},
		run:      "(?i)(quic|doq|https3|doh3|http3)",
		use:      queryCoreDNS,
	},
	{
		// Its own tests do not reach HTTP/3.
		module: "github.com/caddyserver/caddy/v2", version: "v2.11.9",
		edits: []edit{{"listeners.go", `h3qlog "github.com/quic-go/quic-go/http3/qlog"`, `h3qlog "github.com/quic-go/quic-go/qlog"`}},
		use:   serveCaddy,
	},
	{
		module: "github.com/gin-gonic/gin", version: "v1.12.0",
		packages: []string{"."},
		run:      "^TestRun(TLS|QUIC)$", // the second asks the server of the first
		leaves:   "its test never ends the server",
	},
	{
		module:   "github.com/cloudflare/cloudflared",
		packages: []string{"./connection", "./datagramsession", "./supervisor", "./quic/...", "./tunnelrpc/quic"},
		edits:    []edit{{"quic/conversion.go", "qlog.PacketDropKeyUnavailable", "qlog.PacketDropKeysUnavailable"}},
		remove:   []string{"vendor"},
	},
	{
		module:   "github.com/mengelbart/moqtransport",
		packages: []string{"./..."},
		uses:     []string{"github.com/quic-go/webtransport-go"},
	},
	{
		module:   "github.com/v2fly/v2ray-core/v5",
		packages: []string{"./transport/internet/quic", "./app/dns"},
		run:      "(?i)quic",
	},
	{
		module:   "github.com/quic-go/masque-go",
		packages: []string{"./..."},
		edits: []edit{
			{"proxy.go", masqueHeader, ""},
			{"proxy.go", masqueBefore, masqueSince},
			{"conn_test.go", "		strChan <- w.(http3.HTTPStreamer).HTTPStream()\n", masqueTest},
			{"proxy_request.go", "template.Match(r.URL.String())", `template.Match(u.Scheme + "://" + r.Host + r.URL.RequestURI())`},
		},
	},
	{
		module:   "github.com/AdguardTeam/dnsproxy",
		packages: []string{"./proxy", "./upstream"},
		run:      "(?i)(quic|doq|doh|https)",
		use:      queryDNSProxy,
	},
	{
		module:   "github.com/fatedier/frp",
		packages: []string{"./pkg/util/net", "./client/...", "./server/..."},
		tags:     "noweb",
		use:      tunnelFRP,
	},
	{
		module:   "github.com/bluenviron/mediamtx",
		packages: []string{"./internal/protocols/httpp3", "./internal/servers/moq", "./internal/staticsources/moq"},
		uses:     []string{"github.com/quic-go/webtransport-go"},
	},
	{
		module:   "github.com/folbricht/routedns",
		packages: []string{"."},
		run:      "(?i)(doq|doh|quic)",
		leaves:   "its clients of DNS over QUIC and HTTP/3 have no Close",
	},
	{
		module:   "github.com/semihalev/sdns",
		packages: []string{"./server/doq", "./server"},
		run:      "(?i)(doq|doh|quic|StreamContext)",
	},
	{
		module:   "github.com/syncthing/syncthing",
		packages: []string{"./lib/connections"},
		run:      "^TestConnectionEstablishment$",
	},
}

// HTTPStream of v0.65 returns an error too, and WriteHeader must come before it.
const (
	streamBefore = "	str := w.(http3.HTTPStreamer).HTTPStream()\n"
	streamSince  = "	w.WriteHeader(http.StatusOK)\n	str, err := w.(http3.HTTPStreamer).HTTPStream()\n	if err != nil {\n		return nil, err\n	}\n"
	headerBefore = "	w.WriteHeader(http.StatusOK)\n	w.(http.Flusher).Flush()\n	return sess"
	headerSince  = "	return sess"

	masqueBefore = "	str := w.(http3.HTTPStreamer).HTTPStream()\n"
	masqueSince  = masqueHeader + "	str, err := w.(http3.HTTPStreamer).HTTPStream()\n	if err != nil {\n		s.mx.Unlock()\n		conn.Close()\n		return err\n	}\n"
	masqueTest   = "		w.WriteHeader(http.StatusOK)\n		if str, err := w.(http3.HTTPStreamer).HTTPStream(); err == nil {\n			strChan <- str\n		}\n"
	masqueHeader = "	w.Header().Set(http3.CapsuleProtocolHeader, capsuleProtocolHeaderValue)\n	w.WriteHeader(http.StatusOK)\n"
)

// TestPrograms runs the tests of programs that others wrote on Lazo, by a replacement of quic-go in
// their go.mod. It fetches them from the Go proxy, and takes minutes: LAZO_PROGRAMS=1 asks for it.
// LAZO_SOURCES, a folder, has checkouts of those that the proxy does not have, each under the last
// part of its name.
func TestPrograms(t *testing.T) {
	if os.Getenv("LAZO_PROGRAMS") == "" {
		t.Skip("LAZO_PROGRAMS=1 runs the tests of other programs")
	}
	lazo, translator := translatorCopy(t)
	for _, p := range programs {
		t.Run(p.name(), func(t *testing.T) {
			translator := translator
			if p.proxy {
				translator = quicGoTree(t)
			}
			dir := p.prepare(t, lazo, translator)
			if len(p.packages) > 0 {
				p.test(t, dir)
			}
			if p.use != nil {
				p.use(t, dir)
			}
		})
	}
}

// programOf returns the program of a module.
func programOf(module string) program {
	return programs[slices.IndexFunc(programs, func(p program) bool { return p.module == module })]
}

// name returns the short name of the program.
func (p program) name() string { return strings.Split(p.module, "/")[2] }

// source returns the folder that has the source: that of LAZO_SOURCES, or else what the Go proxy
// has.
func (p program) source(t *testing.T) string {
	t.Helper()
	if from := os.Getenv("LAZO_SOURCES"); from != "" {
		dir, err := filepath.Abs(filepath.Join(from, p.name()))
		require.NoError(t, err)
		if _, err := os.Stat(dir); err == nil {
			return dir
		}
	}
	if p.version == "" {
		t.Skipf("the Go proxy does not have %s, and LAZO_SOURCES has no checkout of it", p.module)
	}
	return download(t, p.module, p.version)
}

// prepare copies the source, and has the copy use Lazo.
func (p program) prepare(t *testing.T, lazo, translator string) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "program")
	copyTree(t, p.source(t), dir)
	p.edit(t, dir)
	replace := []string{"go", "mod", "edit", "-replace", "github.com/lazoquic/lazo=" + lazo, "-replace", quicGo + "=" + translator}
	for _, module := range p.uses {
		replace = append(replace, "-replace", module+"="+programOf(module).prepare(t, lazo, translator))
	}
	command(t, dir, replace...)
	command(t, dir, "go", "mod", "tidy")
	return dir
}

// original copies the source, and has the copy use quic-go v0.65 itself.
func (p program) original(t *testing.T) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "program")
	copyTree(t, p.source(t), dir)
	p.edit(t, dir)
	for _, module := range p.uses {
		command(t, dir, "go", "mod", "edit", "-replace", module+"="+programOf(module).original(t))
	}
	command(t, dir, "go", "get", quicGo+"@v0.65.0")
	command(t, dir, "go", "mod", "tidy")
	return dir
}

// translatorCopy copies compat/quic-go to a temporary folder, and adds a simulated network of
// quic-go for tests, which knows nothing of QUIC. It returns the folders of Lazo and of the copy.
func translatorCopy(t *testing.T) (lazo, translator string) {
	t.Helper()
	lazo, err := filepath.Abs("../../..")
	require.NoError(t, err)
	translator = filepath.Join(t.TempDir(), "quic-go")
	copyTree(t, filepath.Join(lazo, "compat", "quic-go"), translator)
	copyTree(t, filepath.Join(download(t, quicGo, "v0.65.0"), "testutils", "simnet"), filepath.Join(translator, "testutils", "simnet"))
	command(t, translator, "go", "mod", "edit", "-replace", "github.com/lazoquic/lazo="+lazo)
	return lazo, translator
}

// edit makes the source build against quic-go v0.65.
func (p program) edit(t *testing.T, dir string) {
	t.Helper()
	for _, d := range p.remove {
		require.NoError(t, os.RemoveAll(filepath.Join(dir, d)))
	}
	for _, e := range p.edits {
		path := filepath.Join(dir, e.file)
		b, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, 1, bytes.Count(b, []byte(e.old)))
		require.NoError(t, os.WriteFile(path, bytes.Replace(b, []byte(e.old), []byte(e.new), 1), 0o644))
	}
}

// test runs the tests. Those that fail must be those of fails, or fail with quic-go itself, too.
func (p program) test(t *testing.T, dir string) {
	t.Helper()
	p.watch(t, dir)
	c := exec.Command("go", append([]string{"test", "-json", "-count=1", "-timeout=5m", "-tags", p.tags, "-run", p.run}, p.packages...)...)
	c.Dir = dir
	c.Stderr = t.Output()
	out, err := c.Output()
	if _, failed := errors.AsType[*exec.ExitError](err); err != nil && !failed {
		t.Fatal(err)
	}
	passed, failed, leaks, output := 0, make(map[string]string), make(map[string]bool), make(map[string]string)
	for line := range bytes.Lines(out) {
		var ev struct{ Action, Package, Test, Output string }
		require.NoError(t, json.Unmarshal(line, &ev))
		switch {
		case ev.Action == "output", ev.Action == "build-output":
			output[ev.Test] += ev.Output
			if strings.HasPrefix(ev.Output, leakMark) {
				leaks[ev.Package] = true
			}
		case ev.Action == "pass" && ev.Test != "":
			passed++
		// A package that does not build has no tests.
		case ev.Action == "fail" && (ev.Test != "" || len(failed) == 0):
			failed[ev.Test] = ev.Package
		}
	}
	t.Logf("%d tests pass", passed)
	require.Positive(t, passed, "%s", output[""])
	original := sync.OnceValue(func() string { return p.original(t) })
	for name, pkg := range failed {
		switch {
		case p.fails[name] != "" && !p.passesAlone(original(), name, pkg):
			t.Errorf("%s fails with quic-go, too: take it out of fails", name)
		case p.fails[name] != "":
		case p.passesAlone(dir, name, pkg):
			t.Logf("UNSTABLE: %s passes by itself only", name)
		case name != "" && !p.passesAlone(original(), name, pkg):
			t.Logf("%s fails with quic-go, too", name)
		default:
			t.Errorf("%s fails:\n%s", name, output[name])
		}
	}
	for pkg := range leaks {
		// A test that failed does not tidy up.
		if p.leaves != "" || slices.Contains(slices.Collect(maps.Values(failed)), pkg) {
			continue
		}
		t.Errorf("the tests of %s leave something behind:\n%s", pkg, output[""])
	}
	for name := range p.fails {
		if failed[name] == "" && p.passesAlways(dir, name) {
			t.Errorf("%s passes: take it out of fails", name)
		}
	}
}

// passesAlone runs a test that has failed again, by itself: many wait for milliseconds, or for
// goroutines that a busy machine runs in another order.
func (p program) passesAlone(dir, name, pkg string) bool {
	if name == "" {
		return false
	}
	for range attempts {
		if p.again(dir, name, pkg) == nil {
			return true
		}
	}
	return false
}

// passesAlways runs a test again that should have failed, by itself: what it fails for may happen
// most times only.
func (p program) passesAlways(dir, name string) bool {
	for range attempts {
		if p.again(dir, name, p.packages...) != nil {
			return false
		}
	}
	return true
}

func (p program) again(dir, name string, packages ...string) error {
	c := exec.Command("go", append([]string{"test", "-count=1", "-timeout=5m", "-tags", p.tags, "-run", "^" + strings.ReplaceAll(name, "/", "$/^") + "$"}, packages...)...)
	c.Dir = dir
	return c.Run()
}

// download returns where the go command keeps a module.
func download(t *testing.T, module, version string) string {
	t.Helper()
	var of struct{ Dir string }
	require.NoError(t, json.Unmarshal(command(t, t.TempDir(), "go", "mod", "download", "-json", module+"@"+version), &of))
	return of.Dir
}

func command(t *testing.T, dir string, args ...string) []byte {
	t.Helper()
	c := exec.Command(args[0], args[1:]...)
	c.Dir = dir
	var stderr bytes.Buffer
	c.Stderr = &stderr
	out, err := c.Output()
	require.NoError(t, err, "%s: %s", strings.Join(args, " "), &stderr)
	return out
}

// copyTree copies a directory. What it makes can be written to.
func copyTree(t *testing.T, from, to string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(from, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		dest := filepath.Join(to, rel)
		if d.IsDir() {
			return os.MkdirAll(dest, 0o755)
		}
		if !d.Type().IsRegular() || slices.Contains([]string{".git"}, d.Name()) {
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(dest, b, 0o644)
	}))
}
