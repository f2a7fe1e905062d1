package archtest

import (
	"strings"
	"testing"
	"testing/fstest"
)

// A rulesCase is a small module and what a check must find in it: one string a violation, in the
// order of the files, each a part of the message. Where there is none the module is fine.
type rulesCase struct {
	name  string
	files map[string]string
	want  []string
}

// one is a module of one file.
func one(name, src string) map[string]string { return map[string]string{name: src} }

func runRules(t *testing.T, check func(*module), cases []rulesCase) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			root := fstest.MapFS{"go.mod": {Data: []byte("module example.com/m\n\ngo 1.26\n")}}
			for name, src := range c.files {
				root[name] = &fstest.MapFile{Data: []byte(src)}
			}
			m, err := load(root)
			if err != nil {
				t.Fatal(err)
			}
			check(m)
			ok := len(m.violations) == len(c.want)
			for i := 0; ok && i < len(c.want); i++ {
				ok = strings.Contains(m.violations[i], c.want[i])
			}
			if !ok {
				t.Fatalf("found\n\t%s\nwant\n\t%s", strings.Join(m.violations, "\n\t"), strings.Join(c.want, "\n\t"))
			}
		})
	}
}

func TestImportRules(t *testing.T) {
	imports := func(pkg string, paths ...string) string {
		return "package " + pkg + "\nimport (\n\"" + strings.Join(paths, "\"\n\"") + "\"\n)\n"
	}
	runRules(t, checkImports, []rulesCase{
		{"conn may use internal packages", one("conn/a.go", imports("conn", "fmt", "example.com/m/internal/wire", "golang.org/x/crypto/chacha20")), nil},
		{"conn must not use loop", one("conn/a.go", imports("conn", "example.com/m/loop")),
			[]string{"conn/a.go:3: conn must not import loop"}},
		{"conn must not use udpio or h3", one("conn/a.go", imports("conn", "example.com/m/udpio", "example.com/m/h3")),
			[]string{"conn must not import udpio", "conn must not import h3"}},
		{"nothing uses archtest", one("conn/a.go", imports("conn", "example.com/m/internal/archtest")),
			[]string{"conn must not import internal/archtest"}},
		{"conn must not use other modules", one("conn/a.go", imports("conn", "github.com/stretchr/testify/require")),
			[]string{"conn must not depend on github.com/stretchr/testify/require"}},
		{"tests may use anything", one("conn/a_test.go", imports("conn", "example.com/m/loop", "github.com/stretchr/testify/require")), nil},
		{"a pattern is a whole element", one("udpio/a.go", imports("udpio", "golang.org/x/system", "golang.org/x/sys/unix")),
			[]string{"udpio must not depend on golang.org/x/system"}},
		{"the root is a map only", one("doc.go", imports("m", "example.com/m/conn")), []string{". must not import conn"}},
		{"conntest", one("conn/conntest/a.go", imports("conntest", "testing", "example.com/m/conn", "example.com/m/internal/wire")),
			[]string{"conn/conntest must not import internal/wire"}},
		{"quiclb", one("conn/quiclb/a.go", imports("quiclb", "example.com/m/conn", "example.com/m/conn/conntest")),
			[]string{"conn/quiclb must not import conn/conntest"}},
		{"dgram", one("dgram/a.go", imports("dgram", "example.com/m/conn", "example.com/m/h3")), []string{"dgram must not import h3"}},
		{"h3", one("h3/a.go", imports("h3", "example.com/m/dgram", "example.com/m/internal/qpack", "example.com/m/loop")),
			[]string{"h3 must not import loop"}},
		{"h3http", one("h3/h3http/a.go", imports("h3http", "net/http", "example.com/m/loop", "example.com/m/internal/wire")),
			[]string{"h3/h3http must not import internal/wire"}},
		{"udpio", one("udpio/a.go", imports("udpio", "net", "example.com/m/conn")), []string{"udpio must not import conn"}},
		{"loop", one("loop/a.go", imports("loop", "sync", "example.com/m/conn", "example.com/m/udpio", "example.com/m/h3")),
			[]string{"loop must not import h3"}},
		{"looptest", one("loop/looptest/a.go", imports("looptest", "example.com/m/conn/conntest", "example.com/m/loop", "example.com/m/h3")),
			[]string{"loop/looptest must not import h3"}},
		{"examples use the public packages", one("examples/echo/main.go", imports("main", "example.com/m/h3/h3http", "example.org/bar", "example.com/m/internal/wire")),
			[]string{"examples/echo must not depend on example.org/bar", "examples/echo must not import internal/wire"}},
		{"a package without a rule", one("extra/a.go", "package extra"), []string{"no import rule for package extra"}},
		{"dot import", one("conn/a.go", "package conn\nimport . \"time\""), []string{"dot import of time"}},
		{"internal packages use leaves", map[string]string{
			"internal/stream/a.go":   imports("stream", "example.com/m/internal/rangeset"),
			"internal/rangeset/a.go": "package rangeset",
		}, nil},
		{"internal packages use only leaves", map[string]string{
			"internal/a/a.go": imports("a", "example.com/m/internal/b"),
			"internal/b/b.go": imports("b", "example.com/m/internal/c"),
			"internal/c/c.go": "package c",
		}, []string{"internal/a must not import internal/b, which imports packages of the module itself"}},
		{"internal packages use no other", one("internal/wire/a.go", imports("wire", "example.com/m/conn")),
			[]string{"internal/wire must not import conn"}},
	})
}

