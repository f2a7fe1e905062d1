// Package archtest keeps the house: it reads all source of the module and fails
// where imports run against the way of data, where the pure packages touch the
// clock, the network or a goroutine, where files and functions outgrow what a person can
// read, and where exported names lack comments.
//
// The tables that say what is allowed stand on top of the file of each rule. A change
// of the architecture is a change of a table.
package archtest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"strings"
	"testing"
)

func TestModule(t *testing.T) {
	m, err := load(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	if len(m.files) == 0 {
		t.Fatal("there is no source: this test looks in the wrong place")
	}
	for _, r := range []struct {
		name  string
		check func(*module)
	}{
		{"imports", checkImports},
		{"purity", checkPurity},
		{"shape", checkShape},
		{"comments", checkComments},
		{"package comments", checkPackageComments},
	} {
		t.Run(r.name, func(t *testing.T) {
			m.violations = nil
			r.check(m)
			for _, v := range m.violations {
				t.Error(v)
			}
		})
	}
}

// A module is the parsed source of a Go module, without modules and test data inside it.
type module struct {
	path       string // as in go.mod
	fset       *token.FileSet
	files      []*file
	violations []string
}

// A file is one source file.
type file struct {
	*ast.File
	name  string // its path from the root of the module
	dir   string // "." for the root
	test  bool   // whether the name ends in _test.go
	lines int
}

// load parses all Go files of the module.
func load(root fs.FS) (*module, error) {
	gomod, err := fs.ReadFile(root, "go.mod")
	if err != nil {
		return nil, err
	}
	m := &module{fset: token.NewFileSet()}
	for line := range strings.Lines(string(gomod)) {
		if p, ok := strings.CutPrefix(line, "module "); ok {
			m.path = strings.TrimSpace(p)
		}
	}
	err = fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && foreign(root, name):
			return fs.SkipDir
		case d.IsDir() || path.Ext(name) != ".go":
			return nil
		}
		src, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		return m.add(name, src)
	})
	return m, err
}

// foreign reports whether the directory does not belong to the module, by the rules of the go command.
func foreign(root fs.FS, dir string) bool {
	base := path.Base(dir)
	if base[0] == '.' || base[0] == '_' || base == "testdata" || base == "vendor" {
		return true
	}
	_, err := fs.Stat(root, path.Join(dir, "go.mod"))
	return err == nil
}

func (m *module) add(name string, src []byte) error {
	f, err := parser.ParseFile(m.fset, name, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	m.files = append(m.files, &file{
		File:  f,
		name:  name,
		dir:   path.Dir(name),
		test:  strings.HasSuffix(name, "_test.go"),
		lines: strings.Count(string(src), "\n"),
	})
	return nil
}

// errorf notes a violation at a place.
func (m *module) errorf(pos token.Pos, format string, args ...any) {
	p := m.fset.Position(pos)
	m.violations = append(m.violations, fmt.Sprintf("%s:%d: ", p.Filename, p.Line)+fmt.Sprintf(format, args...))
}

// inModule returns the directory of an import path, and whether it belongs to the module.
func (m *module) inModule(importPath string) (dir string, ok bool) {
	if importPath == m.path {
		return ".", true
	}
	return strings.CutPrefix(importPath, m.path+"/")
}

// matches reports whether an import path or directory is one of the patterns, of which those that end in
// "/..." stand for all below, too.
func matches(p string, patterns []string) bool {
	for _, pattern := range patterns {
		prefix, below := strings.CutSuffix(pattern, "/...")
		if p == prefix || below && strings.HasPrefix(p, prefix+"/") {
			return true
		}
	}
	return false
}
