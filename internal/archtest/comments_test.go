package archtest

import (
	"go/ast"
	"go/token"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// undocumented are the patterns of packages whose exported names need no comment.
var undocumented = []string{"internal/...", "examples/..."}

func checkComments(m *module) {
	for _, f := range m.files {
		if f.test || f.Name.Name == "main" || matches(f.dir, undocumented) {
			continue
		}
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Name.IsExported() && (d.Recv == nil || ast.IsExported(receiver(d))) {
					m.checkComment(d.Name, d.Doc, nil)
				}
			case *ast.GenDecl:
				m.checkGenDecl(d)
			}
		}
	}
}

func (m *module) checkGenDecl(d *ast.GenDecl) {
	for _, spec := range d.Specs {
		switch spec := spec.(type) {
		case *ast.TypeSpec:
			if !spec.Name.IsExported() {
				continue
			}
			if d.Lparen == token.NoPos {
				m.checkComment(spec.Name, d.Doc, nil)
			} else {
				m.checkComment(spec.Name, spec.Doc, d.Doc)
			}
		case *ast.ValueSpec:
			if d.Doc != nil || spec.Doc != nil || spec.Comment != nil {
				continue
			}
			for _, name := range spec.Names {
				if name.IsExported() {
					m.errorf(name.Pos(), "%s has no comment, nor has its group", name.Name)
				}
			}
		}
	}
}

// checkComment fails unless doc, or else the comment of its group, is about the name.
func (m *module) checkComment(name *ast.Ident, doc, group *ast.CommentGroup) {
	switch {
	case doc == nil && group == nil:
		m.errorf(name.Pos(), "%s has no comment", name.Name)
	case startsWith(doc.Text(), name.Name) || mentions(group.Text(), name.Name):
	default:
		m.errorf(name.Pos(), "the comment of %s does not start with its name", name.Name)
	}
}

// startsWith reports whether the comment starts with the name, maybe after an article.
func startsWith(doc, name string) bool {
	return slices.ContainsFunc([]string{"", "A ", "An ", "The "}, func(article string) bool {
		rest, ok := strings.CutPrefix(doc, article+name)
		return ok && !continues(rest)
	})
}

// mentions reports whether the name stands somewhere in the comment.
func mentions(doc, name string) bool {
	return slices.Contains(strings.FieldsFunc(doc, func(r rune) bool { return !isWord(r) }), name)
}

// continues reports whether a word goes on in rest.
func continues(rest string) bool {
	r, n := utf8.DecodeRuneInString(rest)
	return n > 0 && isWord(r)
}

func isWord(r rune) bool { return r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r) }

// receiver returns the name of the type whose method it is.
func receiver(d *ast.FuncDecl) string {
	typ := d.Recv.List[0].Type
	for {
		switch t := typ.(type) {
		case *ast.StarExpr:
			typ = t.X
		case *ast.IndexExpr: // one type parameter
			typ = t.X
		case *ast.IndexListExpr:
			typ = t.X
		case *ast.Ident:
			return t.Name
		default:
			return ""
		}
	}
}

// checkPackageComments wants one file of each package to say what the package is.
func checkPackageComments(m *module) {
	commented := make(map[string]bool)
	for _, f := range m.files {
		if f.test || f.Doc == nil {
			continue
		}
		if f.Name.Name == "main" || startsWith(f.Doc.Text(), "Package "+f.Name.Name) {
			commented[f.dir] = true
		}
	}
	for _, f := range m.files {
		if !f.test && !commented[f.dir] {
			m.errorf(f.Package, "package %s has no comment that starts with %q", f.Name.Name, "Package "+f.Name.Name)
			commented[f.dir] = true // once
		}
	}
}
