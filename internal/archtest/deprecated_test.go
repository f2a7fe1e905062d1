package archtest

import (
	"go/ast"
	"strings"
	"testing"
)

// checkDeprecated refuses the use of a deprecated name in the package that declares it, outside of
// the file that does. staticcheck (SA1019) refuses it in all other packages, and not there.
func checkDeprecated(m *module) {
	type name struct{ dir, pkg, name string }
	deprecated := map[name]bool{}
	for _, f := range m.files {
		for ident := range deprecatedNames(f) {
			deprecated[name{f.dir, f.Name.Name, ident}] = true
		}
	}
	for _, f := range m.files {
		// Unresolved has the identifiers that the file does not declare.
		for _, ident := range f.Unresolved {
			if deprecated[name{f.dir, f.Name.Name, ident.Name}] {
				m.errorf(ident.Pos(), "%s is deprecated: use what its comment names", ident.Name)
			}
		}
	}
}

// deprecatedNames returns the names that a file declares at its top and deprecates.
func deprecatedNames(f *file) map[string]bool {
	names := map[string]bool{}
	note := func(doc *ast.CommentGroup, idents ...*ast.Ident) {
		if !strings.Contains("\n"+doc.Text(), "\nDeprecated: ") {
			return
		}
		for _, ident := range idents {
			names[ident.Name] = true
		}
	}
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil {
				note(d.Doc, d.Name)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch spec := spec.(type) {
				case *ast.TypeSpec:
					note(d.Doc, spec.Name)
					note(spec.Doc, spec.Name)
				case *ast.ValueSpec:
					note(d.Doc, spec.Names...)
					note(spec.Doc, spec.Names...)
				}
			}
		}
	}
	return names
}

func TestDeprecatedRules(t *testing.T) {
	const old = "package conn\n\n// Old is New.\n//\n// Deprecated: use [New].\nconst Old = New\n\nconst New = 1\n"
	use := func(stmt string) map[string]string {
		return map[string]string{"conn/a.go": old, "conn/b.go": "package conn\nfunc f() {\n" + stmt + "\n}\n"}
	}
	const want = "conn/b.go:3: Old is deprecated"
	runRules(t, checkDeprecated, []rulesCase{
		{"the declaration", one("conn/a.go", old), nil},
		{"the new name", use("println(New)"), nil},
		{"the old name", use("println(Old)"), []string{want}},
		{"in a composite literal", use("_ = []int{Old}"), []string{want}},
		{"of a field", use("_ = T{Old: 1}; x.Old()"), nil},
		{"of a variable", use("Old := 2; println(Old)"), nil},
		{"in a test", map[string]string{"conn/a.go": old, "conn/b_test.go": "package conn\nvar x = Old"}, []string{"conn/b_test.go:2"}},
		{"in another package", map[string]string{"conn/a.go": old, "conn/b_test.go": "package conn_test\nvar x = Old"}, nil},
		{"a function", map[string]string{"conn/a.go": "package conn\n// F is.\n//\n// Deprecated: use g.\nfunc F() {}", "conn/b.go": "package conn\nvar x = F"},
			[]string{"conn/b.go:2: F is deprecated"}},
		{"a type of a group", map[string]string{"conn/a.go": "package conn\ntype (\n// T is.\n//\n// Deprecated: use U.\nT int\nU int\n)", "conn/b.go": "package conn\nvar x T\nvar y U"},
			[]string{"conn/b.go:2: T is deprecated"}},
	})
}
