package archtest

import (
	"go/ast"
	"path"
	"slices"
	"strconv"
)

// pure are the packages that know no clock, socket, lock or goroutine: bytes and the time go in,
// bytes, events and a deadline come out. So are all packages of the module that they import.
var pure = []string{
	"conn", "conn/congestion", "conn/quiclb", "conn/varint", "dgram", "examples/realtime/internal/world", "h3",
	"internal/keys", "internal/memory", "internal/muldiv", "internal/pacing", "internal/qlog", "internal/qpack", "internal/rangeset",
	"internal/stream", "internal/tape", "internal/timerheap", "internal/wire",
}

// impureImports are the patterns of what pure packages must not import.
var impureImports = []string{
	"C", "crypto/rand", "math/rand/...", "net/...", "os/...", "runtime/...", "sync/...", "syscall/...", "unsafe",
}

// pureImports are the exceptions from them.
var pureImports = []string{"net/netip"}

// clockNames are the names of package time that read the clock or wait.
var clockNames = []string{
	"After", "AfterFunc", "NewTicker", "NewTimer", "Now", "Since", "Sleep", "Tick", "Ticker", "Timer", "Until",
}

func checkPurity(m *module) {
	dirs := m.pureDirs()
	for _, f := range m.files {
		if f.test {
			continue
		}
		m.checkNoInit(f)
		if !dirs[f.dir] {
			continue
		}
		m.checkPureImports(f)
		m.checkPureCode(f)
		m.checkGlobals(f)
	}
	m.checkTablesUnwritten(dirs)
}

// pureDirs returns the pure packages and all that they import.
func (m *module) pureDirs() map[string]bool {
	dirs := make(map[string]bool)
	todo := slices.Clone(pure)
	for len(todo) > 0 {
		dir := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if !dirs[dir] {
			dirs[dir] = true
			todo = append(todo, m.importsOf(dir)...)
		}
	}
	return dirs
}

func (m *module) checkNoInit(f *file) {
	for _, d := range f.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
			m.errorf(fn.Pos(), "func init runs behind the user's back")
		}
	}
}

func (m *module) checkPureImports(f *file) {
	for _, spec := range f.Imports {
		p, _ := strconv.Unquote(spec.Path.Value)
		if matches(p, impureImports) && !matches(p, pureImports) {
			m.errorf(spec.Pos(), "%s is pure and must not import %s", f.dir, p)
		}
	}
}

func (m *module) checkPureCode(f *file) {
	clock := f.nameOf("time")
	ast.Inspect(f.File, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			m.errorf(n.Pos(), "%s is pure and must not start a goroutine", f.dir)
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && x.Name == clock && slices.Contains(clockNames, n.Sel.Name) {
				m.errorf(n.Pos(), "%s is pure and must not use time.%s: the time is a parameter", f.dir, n.Sel.Name)
			}
		}
		return true
	})
}

// nameOf returns the name by which the file knows an import, "" if it does not.
func (f *file) nameOf(importPath string) string {
	for _, spec := range f.Imports {
		if p, _ := strconv.Unquote(spec.Path.Value); p != importPath {
			continue
		}
		if spec.Name != nil {
			return spec.Name.Name
		}
		return path.Base(importPath)
	}
	return ""
}
