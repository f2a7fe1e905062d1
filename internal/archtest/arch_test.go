// Package archtest keeps the house: it reads all source of the module, and of modules of ours
// inside it, and fails where imports run against the way of data, where more is required than
// has to be, where the pure packages touch the
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
		{"requirements", checkRequirements},
		{"imports", checkImports},
		{"purity", checkPurity},
		{"shape", checkShape},
		{"comments", checkComments},
		{"package comments", checkPackageComments},
		{"comment lines", checkCommentLines},
		{"deprecated names", checkDeprecated},
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

// A module is the parsed source of a Go module, without test data and without modules inside it
// that are not ours.
type module struct {
	path       string   // as in go.mod
	requires   []string // paths of modules, as in go.mod
	fset       *token.FileSet
	files      []*file
	violations []string
}

// A file is one source file.
type file struct {
	*ast.File
	name   string // its path from the root of the module
	dir    string // "." for the root
	test   bool   // whether the name ends in _test.go
	nested bool   // whether it belongs to a module inside this one
	lines  int
	src    string
}

// load parses all Go files of the module.
func load(root fs.FS) (*module, error) {
	gomod, err := fs.ReadFile(root, "go.mod")
	if err != nil {
		return nil, err
	}
	m := &module{fset: token.NewFileSet(), path: modulePath(gomod), requires: requirements(gomod)}
	var nested []string
	err = fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != ".":
			if unread(name) {
				return fs.SkipDir
			}
			gomod, err := fs.ReadFile(root, path.Join(name, "go.mod"))
			if err != nil {
				return nil
			}
			if modulePath(gomod) != m.path+"/"+name {
				return fs.SkipDir
			}
			nested = append(nested, name+"/...")
			return nil
		case path.Ext(name) != ".go":
			return nil
		}
		src, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		return m.add(name, src)
	})
	for _, f := range m.files {
		f.nested = matches(f.dir, nested)
	}
	return m, err
}

// unread reports whether the go command ignores the directory as well.
func unread(dir string) bool {
	base := path.Base(dir)
	return base[0] == '.' || base[0] == '_' || base == "testdata" || base == "vendor"
}

func (m *module) add(name string, src []byte) error {
	f, err := parser.ParseFile(m.fset, name, src, parser.ParseComments)
	if err != nil {
		return err
	}
	m.files = append(m.files, &file{
		File:  f,
		name:  name,
		dir:   path.Dir(name),
		test:  strings.HasSuffix(name, "_test.go"),
		lines: strings.Count(string(src), "\n"),
		src:   string(src),
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

// matches reports whether an import path or directory matches one of the patterns. A pattern that
// ends in "/..." stands for everything below it too.
func matches(p string, patterns []string) bool {
	for _, pattern := range patterns {
		prefix, below := strings.CutSuffix(pattern, "/...")
		if p == prefix || below && strings.HasPrefix(p, prefix+"/") {
			return true
		}
	}
	return false
}
