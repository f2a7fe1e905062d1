package archtest

import (
	"strconv"
	"strings"
)

// An importRule says what packages may import, but for the standard library and in test files.
type importRule struct {
	packages string   // a pattern; the first rule that matches counts
	inside   []string // patterns of directories of this module
	outside  []string // patterns of import paths of other modules
}

// Data walks udpio -> loop -> conn -> h3, dgram -> application; imports run the other way.
var importRules = []importRule{
	{packages: "."},
	{packages: "conn", inside: []string{"conn/congestion", "internal/..."}, outside: []string{"golang.org/x/crypto/..."}},
	{packages: "conn/congestion", inside: []string{"internal/..."}},
	{packages: "conn/conntest", inside: []string{"conn", "internal/muldiv"}},
	{packages: "conn/quiclb", inside: []string{"conn"}},
	{packages: "conn/replay", inside: []string{"conn"}},
	{packages: "conn/varint", inside: []string{"internal/wire"}},
	{packages: "dgram", inside: []string{"conn", "internal/wire"}},
	{packages: "h3", inside: []string{"conn", "dgram", "internal/list", "internal/qlog", "internal/qpack", "internal/wire"}},
	{packages: "h3/masque", inside: []string{"h3", "h3/h3http", "dgram", "conn", "loop", "udpio", "internal/deadline"}, outside: []string{httpsfv}},
	{packages: "h3/internal/...", inside: []string{"h3"}},
	{packages: "h3/h3loop", inside: []string{"h3", "h3/internal/...", "conn", "loop", "internal/list"}},
	{packages: "h3/h3http", inside: []string{"h3", "h3/internal/...", "dgram", "conn", "loop", "udpio", "internal/deadline", "internal/fifo", "internal/growstack", "internal/list", "internal/nostream"}, outside: []string{"golang.org/x/net/..."}},
	{packages: "h3/h3http/nethttp", inside: []string{"h3/h3http", "loop", "internal/nostream"}},
	{packages: "h3/webtransport", inside: []string{"h3", "h3/h3http", "dgram", "conn", "conn/varint", "loop"}, outside: []string{httpsfv}},
	{packages: "metrics", inside: []string{"conn", "h3", "h3/h3http", "loop"}},
	{packages: "metrics/prometheus", inside: []string{"metrics"}, outside: []string{"github.com/prometheus/..."}},
	{packages: "udpio", outside: []string{"golang.org/x/sys/...", "golang.org/x/net/..."}},
	{packages: "loop", inside: []string{"conn", "udpio", "internal/..."}, outside: []string{"golang.org/x/sys/...", "golang.org/x/net/..."}},
	{packages: "loop/capture", inside: []string{"loop", "udpio"}},
	{packages: "loop/handover", inside: []string{"conn", "loop", "udpio"}, outside: []string{"golang.org/x/sys/..."}},
	{packages: "loop/debug", inside: []string{"conn", "loop"}},
	{packages: "loop/looptest", inside: []string{"conn", "conn/conntest", "loop", "udpio"}},
	{packages: "examples/holb", inside: append([]string{"examples/internal/...", "internal/netrelay"}, public...), outside: []string{"golang.org/x/sys/..."}},
	{packages: "examples/cost", inside: append([]string{"examples/internal/...", "internal/netrelay"}, public...), outside: []string{"golang.org/x/sys/..."}},
	{packages: "examples/internal/tunnelhttp", inside: append([]string{"internal/netrelay"}, public...), outside: []string{"golang.org/x/sys/..."}},
	{packages: "examples/realtime/internal/world"},
	{packages: "examples/realtime/internal/carriers", inside: append([]string{"examples/internal/...", "examples/realtime/internal/world", "internal/netns", "internal/netrelay"}, public...), outside: []string{"golang.org/x/net/websocket"}},
	{packages: "examples/realtime", inside: append([]string{"examples/internal/...", "examples/realtime/internal/...", "internal/netrelay"}, public...), outside: []string{"golang.org/x/sys/..."}},
	{packages: "examples/internal/envlog", inside: public},
	{packages: "examples/internal/quicflags", inside: append([]string{"examples/internal/usage"}, public...)},
	{packages: "examples/internal/rebind", inside: []string{"udpio"}},
	{packages: "examples/internal/yamlfile", outside: []string{"github.com/goccy/go-yaml/..."}},
	{packages: "examples/internal/..."},
	{packages: "examples/edge", inside: append([]string{"examples/internal/..."}, public...), outside: []string{"github.com/goccy/go-yaml/..."}},
	{packages: "examples/lb", inside: append([]string{"examples/internal/..."}, public...), outside: []string{"golang.org/x/net/..."}},
	{packages: "examples/...", inside: append([]string{"examples/internal/..."}, public...), outside: []string{"golang.org/x/sys/..."}},
	{packages: "internal/qpack", outside: []string{"golang.org/x/net/http2/hpack"}},
	{packages: "internal/netns", outside: []string{"golang.org/x/sys/..."}},
	{packages: "internal/interop/edge/compare", inside: []string{"h3/h3http", "internal/interop/edge", "internal/interop/internal/..."}},
	{packages: "internal/interop/lb/compare", inside: []string{"conn/quiclb", "internal/interop/internal/compare", "udpio"}},
	{packages: "internal/interop/peers/...", outside: []string{"github.com/quic-go/quic-go/..."}},
	{packages: "internal/...", inside: []string{"internal/..."}, outside: []string{"golang.org/x/crypto/..."}},
}

