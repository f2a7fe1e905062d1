package conn_test

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"path/filepath"
	"strings"
	"testing"
)

// Only ledgerFiles may write ledgerTypes.
var (
	ledgerTypes = []string{"ledger", "flight", "deliveryRate", "sentPackets", "sentPacket", "lostPackets", "lostPacket", "ring"}
	ledgerFiles = []string{"ledger.go", "lost_packets.go", "delivery_rate.go", "ring.go"}
)

type noImports struct{}

func (noImports) Import(string) (*types.Package, error) { return nil, errors.New("not needed") }

// TestLedgerIsWrittenByItself: only the files of the ledger write its fields. Values that
// controllers keep with a packet belong to the controllers.
func TestLedgerIsWrittenByItself(t *testing.T) {
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	fset := token.NewFileSet()
	var files []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	info := &types.Info{Selections: make(map[*ast.SelectorExpr]*types.Selection)}
	cfg := types.Config{Importer: noImports{}, Error: func(error) {}}
	// the errors are about declarations in other packages
	pkg, _ := cfg.Check("conn", fset, files, info)
	owned := make(map[types.Object]bool)
	for _, name := range ledgerTypes {
		fields := pkg.Scope().Lookup(name).Type().Underlying().(*types.Struct)
		for f := range fields.Fields() {
			owned[f] = name != "sentPacket" || f.Name() != "state"
		}
	}
	written := 0
	for _, f := range files {
		own := false
		for _, name := range ledgerFiles {
			own = own || fset.Position(f.Pos()).Filename == name
		}
		for _, x := range writes(f) {
			sel := info.Selections[x]
			if sel == nil || !owned[sel.Obj()] {
				continue
			}
			written++
			if !own {
				t.Errorf("%v: %s is written", fset.Position(x.Pos()), sel.Obj().Name())
			}
		}
	}
	if written < 30 {
		t.Errorf("%d writes were found, which cannot be all", written)
	}
}

// writes returns the fields that a file writes.
func writes(f *ast.File) (found []*ast.SelectorExpr) {
	add := func(e ast.Expr) {
		for {
			switch x := e.(type) {
			case *ast.IndexExpr:
				e = x.X
			case *ast.SelectorExpr:
				found = append(found, x)
				return
			default:
				return
			}
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch x := n.(type) {
		case *ast.AssignStmt:
			for _, e := range x.Lhs {
				add(e)
			}
		case *ast.IncDecStmt:
			add(x.X)
		}
		return true
	})
	return found
}