func TestRequirementRules(t *testing.T) {
	gomod := func(lines string) map[string]string {
		return one("go.mod", "module example.com/m // ours\n\ngo 1.26\n"+lines)
	}
	const foreign = `package conn
import "example.org/quic"
`
	runRules(t, checkRequirements, []rulesCase{
		{"none", gomod(""), nil},
		{"one", gomod("require golang.org/x/sys v0.1.0"), nil},
		{"one too many", gomod("require example.org/quic v0.1.0 // indirect"), []string{"go.mod must not require example.org/quic"}},
		{"in a block", gomod("require (\n// net\n\ngolang.org/x/net v0.1.0\nexample.org/quic v0.1.0\n)\nrequire (\n example.org/bar v0.1.0 // indirect\n)\n"),
			[]string{"go.mod must not require example.org/bar", "go.mod must not require example.org/quic"}},
		{"other blocks", gomod("exclude (\nexample.org/quic v0.1.0\n)\nreplace example.org/quic => ../quic\n"), nil},
		{"tests", map[string]string{"conn/a_test.go": foreign, "conn/b_test.go": "package conn\nimport \"golang.org/x/net/ipv4\""},
			[]string{"conn/a_test.go:2: a test must not depend on example.org/quic"}},
		{"packages have rules of their own", one("conn/a.go", foreign), nil},
		{"tests of a module of ours inside", map[string]string{
			"conn/go.mod":      "module example.com/m/conn\nrequire example.org/quic v0.1.0",
			"conn/a_test.go":   foreign,
			"conn/b/a_test.go": foreign,
		}, nil},
	})
}

