package archtest

import (
	"go/ast"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

// Where the lines of comments end, in columns. A tab counts as tabColumns.
const (
	maxCommentColumn = 100
	tabColumns       = 4
)

// output matches the start of what an Example prints, which is as long as it is.
var output = regexp.MustCompile(`(?i)^//\s*(unordered )?output:`)

// checkCommentLines wants comments to end at maxCommentColumn, those behind code too. Directives,
// code blocks, Output and a single long word, such as a URL, may be longer.
func checkCommentLines(m *module) {
	for _, f := range m.files {
		lines := strings.Split(f.src, "\n")
		for _, group := range f.Comments {
			m.checkCommentGroup(lines, group)
		}
	}
}

func (m *module) checkCommentGroup(lines []string, group *ast.CommentGroup) {
	for _, c := range group.List {
		if output.MatchString(c.Text) {
			return // the rest of the group is output, too
		}
		if !wraps(c.Text) {
			continue
		}
		first := m.fset.Position(c.Pos()).Line
		for i := first; i <= m.fset.Position(c.End()).Line; i++ {
			if n := columns(lines[i-1]); n > maxCommentColumn {
				m.errorf(m.fset.File(c.Pos()).LineStart(i),
					"the comment ends at column %d, after %d: wrap it, or put it above the code", n, maxCommentColumn)
			}
		}
	}
}

// wraps reports whether the comment has words that can go to another line.
func wraps(text string) bool {
	rest, ok := strings.CutPrefix(text, "//")
	switch {
	case !ok: // a /* comment */
		return true
	case rest == "" || rest[0] != ' ': // a directive, or a code block, which a tab begins
		return false
	}
	return len(strings.Fields(rest)) > 1
}

func columns(line string) int {
	return utf8.RuneCountInString(line) + (tabColumns-1)*strings.Count(line, "\t")
}

func TestCommentLineRules(t *testing.T) {
	words := func(columns int) string { return strings.Repeat("a", columns-len("// ")-len(" b")) + " b" }
	src := func(s string) map[string]string { return one("conn/a.go", "package conn\n\n"+s+"\n") }
	const wrong = "conn/a.go:3: the comment ends at column 101"
	runRules(t, checkCommentLines, []rulesCase{
		{"short", src("// " + words(100)), nil},
		{"long", src("// " + words(101)), []string{wrong}},
		{"letters, not bytes", src("// " + strings.Repeat("\u00e9", 95) + " b"), nil},
		{"in a test", one("conn/a_test.go", "package conn\n// "+words(101)), []string{"conn/a_test.go:2: the comment"}},
		{"a tab", src("func f() {\n\t// " + words(97) + "\n}"), []string{"conn/a.go:4: the comment ends at column 101"}},
		{"behind code", src("var ErrA = E{} // " + words(101-15)), []string{wrong}},
		{"code alone", src("var x = [...]string{\"" + strings.Repeat("a", 100) + "\"}"), nil},
		{"a URL", src("// https://" + strings.Repeat("a", 100)), nil},
		{"a directive", src("//go:generate " + words(101)), nil},
		{"a code block", src("// A:\n//\n//\t" + words(101)), nil},
		{"a table in a doc comment of spaces", src("//   " + words(99)), []string{wrong}},
		{"output", src("func f() {\n// Output:\n// " + words(101) + "\n}"), nil},
		{"a comment of several lines", src("/*\n" + words(104) + "\n*/"), []string{"conn/a.go:4: the comment ends at column 101"}},
	})
}
