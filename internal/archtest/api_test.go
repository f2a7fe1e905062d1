package archtest

import (
	"fmt"
	"go/build"
	"go/importer"
	"go/token"
	"go/types"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	apiDir    = "../../api"
	apiUpdate = "LAZO_UPDATE" // writes the files instead
)

// TestAPI: the files in api/ list the public API of each package, one line for each name, as those
// of Go do. So whoever changes the API changes a file, too, and says that it is meant.
func TestAPI(t *testing.T) {
	want := make(map[string]string) // by file name
	for path, pkg := range publicPackages(t) {
		if file := filepath.FromSlash(path) + ".txt"; !isLater(file) {
			want[file] = strings.Join(listAPI(pkg, path), "\n") + "\n"
		}
	}
	if len(want) < 10 {
		t.Fatalf("there are only %d public packages", len(want))
	}
	if os.Getenv(apiUpdate) != "" {
		writeAPI(t, want)
		return
	}
	have := make(map[string]string)
	err := filepath.WalkDir(apiDir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, _ := filepath.Rel(apiDir, name)
		if isLater(rel) {
			return nil
		}
		b, err := os.ReadFile(name)
		have[rel] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, diff := range diffAPI(have, want) {
		t.Errorf("api/%s", diff)
	}
	if t.Failed() {
		t.Errorf("if that is meant: %s=1 go test -run TestAPI ./internal/archtest", apiUpdate)
	}
}

func writeAPI(t *testing.T, files map[string]string) {
	t.Helper()
	err := filepath.WalkDir(apiDir, func(name string, d fs.DirEntry, err error) error {
		if rel, _ := filepath.Rel(apiDir, name); err != nil || d.IsDir() || isLater(rel) {
			return err
		}
		return os.Remove(name)
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		name = filepath.Join(apiDir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// since has the packages that are empty before a version of Go, by the files of their API.
var since = map[string]string{"h3/h3http/nethttp.txt": "go1.27"}

// isLater reports whether the package of a file is empty in the Go that runs.
func isLater(file string) bool {
	tag := since[filepath.ToSlash(file)]
	return tag != "" && !slices.Contains(build.Default.ReleaseTags, tag)
}

// diffAPI returns the lines that are only in one of the two sets of files: -line for those that the
// code has no more, and +line for those that are new.
func diffAPI(have, want map[string]string) (diff []string) {
	lines := func(text string) []string { return strings.Split(strings.TrimSpace(text), "\n") }
	for name := range merged(have, want) {
		old, now := lines(have[name]), lines(want[name])
		for _, line := range old {
			if line != "" && !slices.Contains(now, line) {
				diff = append(diff, name+": -"+line)
			}
		}
		for _, line := range now {
			if line != "" && !slices.Contains(old, line) {
				diff = append(diff, name+": +"+line)
			}
		}
		if len(diff) == 0 && have[name] != want[name] {
			diff = append(diff, name+": the order of its lines")
		}
	}
	slices.Sort(diff)
	return diff
}

func merged(a, b map[string]string) map[string]bool {
	all := make(map[string]bool)
	for name := range a {
		all[name] = true
	}
	for name := range b {
		all[name] = true
	}
	return all
}

// publicPackages returns the packages of the module that others can import, by their paths in the
// module. They come from what the compiler exports.
func publicPackages(t *testing.T) map[string]*types.Package {
	t.Helper()
	list := exec.Command("go", "list", "-export", "-deps", "-f", "{{.ImportPath}}\t{{.Export}}\t{{.Name}}\t{{if .Module}}{{.Module.Main}}{{end}}", "./...")
	list.Dir, list.Stderr = "../..", os.Stderr
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	exports := make(map[string]string)
	var paths []string
	for line := range strings.Lines(string(out)) {
		f := strings.Split(strings.TrimSpace(line), "\t")
		exports[f[0]] = f[1]
		if len(f) == 4 && f[3] == "true" && f[1] != "" && f[2] != "main" && !strings.Contains(f[0]+"/", "/internal/") {
			paths = append(paths, f[0])
		}
	}
	imp := importer.ForCompiler(token.NewFileSet(), "gc", func(path string) (io.ReadCloser, error) {
		if exports[path] == "" {
			return nil, fmt.Errorf("the compiler exports nothing of %s", path)
		}
		return os.Open(exports[path])
	})
	all := make(map[string]*types.Package)
	for _, path := range paths {
		pkg, err := imp.Import(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, short, ok := strings.Cut(path, "/lazo/"); ok && len(pkg.Scope().Names()) > 0 {
			all[short] = pkg
		}
	}
	return all
}

// listAPI lists what a package exports, sorted.
func listAPI(pkg *types.Package, path string) (lines []string) {
	l := apiLister{pkg: pkg, prefix: "pkg " + path + ", "}
	for _, name := range pkg.Scope().Names() {
		if obj := pkg.Scope().Lookup(name); obj.Exported() {
			l.object(obj)
		}
	}
	slices.Sort(l.lines)
	return l.lines
}

// An apiLister writes the lines of a package.
type apiLister struct {
	pkg    *types.Package
	prefix string
	lines  []string
}

func (l *apiLister) add(format string, args ...any) {
	l.lines = append(l.lines, l.prefix+fmt.Sprintf(format, args...))
}

// name writes a type, without the name of the package if it is l's own.
func (l *apiLister) name(t types.Type) string {
	return types.TypeString(t, types.RelativeTo(l.pkg))
}

func (l *apiLister) object(obj types.Object) {
	switch obj := obj.(type) {
	case *types.Const:
		l.add("const %s %s = %s", obj.Name(), l.name(obj.Type()), obj.Val().ExactString())
	case *types.Var:
		l.add("var %s %s", obj.Name(), l.name(obj.Type()))
	case *types.Func:
		l.add("func %s%s", obj.Name(), l.signature(obj))
	case *types.TypeName:
		if obj.IsAlias() {
			l.add("type %s = %s", obj.Name(), l.name(types.Unalias(obj.Type())))
			return
		}
		l.named(obj.Type().(*types.Named))
	}
}

// named lists a type with its fields and methods, those of what it embeds included.
func (l *apiLister) named(t *types.Named) {
	name := t.Obj().Name()
	if n := t.TypeParams().Len(); n > 0 {
		name = l.name(t)
	}
	switch u := t.Underlying().(type) {
	case *types.Struct:
		l.add("type %s struct", name)
		for f := range u.Fields() {
			if f.Exported() {
				l.add("type %s struct, %s", name, l.field(f))
			}
		}
	case *types.Interface:
		l.add("type %s interface", name)
		open := true
		for m := range u.Methods() {
			if open = open && m.Exported(); m.Exported() {
				l.add("type %s interface, %s%s", name, m.Name(), l.signature(m))
			}
		}
		if !open {
			l.add("type %s interface, unexported methods", name)
		}
		return
	default:
		l.add("type %s %s", name, l.name(u))
	}
	value := types.NewMethodSet(t)
	for sel := range types.NewMethodSet(types.NewPointer(t)).Methods() {
		m := sel.Obj().(*types.Func)
		if !m.Exported() {
			continue
		}
		recv := "*" + name
		if value.Lookup(m.Pkg(), m.Name()) != nil {
			recv = name
		}
		l.add("method (%s) %s%s", recv, m.Name(), l.signature(m))
	}
}

func (l *apiLister) field(f *types.Var) string {
	if f.Embedded() {
		return "embedded " + l.name(f.Type())
	}
	return f.Name() + " " + l.name(f.Type())
}

// signature writes parameters and results, without the names that they have.
func (l *apiLister) signature(f *types.Func) string {
	s := f.Signature()
	if s.TypeParams().Len() > 0 || s.RecvTypeParams().Len() > 0 {
		return strings.TrimPrefix(l.name(s), "func")
	}
	s = types.NewSignatureType(nil, nil, nil, unnamed(s.Params()), unnamed(s.Results()), s.Variadic())
	return strings.TrimPrefix(l.name(s), "func")
}

func unnamed(vars *types.Tuple) *types.Tuple {
	var all []*types.Var
	for v := range vars.Variables() {
		all = append(all, types.NewParam(token.NoPos, nil, "", v.Type()))
	}
	return types.NewTuple(all...)
}
