package archtest

import (
	"go/ast"
	"os"
	"slices"
	"strings"
	"testing"
)

// metricsPage says what each counter is.
const metricsPage = "../../docs/metrics.md"

// counters are the types whose exported fields the page explains.
var counters = []string{"Stats", "EndpointStats", "ProxyStats"}

func TestMetricsPage(t *testing.T) {
	page, err := os.ReadFile(metricsPage)
	if err != nil {
		t.Fatal(err)
	}
	m, err := load(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, f := range m.files {
		if f.test || !matches(f.dir, public) {
			continue
		}
		for _, field := range counterFields(f.File) {
			n++
			if !strings.Contains(string(page), "`"+field+"`") {
				t.Errorf("%s: docs/metrics.md does not say what %s.%s counts", f.name, f.Name.Name, field)
			}
		}
	}
	if n < 80 {
		t.Errorf("%d fields were found: this test looks in the wrong place", n)
	}
}

// counterFields returns the names of the exported fields of the counters in a file.
func counterFields(f *ast.File) (names []string) {
	ast.Inspect(f, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok || !slices.Contains(counters, spec.Name.Name) {
			return true
		}
		st, ok := spec.Type.(*ast.StructType)
		if !ok {
			return true
		}
		for _, field := range st.Fields.List {
			for _, name := range field.Names {
				if name.IsExported() {
					names = append(names, name.Name)
				}
			}
		}
		return true
	})
	return names
}