func TestPurityRules(t *testing.T) {
	body := func(imports, stmt string) map[string]string {
		return one("conn/a.go", "package conn\n"+imports+"\nfunc f() {\n"+stmt+"\n}\n")
	}
	cases := []rulesCase{
		{"go statement", body("", "go f()"), []string{"conn/a.go:4: conn is pure and must not start a goroutine"}},
		{"go statement in a closure", body("", "_ = func() { go f() }"), []string{"must not start a goroutine"}},
		{"go statement in h3http", one("h3/h3http/a.go", "package h3http\nfunc f() { go f() }"), nil},
		{"go statement in a test", one("conn/a_test.go", "package conn\nfunc f() { go f() }"), nil},
		{"time as a value", body(`import "time"`, "var t time.Time; _ = t.After(t); _ = time.Second"), nil},
		{"renamed import", body(`import clock "time"`, "clock.Sleep(1)"), []string{"must not use time.Sleep"}},
		{"clock as a value", body(`import "time"`, "now := time.Now; _ = now"), []string{"must not use time.Now"}},
		{"another Now", body("", "var time clock; _ = time.Now()"), nil},
		{"addresses", body(`import "net/netip"`, ""), nil},
		{"what pure packages import is pure", map[string]string{
			"conn/a.go":           "package conn\nimport \"example.com/m/internal/fresh\"",
			"internal/fresh/a.go": "package fresh\nimport \"sync\"\nfunc f() { go f() }",
		}, []string{"internal/fresh is pure and must not import sync", "internal/fresh is pure and must not start"}},
		{"what loop alone imports is not", map[string]string{
			"loop/a.go":           "package loop\nimport \"example.com/m/internal/fresh\"",
			"internal/fresh/a.go": "package fresh\nimport \"sync\"",
		}, nil},
		{"init", one("udpio/a.go", "package udpio\nfunc init() {}\ntype T int\nfunc (T) init() {}"), []string{"a.go:2: func init"}},
	}
	for _, name := range clockNames {
		cases = append(cases, rulesCase{"time." + name, body(`import "time"`, "_ = time."+name), []string{"must not use time." + name}})
	}
	for _, p := range []string{"net", "net/http", "os", "os/exec", "syscall", "sync", "sync/atomic", "crypto/rand", "math/rand",
		"math/rand/v2", "runtime", "runtime/debug", "unsafe", "C"} {
		cases = append(cases, rulesCase{p, body(`import "`+p+`"`, ""), []string{"conn is pure and must not import " + p}})
	}
	for _, dir := range []string{"conn/quiclb", "h3", "dgram", "internal/wire", "internal/keys", "internal/stream"} {
		cases = append(cases, rulesCase{dir, one(dir+"/a.go", "package p\nfunc f() { go f() }"), []string{dir + " is pure"}})
	}
	runRules(t, checkPurity, cases)
}

func TestGlobalRules(t *testing.T) {
	src := func(s string) map[string]string { return one("conn/a.go", "package conn\n"+s) }
	const variable = "must not have the global variable x"
	const write = "must not write to the global variable x"
	runRules(t, checkPurity, []rulesCase{
		{"errors", src(`var ErrA = errors.New("a"); var (errB = &E{}; errC = E{1})`), nil},
		{"assertion", src("var _ I = (*T)(nil)"), nil},
		{"constants", src("const x = 1"), nil},
		{"local variables", src("func f() { var x int; x++ }"), nil},
		{"number", src("var x int"), []string{variable}},
		{"number with a value", src("var x = 1"), []string{variable}},
		{"second of a group", src("var (\nErrA = E{}\nx, y int\n)"), []string{"a.go:4: conn is pure and " + variable, "variable y"}},
		{"not an error by name", src("var errors = E{}"), []string{"variable errors"}},
		{"not an error by value", src("var errCount = 0\nvar errN int"), []string{"variable errCount", "variable errN"}},
		{"struct", src("var x = T{}"), []string{variable}},
		{"computed", src("var x = build()"), []string{variable}},
		{"tables", src(`var x = [...]uint8{1, 2}; var y = []T{{1, "a"}}; var z = map[string]int{"a": 1}; var w [3]byte; var v = []byte("a")`), nil},
		{"empty map", src("var x map[int]int"), []string{variable}},
		{"slice without value", src("var x []int"), []string{variable}},
		{"table of calls", src("var x = []int{f()}"), []string{variable}},
		{"table of pointers", src("var x = []*T{&t}"), []string{variable}},
		{"table of closures", src("var x = []func(){func() {}}"), []string{variable}},
		{"converted call", src("var x = []byte(f())"), []string{variable}},
		{"reading a table", src("var x = [2]int{1, 2}\nfunc f(i int) (int, []int) { return x[i], x[:] }"), nil},
		{"assigning to a table", src("var x = [2]int{1, 2}\nfunc f() { x[0] = 3 }"), []string{"a.go:3: conn is pure and " + write}},
		{"counting in a table", src("var x = [2]T{}\nfunc f() { (x[0].n)++ }"), []string{write}},
		{"address of an entry", src("var x = [2]int{1, 2}\nfunc f() *int { return &x[1] }"), []string{write}},
		{"ranging over a table", src("var x = [2]int{1, 2}\nfunc f() { for range x {} }"), nil},
		{"ranging into a table", src("var x = [2]int{1, 2}\nfunc f() { for x[0] = range 3 {} }"), []string{write}},
		{"appending to a table in another file", map[string]string{
			"conn/a.go": "package conn\nvar x = []int{1}",
			"conn/b.go": "package conn\nfunc f() { x = append(x, 2) }",
		}, []string{"conn/b.go:2: conn is pure and " + write}},
		{"a table of another package", map[string]string{
			"conn/a.go":  "package conn\nvar x = []int{1}",
			"dgram/b.go": "package dgram\nfunc f(x []int) { x[0] = 1 }",
		}, nil},
		{"replacing an error", src("var ErrA = E{}\nfunc f() { ErrA = nil }"), []string{"must not write to the global variable ErrA"}},
		{"impure packages", one("loop/a.go", "package loop\nvar x int"), nil},
	})
}

