package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// A place is a comment that cites a requirement.
type place struct {
	file string // from the root of the module
	line int
	in   string // the declaration around or behind it
}

func (p place) String() string { return fmt.Sprintf("%s:%d (%s)", p.file, p.line, p.in) }

// citation matches the requirements that a comment cites: "RFC 9221, Section 3 [1, 2]".
const citation = `(RFC \d+|draft-[a-z0-9-]+), Section ([0-9A-Z.]+) \[(\d+(?:, \d+)*)\]`

// A citing is a requirement that a comment cites, and where.
type citing struct {
	key
	place
}

// readSources returns what the comments in Go files below root cite. It leaves out other modules,
// and this package, whose comments only explain.
func readSources(root string) (all []citing, err error) {
	pattern := regexp.MustCompile(citation)
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(root, path)
		switch {
		case err != nil:
			return err
		case d.IsDir() && (strings.HasPrefix(d.Name(), ".") && path != root || filepath.ToSlash(rel) == "internal/requirements"):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, ".go"):
			return nil
		}
		found, err := readFile(path, filepath.ToSlash(rel), pattern)
		all = append(all, found...)
		return err
	})
	return all, err
}

// readFile returns what the comments in a Go file cite. Its name in places is name.
func readFile(path, name string, pattern *regexp.Regexp) (all []citing, err error) {
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, path, nil, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	for _, group := range f.Comments {
		text, starts := joined(group)
		for _, m := range pattern.FindAllStringSubmatchIndex(text, -1) {
			i := 0
			for i+1 < len(starts) && starts[i+1] <= m[0] {
				i++
			}
			at := group.List[i].Pos()
			for _, n := range strings.Split(text[m[6]:m[7]], ", ") {
				number, _ := strconv.Atoi(n)
				all = append(all, citing{
					key{text[m[2]:m[3]], text[m[4]:m[5]], number},
					place{name, fset.Position(at).Line, declaration(f, group)},
				})
			}
		}
	}
	return all, nil
}

// joined returns the text of a comment in one line, because a citation may be wrapped, and where in
// it each line starts.
func joined(group *ast.CommentGroup) (text string, starts []int) {
	var b strings.Builder
	for _, c := range group.List {
		starts = append(starts, b.Len())
		b.WriteString(strings.TrimSpace(strings.TrimPrefix(c.Text, "//")) + " ")
	}
	return b.String(), starts
}

// declaration returns the name of the declaration that a comment is in, or that it documents.
func declaration(f *ast.File, group *ast.CommentGroup) string {
	for _, d := range f.Decls {
		if d.End() < group.Pos() {
			continue
		}
		switch d := d.(type) {
		case *ast.FuncDecl:
			return d.Name.Name
		case *ast.GenDecl:
			for _, s := range d.Specs {
				if t, ok := s.(*ast.TypeSpec); ok {
					return t.Name.Name
				}
			}
			return d.Tok.String()
		}
	}
	return f.Name.Name
}
