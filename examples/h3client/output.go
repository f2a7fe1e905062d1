package main

import (
	"cmp"
	"flag"
	"net/url"
	"os"
	"path"
	"path/filepath"

	"github.com/lazoquic/lazo/examples/internal/usage"
)

// stdoutName stands for standard output in -o.
const stdoutName = "-"

// outputFlags are the flags that say where bodies go.
type outputFlags struct {
	files       []string // of -o
	remoteNames bool     // -O
	dir         string
}

func (f *outputFlags) register(fs *flag.FlagSet) {
	fs.Func("o", "write the body to a `file`, - for standard output; with several URLs, once for each", func(s string) error {
		f.files = append(f.files, s)
		return nil
	})
	fs.BoolVar(&f.remoteNames, "O", false, "write each body to a file with the last name in the path of its URL")
	fs.StringVar(&f.dir, "output-dir", "", "the `directory` for the files of -O; default the current one")
}

// forURLs returns where the body of each URL goes: a file that can be made, or stdoutName.
func (f *outputFlags) forURLs(urls []string) (outputs []string, err error) {
	switch {
	case f.remoteNames && len(f.files) > 0:
		return nil, usage.Errorf("-o and -O do not go together")
	case f.dir != "" && !f.remoteNames:
		return nil, usage.Errorf("-output-dir needs -O")
	case len(f.files) > 0 && len(f.files) != len(urls):
		return nil, usage.Errorf("there are %d -o and %d URLs: use one -o for each URL, or -O", len(f.files), len(urls))
	}
	if err := usage.Directory("output-dir", f.dir); err != nil {
		return nil, err
	}
	taken := make(map[string]bool)
	for i, u := range urls {
		name, option := stdoutName, "o"
		if f.remoteNames {
			option = "O"
			if name, err = remoteName(u); err != nil {
				return nil, err
			}
			name = filepath.Join(f.dir, name)
		} else if len(f.files) > 0 {
			name = f.files[i]
		}
		if name != stdoutName {
			if err := cmp.Or(usage.Some(option, name), usage.NewFile(option, name), claim(taken, option, name)); err != nil {
				return nil, err
			}
		}
		outputs = append(outputs, name)
	}
	return outputs, nil
}

// remoteName returns the last name in the path of a URL.
func remoteName(s string) (string, error) {
	u, err := url.Parse(s)
	if err != nil {
		return "", err
	}
	// The escaped form has no separator of any system in it.
	dir, name := path.Split(u.EscapedPath())
	if name == "" || name == "." || name == ".." {
		return "", usage.Errorf("-O: there is no file name in %q", cmp.Or(dir, "/")+name)
	}
	return name, nil
}

// claim notes that a body goes to a file. Bodies must not go to the same one, unless that is a
// device.
func claim(taken map[string]bool, option, name string) error {
	if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() {
		return nil
	}
	name = filepath.Clean(name)
	if taken[name] {
		return usage.Errorf("-%s: two bodies would go to %s", option, name)
	}
	taken[name] = true
	return nil
}

// toStdout returns how many bodies go to standard output.
func (o *options) toStdout() (n int) {
	for _, name := range o.outputs {
		if name == stdoutName {
			n++
		}
	}
	return n
}

// checkMixing refuses command lines with which bodies would mix.
func (o *options) checkMixing() error {
	if o.parallel > 1 && o.toStdout() > 1 {
		return usage.Errorf("-parallel %d: bodies would mix on standard output: use one -o for each URL, or -O", o.parallel)
	}
	return nil
}
