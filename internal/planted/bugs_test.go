package main

import (
	"go/parser"
	"go/token"
	"testing"
)

// TestBugsFit: each bug can be planted, and the file then still is Go. Whether it is found is for
// the command, which takes minutes.
func TestBugsFit(t *testing.T) {
	all := bugs()
	if len(all) < 10 {
		t.Errorf("there are only %d", len(all))
	}
	for _, b := range all {
		src, err := b.plant("../..")
		if err != nil {
			t.Errorf("%s: %v", b.name, err)
			continue
		}
		if _, err := parser.ParseFile(token.NewFileSet(), b.file, src, 0); err != nil {
			t.Errorf("%s: %v", b.name, err)
		}
	}
}
