// Package yamlfile reads the configuration files of examples. Unknown keys are mistakes, and each
// mistake is told with its line.
package yamlfile

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// A File knows where each key of a file is.
type File struct {
	Name string
	file *ast.File
}

// Read reads a file into a struct. The error of a mistake in it is an *Error.
func Read(name string, into any) (*File, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	return Parse(name, text, into)
}

// Parse is Read of a file that was read.
func Parse(name string, text []byte, into any) (*File, error) {
	if err := yaml.UnmarshalWithOptions(text, into, yaml.Strict()); err != nil {
		return nil, syntaxError(name, err)
	}
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		return nil, syntaxError(name, err)
	}
	return &File{name, file}, nil
}

// An Error is one mistake in a file.
type Error struct {
	File string
	Line int
	Text string
}

func (e *Error) Error() string { return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Text) }

// syntaxError tells in one line what the YAML library tells in several.
func syntaxError(name string, err error) error {
	var e yaml.Error
	if !errors.As(err, &e) || e.GetToken() == nil {
		return &Error{name, 1, err.Error()}
	}
	t := e.GetToken()
	return &Error{name, t.Position.Line, fmt.Sprintf("%q: %s", t.Value, e.GetMessage())}
}

// Errorf returns the error of a key, such as pools.web.balance or routes[2].path.
func (f *File) Errorf(key, format string, args ...any) error {
	return &Error{f.Name, f.line(key), key + ": " + fmt.Sprintf(format, args...)}
}

// line returns where a key is, or what it should be in.
func (f *File) line(key string) int {
	for ; key != ""; key = parent(key) {
		path, err := yaml.PathString("$." + key)
		if err != nil {
			continue
		}
		if node, err := path.FilterFile(f.file); err == nil && node != nil {
			return node.GetToken().Position.Line
		}
	}
	return 1
}

// parent cuts the last part of a key off.
func parent(key string) string {
	for i := len(key) - 1; i > 0; i-- {
		if key[i] == '.' || key[i] == '[' {
			return key[:i]
		}
	}
	return ""
}

// A Span is a length of time, such as 1m30s.
type Span time.Duration

func (s Span) String() string { return time.Duration(s).String() }

// UnmarshalYAML reads the text of a Span. An error tells the line, unlike that of a time.Duration.
func (s *Span) UnmarshalYAML(node ast.Node) error {
	text, ok := node.(*ast.StringNode)
	if ok {
		d, err := time.ParseDuration(text.Value)
		*s, ok = Span(d), err == nil
	}
	if !ok {
		return &yaml.SyntaxError{Message: "want a time such as 1m30s", Token: node.GetToken()}
	}
	return nil
}
