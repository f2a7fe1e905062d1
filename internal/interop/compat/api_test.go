package compat

import (
	"bufio"
	"bytes"
	"fmt"
	"go/importer"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/lazoquic/lazo/internal/require"
)

const (
	quicGo = "github.com/quic-go/quic-go"
	module = "../../../compat/quic-go" // from here
)

// packages are those of quic-go that programs import.
var packages = []string{"", "/quicvarint", "/qlogwriter", "/qlogwriter/jsontext", "/qlog", "/http3", "/http3/qlog", "/testutils/events"}

// TestAPI compares the exported API of quic-go with that of compat/quic-go. Each difference must
// stand in missing.md, and nothing else may stand there.
func TestAPI(t *testing.T) {
	theirs, ours := load(t, "..", packages), load(t, module, []string{"/..."})
	listed, differ := missing(t)
	require.GreaterOrEqual(t, len(differ), 10)
	for id := range differ {
		of, name := "", id
		if rest, ok := strings.CutPrefix(id, "http3."); ok {
			of, name = "/http3", rest
		}
		if _, ok := api(theirs[quicGo+of])[name]; !ok {
			t.Errorf("missing.md says how %s differs, but quic-go does not have it", id)
		}
	}
	var unlisted []string
	for _, p := range packages {
		name := "quic" + p
		if p != "" {
			name = strings.TrimPrefix(p, "/")
		}
		if ours[quicGo+p] == nil {
			if !listed.take("package " + name) {
				unlisted = append(unlisted, "package "+name)
			}
			continue
		}
		want, got := api(theirs[quicGo+p]), api(ours[quicGo+p])
		for id, decl := range want {
			if got[id] != decl && !listed.take(name+"."+id) && !absentType(want, got, id) {
				unlisted = append(unlisted, fmt.Sprintf("%s.%s\n\tquic-go: %s\n\there:    %s", name, id, decl, got[id]))
			}
		}
		for id, decl := range got {
			if _, ok := want[id]; !ok {
				t.Errorf("%s.%s is not in quic-go: %s", name, id, decl)
			}
		}
		require.GreaterOrEqual(t, len(want), 5)
		require.GreaterOrEqual(t, len(got), 3)
	}
	slices.Sort(unlisted)
	for _, u := range unlisted {
		t.Errorf("not in missing.md: %s", u)
	}
	for id := range listed {
		t.Errorf("missing.md lists %s as missing, but it is there", id)
	}
}

// absentType reports whether id is a field or method of a type that is not there. The row of the
// type stands for it.
func absentType(want, got map[string]string, id string) bool {
	of, _, ok := strings.Cut(id, ".")
	_, known := want[of]
	_, here := got[of]
	return ok && known && !here
}

// load returns the packages that match the patterns. Patterns are relative to the path of quic-go,
// and go list runs in dir.
func load(t *testing.T, dir string, patterns []string) map[string]*types.Package {
	t.Helper()
	c := exec.Command("go", "list", "-export", "-deps", "-f", "{{.ImportPath}}\t{{.Export}}\t{{.DepOnly}}")
	c.Dir = dir
	for _, p := range patterns {
		c.Args = append(c.Args, quicGo+p)
	}
	var stderr bytes.Buffer
	c.Stderr = &stderr
	out, err := c.Output()
	require.NoError(t, err, "%s", &stderr)
	exports := make(map[string]string)
	var wanted []string
	for line := range strings.Lines(string(out)) {
		f := strings.Split(strings.TrimSpace(line), "\t")
		exports[f[0]] = f[1]
		if f[2] == "false" && !strings.Contains(f[0], "/internal/") {
			wanted = append(wanted, f[0])
		}
	}
	imp := importer.ForCompiler(token.NewFileSet(), "gc", func(path string) (io.ReadCloser, error) {
		return os.Open(exports[path])
	})
	pkgs := make(map[string]*types.Package)
	for _, p := range wanted {
		pkg, err := imp.Import(p)
		require.NoError(t, err)
		pkgs[p] = pkg
	}
	return pkgs
}