// public are the packages that a program outside the module may import.
var public = []string{"conn/...", "dgram/...", "h3/...", "loop/...", "metrics", "udpio"}

// unimportable are packages that nothing imports, test files aside.
var unimportable = []string{"internal/archtest", "internal/browser", "internal/require"}

func checkImports(m *module) {
	leaf := m.leaves()
	for _, f := range m.files {
		if f.test {
			continue
		}
		rule, ok := ruleFor(f.dir)
		if !ok {
			m.errorf(f.Package, "no import rule for package %s: add it to importRules in internal/archtest", f.dir)
			continue
		}
		for _, spec := range f.Imports {
			p, _ := strconv.Unquote(spec.Path.Value)
			dir, inside := m.inModule(p)
			switch {
			case spec.Name != nil && spec.Name.Name == ".":
				m.errorf(spec.Pos(), "dot import of %s hides where names come from", p)
			case !inside && standard(p):
			case !inside:
				if !matches(p, rule.outside) {
					m.errorf(spec.Pos(), "%s must not depend on %s", f.dir, p)
				}
			case !matches(dir, rule.inside) || matches(dir, unimportable):
				m.errorf(spec.Pos(), "%s must not import %s: imports run against the way of data", f.dir, dir)
			case isInternal(f.dir) && !leaf[dir]:
				m.errorf(spec.Pos(), "%s must not import %s, which imports packages of the module itself", f.dir, dir)
			}
		}
	}
}

// leaves returns the directories of packages that import nothing of the module.
func (m *module) leaves() map[string]bool {
	leaf := make(map[string]bool)
	for _, f := range m.files {
		if !f.test {
			leaf[f.dir] = true
		}
	}
	for dir := range leaf {
		leaf[dir] = len(m.importsOf(dir)) == 0
	}
	return leaf
}

// importsOf returns the directories of the module that the package imports, test files aside.
func (m *module) importsOf(dir string) (dirs []string) {
	for _, f := range m.files {
		if f.dir != dir || f.test {
			continue
		}
		for _, spec := range f.Imports {
			p, _ := strconv.Unquote(spec.Path.Value)
			if d, ok := m.inModule(p); ok {
				dirs = append(dirs, d)
			}
		}
	}
	return dirs
}

func ruleFor(dir string) (importRule, bool) {
	for _, r := range importRules {
		if matches(dir, []string{r.packages}) {
			return r, true
		}
	}
	return importRule{}, false
}

// standard reports whether the import path is of the standard library: no dot in the first element.
func standard(importPath string) bool {
	first, _, _ := strings.Cut(importPath, "/")
	return !strings.Contains(first, ".")
}

// isInternal reports whether packages of the module may import dir. None imports internal/interop,
// which is a module of its own.
func isInternal(dir string) bool {
	return strings.HasPrefix(dir, "internal/") && !strings.HasPrefix(dir, "internal/interop/")
}
