package archtest

import (
	"go/ast"
	"go/token"
	"iter"
	"slices"
	"strings"
)

// checkGlobals allows as global variables errors, interface assertions (to _) and tables.
func (m *module) checkGlobals(f *file) {
	for spec, name := range globals(f) {
		if !isSentinel(spec, name.Name) && !isTable(spec) {
			m.errorf(name.Pos(), "%s is pure and must not have the global variable %s: only errors and constant tables", f.dir, name.Name)
		}
	}
}

// globals yields the global variables of the file but for those named _.
func globals(f *file) iter.Seq2[*ast.ValueSpec, *ast.Ident] {
	return func(yield func(*ast.ValueSpec, *ast.Ident) bool) {
		for _, d := range f.Decls {
			d, ok := d.(*ast.GenDecl)
			if !ok || d.Tok != token.VAR {
				continue
			}
			for _, spec := range d.Specs {
				spec := spec.(*ast.ValueSpec)
				for _, name := range spec.Names {
					if name.Name != "_" && !yield(spec, name) {
						return
					}
				}
			}
		}
	}
}

// isSentinel reports whether the variable is an error by its name, ErrClosed or errShort,
// and by what it starts with.
func isSentinel(spec *ast.ValueSpec, name string) bool {
	rest, ok := strings.CutPrefix(strings.ToLower(name[:1])+name[1:], "err")
	if !ok || rest == "" || rest[0] < 'A' || rest[0] > 'Z' {
		return false
	}
	for _, v := range spec.Values {
		switch v.(type) {
		case *ast.CallExpr, *ast.CompositeLit, *ast.UnaryExpr: // errors.New("..."), E{}, &E{}
		default:
			return false
		}
	}
	return len(spec.Values) > 0
}

// isTable reports whether the variables are arrays, slices or maps written down as
// literals which no code computes.
func isTable(spec *ast.ValueSpec) bool {
	if len(spec.Values) == 0 {
		array, ok := spec.Type.(*ast.ArrayType)
		return ok && array.Len != nil
	}
	return !slices.ContainsFunc(spec.Values, func(v ast.Expr) bool {
		switch v := v.(type) {
		case *ast.CompositeLit:
			return !isContainer(v.Type) || computes(v)
		case *ast.CallExpr: // []byte("constant")
			return !isContainer(v.Fun) || slices.ContainsFunc(v.Args, computes)
		}
		return true
	})
}

func isContainer(typ ast.Expr) bool {
	switch typ.(type) {
	case *ast.ArrayType, *ast.MapType:
		return true
	}
	return false
}

// computes reports whether the expression runs code, takes an address or makes a closure.
func computes[E ast.Expr](e E) bool {
	found := false
	ast.Inspect(e, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr, *ast.FuncLit:
			found = true
		case *ast.UnaryExpr:
			found = found || n.Op == token.AND || n.Op == token.ARROW
		}
		return !found
	})
	return found
}

// checkTablesUnwritten fails where code assigns to a global variable of a pure package, or takes
// its address. It goes by names, so a local variable must not have the name of a global one and be
// written.
func (m *module) checkTablesUnwritten(dirs map[string]bool) {
	names := make(map[string]map[string]bool) // directory to names
	for _, f := range m.files {
		if f.test || !dirs[f.dir] {
			continue
		}
		if names[f.dir] == nil {
			names[f.dir] = make(map[string]bool)
		}
		for _, name := range globals(f) {
			names[f.dir][name.Name] = true
		}
	}
	for _, f := range m.files {
		if f.test || len(names[f.dir]) == 0 {
			continue
		}
		ast.Inspect(f.File, func(n ast.Node) bool {
			for _, e := range written(n) {
				if name := root(e); names[f.dir][name] {
					m.errorf(e.Pos(), "%s is pure and must not write to the global variable %s", f.dir, name)
				}
			}
			return true
		})
	}
}

// written returns the expressions that a statement writes to, or may through their address.
func written(n ast.Node) []ast.Expr {
	switch n := n.(type) {
	case *ast.AssignStmt:
		return n.Lhs
	case *ast.IncDecStmt:
		return []ast.Expr{n.X}
	case *ast.RangeStmt:
		return []ast.Expr{n.Key, n.Value}
	case *ast.UnaryExpr:
		if n.Op == token.AND {
			return []ast.Expr{n.X}
		}
	}
	return nil
}

// root returns the name of the variable that x, x[i] or x.f is part of.
func root(e ast.Expr) string {
	for {
		switch x := e.(type) {
		case *ast.Ident:
			return x.Name
		case *ast.IndexExpr:
			e = x.X
		case *ast.SelectorExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		default:
			return ""
		}
	}
}
