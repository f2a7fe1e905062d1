// Command planted measures what the simulations of packages conn and h3 find: it plants bugs, one
// at a time, in a copy of the source that only the compiler sees (go build -overlay), and prints
// after how many runs TestStories fails, and how small the story becomes.
//
//	go run ./internal/planted          all bugs
//	go run ./internal/planted FIN      those with FIN in their name
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// maxRuns is after how many runs a bug counts as not found.
const maxRuns = 30_000

func main() {
	word := strings.Join(os.Args[1:], " ")
	fmt.Println("| bug | runs until it is found | values in the smallest story | what is noticed |\n| --- | --- | --- | --- |")
	missed := 0
	for _, b := range bugs() {
		if !strings.Contains(b.name, word) {
			continue
		}
		found, err := b.find()
		if err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", b.name, err)
			os.Exit(1)
		}
		if found.runs == "" {
			found.runs, missed = fmt.Sprintf("more than %d", maxRuns), missed+1
		}
		fmt.Printf("| %s | %s | %s | %s |\n", b.name, found.runs, found.size, found.flaw)
	}
	if missed > 0 {
		os.Exit(1)
	}
}

// plant returns the source of the file with the bug.
func (b *bug) plant(root string) ([]byte, error) {
	src, err := os.ReadFile(filepath.Join(root, b.file))
	if err != nil {
		return nil, err
	}
	if n := bytes.Count(src, []byte(b.old)); n != 1 {
		return nil, fmt.Errorf("%s has %q %d times, not once", b.file, b.old, n)
	}
	return bytes.Replace(src, []byte(b.old), []byte(b.new), 1), nil
}

// suite returns the directory of the stories that should find the bug.
func (b *bug) suite() string {
	if strings.HasPrefix(b.file, "h3/") || strings.HasPrefix(b.file, "internal/qpack/") {
		return "h3"
	}
	return "conn"
}

// A finding is what the simulation says.
type finding struct{ runs, size, flaw string }

// find builds the tests with the bug, and runs them.
func (b *bug) find() (f finding, err error) {
	dir, err := os.MkdirTemp("", "planted")
	if err != nil {
		return f, err
	}
	defer os.RemoveAll(dir)
	src, err := b.plant(".")
	if err != nil {
		return f, err
	}
	file, test := filepath.Join(dir, "bug.go"), filepath.Join(dir, "conn.test")
	original, err := filepath.Abs(b.file)
	if err != nil {
		return f, err
	}
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{original: file}})
	if err != nil {
		return f, err
	}
	list := filepath.Join(dir, "overlay.json")
	for name, data := range map[string][]byte{file: src, list: overlay} {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			return f, err
		}
	}
	if out, err := exec.Command("go", "test", "-c", "-overlay", list, "-o", test, "./"+b.suite()).CombinedOutput(); err != nil {
		return f, fmt.Errorf("%w\n%s", err, out)
	}
	return f.run(test)
}

var (
	failed = regexp.MustCompile(`--- FAIL: TestStories/seed=(\d+)[^\n]*\n[^\n]*?go:\d+: ([^:]*): (?:at [^:]*: )?([^\n]*)`)
	size   = regexp.MustCompile(`the smallest story \((\d+) values\)`)
)

// run runs the stories in their order, up to the first that fails.
func (f finding) run(test string) (finding, error) {
	cmd := exec.Command(test, "-test.run=^TestStories$", "-test.failfast", "-test.timeout=30m")
	cmd.Env = append(os.Environ(), fmt.Sprintf("LAZO_RUNS=%d", maxRuns), "LAZO_FROM=1")
	out, err := cmd.CombinedOutput()
	if err == nil {
		return f, nil
	}
	m := failed.FindSubmatch(out)
	if m == nil {
		return f, fmt.Errorf("%w\n%s", err, out[:min(len(out), 4000)])
	}
	f.runs, f.flaw = string(m[1]), string(m[2])+": "+strings.ReplaceAll(string(m[3]), "|", "/")
	if m := size.FindSubmatch(out); m != nil {
		f.size = string(m[1])
	}
	return f, nil
}
