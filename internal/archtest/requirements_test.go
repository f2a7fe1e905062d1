package archtest

import (
	"slices"
	"strconv"
	"strings"
)

// required are the patterns of modules that go.mod may require, for tests too. Whoever imports this
// module gets at least these versions of them (minimal version selection), and reads their names in
// go.sum. What tests alone need goes to a module inside this one, such as internal/interop.
var required = []string{"golang.org/x/...", httpsfv, yaml}

// httpsfv parses structured fields (RFC 9651), whose grammar has many corners. It stands on the
// standard library alone, and its API is that of version 1, so it moves nothing else in a program.
const httpsfv = "github.com/dunglas/httpsfv"

// yaml reads the configuration of examples, and requires no other module. A module of the
// examples' own would keep `go run ./examples/edge` from working.
const yaml = "github.com/goccy/go-yaml"

func checkRequirements(m *module) {
	for _, p := range m.requires {
		if !matches(p, required) {
			m.violations = append(m.violations, "go.mod must not require "+p+": those who import this module would, too")
		}
	}
	for _, f := range m.files {
		if !f.test || f.nested {
			continue
		}
		for _, spec := range f.Imports {
			p, _ := strconv.Unquote(spec.Path.Value)
			_, inside := m.inModule(p)
			if !inside && !standard(p) && !matches(p, required) {
				m.errorf(spec.Pos(), "a test must not depend on %s: use internal/require, or move it to internal/interop", p)
			}
		}
	}
}

// modulePath returns the path that a go.mod gives its module.
func modulePath(gomod []byte) string {
	for line := range strings.Lines(string(gomod)) {
		if words := strings.Fields(line); len(words) >= 2 && words[0] == "module" {
			return words[1]
		}
	}
	return ""
}

// requirements returns the paths of the modules that a go.mod requires.
func requirements(gomod []byte) (paths []string) {
	block := ""
	for line := range strings.Lines(string(gomod)) {
		line, _, _ = strings.Cut(line, "//")
		words := strings.Fields(line)
		switch {
		case len(words) == 0:
		case words[0] == ")":
			block = ""
		case len(words) == 2 && words[1] == "(":
			block = words[0]
		case block == "require":
			paths = append(paths, words[0])
		case block == "" && words[0] == "require":
			paths = append(paths, words[1])
		}
	}
	return slices.Compact(slices.Sorted(slices.Values(paths)))
}