func TestShapeRules(t *testing.T) {
	lines := func(n int) string { return strings.Repeat("\n", n) }
	runRules(t, checkShape, []rulesCase{
		{"file of 600 lines", one("conn/a.go", "package conn"+lines(600)), nil},
		{"file of 601 lines", one("conn/a.go", "package conn"+lines(601)), []string{"conn/a.go:1: the file has 601 lines"}},
		{"test of 1000 lines", one("conn/a_test.go", "package conn"+lines(1000)), nil},
		{"test of 1001 lines", one("conn/a_test.go", "package conn"+lines(1001)), []string{"the file has 1001 lines"}},
		{"function of 100 lines", one("conn/a.go", "package conn\nfunc f() {"+lines(99)+"}"), nil},
		{"function of 101 lines", one("conn/a.go", "package conn\nfunc f() {"+lines(100)+"}"), []string{"a.go:2: f has 101 lines"}},
		{"method of 101 lines", one("conn/a.go", "package conn\n// F does.\nfunc (t T) F() {"+lines(100)+"}"), []string{"a.go:3: F has 101 lines"}},
		{"function of a test", one("conn/a_test.go", "package conn\nfunc f() {"+lines(200)+"}"), nil},
		{"vague file", one("conn/util.go", "package conn"), []string{"the name of the file"}},
		{"vague part", one("conn/stream_helpers.go", "package conn"), []string{"the name of the file"}},
		{"vague end", one("conn/connmanager.go", "package conn"), []string{"the name of the file"}},
		{"vague test", one("conn/common_test.go", "package conn"), []string{"the name of the file"}},
		{"vague package", one("internal/testutil/a.go", "package testutil"), []string{"the name of the package"}},
		{"vague package clause", one("internal/b/a.go", "package common"), []string{"the name of the package"}},
		{"vague package once", map[string]string{"internal/util/a.go": "package util", "internal/util/b.go": "package util"}, []string{"the name of the package"}},
		{"plain names", one("conn/utilization.go", "package conn"), nil},
		{"marks", one("conn/a.go", "package conn\n// TODO: more\nvar a int // FIXME\n/* some\nXXX */"), []string{"a.go:2: TODO", "a.go:3: FIXME", "a.go:4: XXX"}},
		{"other words", one("conn/a.go", "package conn\n// todo TODOS XXXX\nconst s = \"TODO\""), nil},
		{"mark in a test", one("conn/a_test.go", "package conn\n// TODO: more"), nil},
		{"stub", one("conn/a.go", "package conn\nfunc f() { panic(\"sketch\") }"), []string{"a.go:2: a stub is left"}},
		{"other panics", one("conn/a.go", "package conn\nfunc f() { panic(\"a sketch\"); panic(g()); t.panic(\"sketch\") }"), nil},
	})
}

