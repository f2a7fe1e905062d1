package archtest

import (
	"go/ast"
	"path"
	"regexp"
	"slices"
	"strings"
)

// How long things may be, in lines. Functions in test files may be longer, for their tables.
const (
	maxFileLines     = 600
	maxTestFileLines = 1000
	maxFuncLines     = 100
)

// vagueNames say nothing of what a file or package is about.
var vagueNames = []string{"util", "utils", "helper", "helpers", "common", "manager", "managers"}

// unfinished matches the marks of work that is not done.
var unfinished = regexp.MustCompile(`\b(TODO|FIXME|XXX)\b`)

func checkShape(m *module) {
	seen := make(map[string]bool)
	for _, f := range m.files {
		limit := maxFileLines
		if f.test {
			limit = maxTestFileLines
		}
		if f.lines > limit {
			m.errorf(f.Package, "the file has %d lines, more than %d: a file holds one idea", f.lines, limit)
		}
		if isVague(strings.TrimSuffix(path.Base(f.name), ".go")) {
			m.errorf(f.Package, "the name of the file says nothing of what it is about")
		}
		if !seen[f.dir] && (isVague(path.Base(f.dir)) || isVague(f.Name.Name)) {
			m.errorf(f.Package, "the name of the package says nothing of what it is about")
		}
		seen[f.dir] = true
		if !f.test {
			m.checkFuncLengths(f)
			m.checkFinished(f)
		}
	}
}

// isVague reports whether a part of the name is a vague one: util, string_helper, connmanager.
func isVague(name string) bool {
	return slices.ContainsFunc(strings.Split(name, "_"), func(part string) bool {
		return slices.ContainsFunc(vagueNames, func(vague string) bool { return strings.HasSuffix(part, vague) })
	})
}

func (m *module) checkFuncLengths(f *file) {
	for _, d := range f.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok {
			continue
		}
		n := m.fset.Position(fn.End()).Line - m.fset.Position(fn.Pos()).Line + 1
		if n > maxFuncLines {
			m.errorf(fn.Pos(), "%s has %d lines, more than %d: a function fits a screen", fn.Name.Name, n, maxFuncLines)
		}
	}
}

// checkFinished looks for marks of unfinished work and for stubs.
func (m *module) checkFinished(f *file) {
	for _, group := range f.Comments {
		for _, c := range group.List {
			if mark := unfinished.FindString(c.Text); mark != "" {
				m.errorf(c.Pos(), "%s: unfinished work does not land", mark)
			}
		}
	}
	ast.Inspect(f.File, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok && isStub(call) {
			m.errorf(call.Pos(), "a stub is left")
		}
		return true
	})
}

// isStub reports whether the call is panic("sketch").
func isStub(call *ast.CallExpr) bool {
	fn, ok := call.Fun.(*ast.Ident)
	if !ok || fn.Name != "panic" || len(call.Args) != 1 {
		return false
	}
	arg, ok := call.Args[0].(*ast.BasicLit)
	return ok && arg.Value == `"sketch"`
}
