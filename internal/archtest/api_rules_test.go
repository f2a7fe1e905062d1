package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"slices"
	"strings"
	"testing"
)

// TestListAPI: what the list of a small package has.
func TestListAPI(t *testing.T) {
	const src = `package p
const A, b = 1, 2
var V map[string]int
func F(n int, s ...string) (err error) { return nil }
func f() {}
type T struct { N int; n int; E }
type E struct{}
func (E) M() {}
func (*T) P(x T) {}
func (*T) p() {}
type I interface { M(); m() }
type G[X any] []X
func (G[X]) At(i int) (x X) { return }
type S = T
`
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, "p.go", src, 0)
	if err != nil {
		t.Fatal(err)
	}
	pkg, err := new(types.Config).Check("p", fset, []*ast.File{file}, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Split(strings.TrimSpace(`
const A untyped int = 1
func F(int, ...string) error
method (*T) P(T)
method (E) M()
method (G[X any]) At(i int) (x X)
method (T) M()
type E struct
type G[X any] []X
type I interface
type I interface, M()
type I interface, unexported methods
type S = T
type T struct
type T struct, N int
type T struct, embedded E
var V map[string]int`), "\n")
	for i := range want {
		want[i] = "pkg p, " + want[i]
	}
	if got := listAPI(pkg, "p"); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestDiffAPI: each line that goes or comes is told, and each file.
func TestDiffAPI(t *testing.T) {
	have := map[string]string{"a.txt": "x\ny\n", "b.txt": "z\n"}
	want := map[string]string{"a.txt": "y\nw\n", "c.txt": "v\n"}
	expected := []string{"a.txt: +w", "a.txt: -x", "b.txt: -z", "c.txt: +v"}
	if got := diffAPI(have, want); !slices.Equal(got, expected) {
		t.Errorf("got %q, want %q", got, expected)
	}
	if got := diffAPI(have, have); len(got) > 0 {
		t.Errorf("no change, but %q", got)
	}
	if got := diffAPI(have, map[string]string{"a.txt": "y\nx\n", "b.txt": "z\n"}); len(got) != 1 {
		t.Errorf("another order, but %q", got)
	}
}