func TestCommentRules(t *testing.T) {
	src := func(s string) map[string]string { return one("conn/a.go", "package conn\n"+s) }
	runRules(t, checkComments, []rulesCase{
		{"function", src("func F() {}"), []string{"conn/a.go:2: F has no comment"}},
		{"function with a comment", src("// F does.\nfunc F() {}"), nil},
		{"function with a wrong comment", src("// Does F.\nfunc F() {}"), []string{"the comment of F does not start with its name"}},
		{"longer name", src("// For does.\nfunc F() {}"), []string{"does not start with its name"}},
		{"detached comment", src("// F does.\n\nfunc F() {}"), []string{"F has no comment"}},
		{"unexported", src("func f() {}\ntype t int\nvar v, w int\nfunc (t) F() {}\nfunc (T) f() {}"), nil},
		{"method", src("func (t *T) F() {}"), []string{"F has no comment"}},
		{"method of a generic type", src("func (t *T[A]) F() {}\nfunc (t T[A, B]) G() {}"), []string{"F has no comment", "G has no comment"}},
		{"type", src("type T int"), []string{"T has no comment"}},
		{"type with an article", src("// A T is.\ntype T int\n// An A is.\ntype A int\n// The B is.\ntype B int"), nil},
		{"type with a wrong comment", src("// Some T is.\ntype T int"), []string{"the comment of T"}},
		{"types in a group", src("// T and U are.\ntype (\nT int\nU int\n)"), nil},
		{"type unknown to its group", src("// T is.\ntype (\nT int\n// U is.\nU int\nV int\n)"), []string{"the comment of V"}},
		{"constant", src("const C = 1"), []string{"C has no comment"}},
		{"constants in a group", src("// Some are.\nconst (\nA = 1\nB = 2\n)"), nil},
		{"constants in a bare group", src("const (\nA = 1 // one\n// B is two.\nB = 2\nC, d = 3, 4\n)"), []string{"a.go:6: C has no comment"}},
		{"variable", src("var ErrA = errors.New(\"a\")"), []string{"ErrA has no comment"}},
		{"internal packages", one("internal/wire/a.go", "package wire\nfunc F() {}"), nil},
		{"examples", one("examples/echo/a.go", "package echo\nfunc F() {}"), nil},
		{"programs", one("conn/quiclb/a.go", "package main\nfunc F() {}"), nil},
		{"tests", one("conn/a_test.go", "package conn\nfunc F() {}"), nil},
	})
}

func TestPackageCommentRules(t *testing.T) {
	runRules(t, checkPackageComments, []rulesCase{
		{"none", map[string]string{"conn/a.go": "package conn", "conn/b.go": "package conn"}, []string{"conn/a.go:1: package conn has no comment"}},
		{"one of two", map[string]string{"conn/a.go": "package conn", "conn/b.go": "// Package conn is.\npackage conn"}, nil},
		{"wrong name", one("conn/a.go", "// Package con is.\npackage conn"), []string{"package conn has no comment"}},
		{"detached", one("conn/a.go", "// Package conn is.\n\npackage conn"), []string{"package conn has no comment"}},
		{"in a test", map[string]string{"conn/a.go": "package conn", "conn/a_test.go": "// Package conn is.\npackage conn"}, []string{"package conn"}},
		{"program", one("examples/a/main.go", "// Echo echoes.\npackage main"), nil},
		{"bare program", one("examples/a/main.go", "package main"), []string{"package main has no comment"}},
		{"tests alone", one("internal/a/a_test.go", "package a"), nil},
	})
}

// TestLoad leaves out files that do not belong to the module, and fails on files that it cannot
// read.
func TestLoad(t *testing.T) {
	runRules(t, checkShape, []rulesCase{{"foreign files", map[string]string{
		"testdata/util.go":      "package util",
		"conn/testdata/util.go": "package util",
		"vendor/x/util.go":      "package util",
		".cache/util.go":        "package util",
		"_old/util.go":          "package util",
		"bench/go.mod":          "module example.com/bench",
		"bench/util.go":         "package util",
		"bench/x/util.go":       "package util",
		"conn/util.txt":         "package util",
	}, nil}, {"a module of ours", map[string]string{
		"bench/go.mod":      "module example.com/m/bench",
		"bench/x/util.go":   "package util",
		"bench/y/go.mod":    "module example.com/y",
		"bench/y/helper.go": "package util",
	}, []string{"bench/x/util.go:1: the name of the file", "bench/x/util.go:1: the name of the package"}}})
	if _, err := load(fstest.MapFS{}); err == nil {
		t.Error("a module without go.mod is fine")
	}
	if _, err := load(fstest.MapFS{"go.mod": {}, "a.go": {Data: []byte("package")}}); err == nil {
		t.Error("a file that does not parse is fine")
	}
}
