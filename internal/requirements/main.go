// Requirements prints how many requirements of RFCs have code that obeys them and a test that shows
// it. The lists rfcNNNN.txt and draft-NAME.txt beside this file have the requirements in words of
// our own. Comments in code and tests cite them by section and number: RFC 9221, Section 3 [1]. Run
// it anywhere in the module:
//
//	go run ./internal/requirements      # counts
//	go run ./internal/requirements -v   # each requirement, and where it is cited
//
// It fails if one is not cited and has no reason, or if a comment cites one that is not in a list.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	verbose := flag.Bool("v", false, "print each requirement")
	flag.Parse()
	root, err := moduleRoot()
	if err == nil {
		err = run(os.Stdout, root, *verbose)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// moduleRoot returns the directory of the go.mod above the working directory.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	for err == nil {
		if _, gone := os.Stat(filepath.Join(dir, "go.mod")); gone == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			err = errors.New("no go.mod above the working directory")
		}
		dir = filepath.Dir(dir)
	}
	return "", err
}

// run prints the coverage of the module at root. The error says what is missing.
func run(w io.Writer, root string, verbose bool) error {
	lists, err := readLists(filepath.Join(root, "internal", "requirements"))
	if err != nil {
		return err
	}
	cited, err := readSources(root)
	if err != nil {
		return err
	}
	faults := match(lists, cited)
	fmt.Fprint(w, table(lists))
	if verbose {
		printAll(w, lists)
	}
	return errors.Join(faults...)
}

// match gives each requirement the places that cite it, and returns what is wrong.
func match(lists []*list, cited []citing) (faults []error) {
	known := make(map[key]*requirement)
	for _, l := range lists {
		for _, r := range l.all {
			known[r.key] = r
		}
	}
	for _, c := range cited {
		switch r := known[c.key]; {
		case r == nil:
			faults = append(faults, fmt.Errorf("%v cites %v, which is in no list", c.place, c.key))
		case strings.HasSuffix(c.file, "_test.go"):
			r.shown = append(r.shown, c.place)
		default:
			r.obeyed = append(r.obeyed, c.place)
		}
	}
	for _, l := range lists {
		for _, r := range l.all {
			if what := r.missing(); what != "" {
				faults = append(faults, fmt.Errorf("%v: %s: %s %s", r.key, what, r.level, r.text))
			}
		}
	}
	return faults
}

// table returns the counts as a table of docs/requirements.md.
func table(lists []*list) string {
	var b strings.Builder
	b.WriteString("| RFC | requirements | obeyed and shown | with a reason | missing |\n|---|---|---|---|---|\n")
	for _, l := range lists {
		reasons, missing := 0, 0
		for _, r := range l.all {
			switch {
			case r.missing() != "":
				missing++
			case r.reason != "":
				reasons++
			}
		}
		fmt.Fprintf(&b, "| %s, %s | %d | %d | %d | %d |\n",
			l.doc, l.title, len(l.all), len(l.all)-reasons-missing, reasons, missing)
	}
	return b.String()
}

// printAll prints each requirement, and where it is cited.
func printAll(w io.Writer, lists []*list) {
	for _, l := range lists {
		for _, r := range l.all {
			fmt.Fprintf(w, "\n%v: %s %s\n", r.key, r.level, r.text)
			if r.reason != "" {
				fmt.Fprintf(w, "    no code: %s\n", r.reason)
			}
			for _, p := range r.obeyed {
				fmt.Fprintf(w, "    code: %v\n", p)
			}
			for _, p := range r.shown {
				fmt.Fprintf(w, "    test: %v\n", p)
			}
		}
	}
}