// qualifier leaves out the paths of quic-go's packages, because the two modules may declare a type
// in different internal packages.
func qualifier(p *types.Package) string {
	if p.Path() == quicGo || strings.HasPrefix(p.Path(), quicGo+"/") {
		return ""
	}
	return p.Path()
}

// api returns what a package exports: a declaration for each name, field and method.
func api(p *types.Package) map[string]string {
	all := make(map[string]string)
	for _, name := range p.Scope().Names() {
		obj := p.Scope().Lookup(name)
		if !obj.Exported() {
			continue
		}
		switch obj := obj.(type) {
		case *types.Const:
			all[name] = fmt.Sprintf("const %s = %s", show(obj.Type()), obj.Val())
		case *types.TypeName:
			addType(all, name, obj.Type())
		default:
			all[name] = strings.SplitN(fmt.Sprintf("%T", obj), ".", 2)[1] + " " + show(obj.Type())
		}
	}
	return all
}

// unexported matches the names of types that no program can use.
var unexported = regexp.MustCompile(`^\*[a-z]\w*$|^[a-z]+[A-Z]\w*$`)

func show(t types.Type) string {
	if sig, ok := t.(*types.Signature); ok {
		t = types.NewSignatureType(nil, nil, nil, unnamed(sig.Params()), unnamed(sig.Results()), sig.Variadic())
	}
	s := types.TypeString(t, qualifier)
	if unexported.MatchString(s) {
		return "unexported"
	}
	return s
}

// unnamed returns parameters without their names, which no caller sees.
func unnamed(t *types.Tuple) *types.Tuple {
	var vs []*types.Var
	for v := range t.Variables() {
		vs = append(vs, types.NewParam(token.NoPos, nil, "", v.Type()))
	}
	return types.NewTuple(vs...)
}

// addType adds a type, its exported fields, and the methods of a pointer to it.
func addType(all map[string]string, name string, t types.Type) {
	t = types.Unalias(t)
	switch u := t.Underlying().(type) {
	case *types.Struct:
		all[name] = "struct"
		for f := range u.Fields() {
			if f.Exported() {
				all[name+"."+f.Name()] = "field " + show(f.Type())
			}
		}
	default:
		all[name] = "type " + show(u)
	}
	if types.IsInterface(t) {
		return
	}
	values := types.NewMethodSet(t)
	set := types.NewMethodSet(types.NewPointer(t))
	for m := range set.Methods() {
		if !m.Obj().Exported() {
			continue
		}
		of := "pointer method "
		if values.Lookup(m.Obj().Pkg(), m.Obj().Name()) != nil {
			of = "value method "
		}
		all[name+"."+m.Obj().Name()] = of + show(m.Obj().Type())
	}
}

// rows are the identifiers that missing.md lists.
type rows map[string]bool

// take removes a row, and reports whether it was there.
func (r rows) take(id string) bool {
	was := r[id]
	delete(r, id)
	return was
}

// missing reads missing.md. Identifiers stand in the first column of its tables, in backquotes.
// Those of the table "Not there" are absent here. Those of the other tables are here, but differ.
func missing(t *testing.T) (absent, differ rows) {
	t.Helper()
	f, err := os.Open(filepath.Join(module, "missing.md"))
	require.NoError(t, err)
	defer f.Close()
	absent, differ = make(rows), make(rows)
	quoted := regexp.MustCompile("`([^`]+)`")
	table := differ
	for s := bufio.NewScanner(f); s.Scan(); {
		if heading, ok := strings.CutPrefix(s.Text(), "## "); ok {
			table = differ
			if heading == "Not there" {
				table = absent
			}
		}
		column, why, ok := strings.Cut(strings.TrimPrefix(s.Text(), "| "), " | ")
		if !ok || !strings.HasPrefix(s.Text(), "| ") {
			continue
		}
		for _, m := range quoted.FindAllStringSubmatch(column, -1) {
			require.GreaterOrEqual(t, len(why), 10)
			table[m[1]] = true
		}
	}
	return absent, differ
}
