package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/lazoquic/lazo/examples/internal/usage"
)

// sysctlName is the file that apply writes by default, below the root.
const sysctlName = "etc/sysctl.d/90-quic.conf"

const sysctlHead = "# Settings for QUIC, by examples/tune of Lazo. docs/tuning.md explains them.\n"

func runApply(ctx context.Context, args []string, stdin io.Reader, stdout io.Writer) error {
	var s source
	var flags flag.FlagSet
	s.register(&flags)
	dry := flags.Bool("n", false, "only show what would be done")
	sure := flags.Bool("yes", false, "do not ask")
	file := flags.String("file", "", "`FILE` to write; by default ROOT/"+sysctlName)
	if err := usage.Parse(&flags, args, stdout, "usage: tune apply [flags]"); err != nil {
		return err
	}
	if err := cmp.Or(usage.NoArguments(&flags), usage.NewFile("file", *file)); err != nil {
		return err
	}
	m, err := s.machine()
	if err != nil {
		return err
	}
	p := &plan{m: m, root: s.root, file: cmp.Or(*file, filepath.Join(s.root, sysctlName))}
	if err := p.make(); err != nil {
		return err
	}
	p.show(stdout)
	switch {
	case len(p.settings) == 0:
		return nil
	case *dry:
		fmt.Fprintln(stdout, "Nothing was done (-n).")
		return nil
	case !*sure && !agreed(ctx, stdin, stdout):
		fmt.Fprintln(stdout, "Nothing was done.")
		return nil
	}
	if err := p.do(); err != nil {
		return err
	}
	fmt.Fprintln(stdout, "Done. Programs ask for their buffers when they start.")
	return nil
}

// A plan is what apply is about to do.
type plan struct {
	m        *machine
	root     string
	file     string
	kept     []string  // lines of an earlier file that stay
	settings []setting // that change
	others   int       // findings whose change sysctl cannot make
}

// make collects what should change, and what an earlier file has.
func (p *plan) make() error {
	for _, f := range findings(p.m) {
		p.settings = append(p.settings, f.Settings...)
		if f.Verdict == change && f.Settings == nil {
			p.others++
		}
	}
	text, err := os.ReadFile(p.file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for line := range strings.Lines(string(text)) {
		key, _, _ := strings.Cut(line, "=")
		changes := slices.ContainsFunc(p.settings, func(s setting) bool { return s.Key == strings.TrimSpace(key) })
		if !changes && line != sysctlHead {
			p.kept = append(p.kept, strings.TrimSuffix(line, "\n"))
		}
	}
	return nil
}

// content returns the file to write.
func (p *plan) content() string {
	var b strings.Builder
	b.WriteString(sysctlHead)
	for _, line := range p.kept {
		b.WriteString(line + "\n")
	}
	for _, s := range p.settings {
		fmt.Fprintf(&b, "%s = %s\n", s.Key, s.Value)
	}
	return b.String()
}

// show prints what apply is about to do.
func (p *plan) show(w io.Writer) {
	if len(p.settings) == 0 {
		fmt.Fprintln(w, "There is nothing to change by sysctl.")
	} else {
		fmt.Fprintln(w, "Values to set now:")
		for _, s := range p.settings {
			was, _ := p.m.text(sysctlFile(s.Key))
			fmt.Fprintf(w, "  %s: %s -> %s\n", s.Key, strings.Join(strings.Fields(was), " "), s.Value)
		}
		fmt.Fprintf(w, "\nFile to write, for the next start of the machine: %s\n", p.file)
		for line := range strings.Lines(p.content()) {
			fmt.Fprint(w, "  ", line)
		}
		fmt.Fprintln(w)
	}
	if p.others > 0 {
		fmt.Fprintf(w, "Changes that need other commands: %d. See tune check.\n", p.others)
	}
}

// agreed asks, and reports whether the answer was yes. The end of the input counts as no, and so
// does Ctrl-C, which ends ctx.
func agreed(ctx context.Context, stdin io.Reader, stdout io.Writer) bool {
	fmt.Fprint(stdout, "Do it? [y/N] ")
	answer := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(stdin).ReadString('\n')
		answer <- line
	}()
	var line string
	select {
	case line = <-answer:
	case <-ctx.Done():
	}
	if !strings.HasSuffix(line, "\n") {
		fmt.Fprintln(stdout)
	}
	line = strings.ToLower(strings.TrimSpace(line))
	return line == "y" || line == "yes"
}

// do sets the values, and writes the file if the kernel has taken them all.
func (p *plan) do() error {
	var failed []error
	for _, s := range p.settings {
		name := filepath.Join(p.root, filepath.FromSlash(sysctlFile(s.Key)))
		if err := set(name, s.Value); err != nil {
			failed = append(failed, fmt.Errorf("%s is not set: %w", s.Key, err))
		}
	}
	if failed != nil {
		return errors.Join(append(failed, fmt.Errorf("%s is not written", p.file))...)
	}
	if err := os.MkdirAll(filepath.Dir(p.file), 0o755); err != nil {
		return err
	}
	temporary := p.file + ".new"
	if err := os.WriteFile(temporary, []byte(p.content()), 0o644); err != nil {
		return err
	}
	return os.Rename(temporary, p.file)
}

// set writes a value to a file of proc/sys that is there.
func set(name, value string) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value + "\n")
	return errors.Join(err, f.Close())
}
