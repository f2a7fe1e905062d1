package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// A key names a requirement.
type key struct {
	doc     string // "RFC 9000", or the name of a draft
	section string
	n       int // counts the requirements of the section from 1
}

func (k key) String() string { return fmt.Sprintf("%s, Section %s [%d]", k.doc, k.section, k.n) }

// A requirement is a sentence of an RFC, in words of our own.
type requirement struct {
	key
	level  string // MUST, MUST NOT, SHOULD or SHOULD NOT
	text   string
	reason string // why no code obeys it
	obeyed []place
	shown  []place
}

// missing returns what there should be and is not.
func (r *requirement) missing() string {
	switch {
	case r.reason != "" && len(r.obeyed)+len(r.shown) > 0:
		return "has a reason why no code obeys it, and code or tests that cite it"
	case r.reason != "":
		return ""
	case len(r.obeyed)+len(r.shown) == 0:
		return "neither code nor a test cites it"
	case len(r.obeyed) == 0:
		return "no code cites it"
	case len(r.shown) == 0:
		return "no test cites it"
	}
	return ""
}

// A list is the requirements of an RFC or a draft, in its order.
type list struct {
	doc   string
	title string
	all   []*requirement
}

// listName is the name of a file with a list, and listLine is a line of it: section, number, level,
// and text.
const (
	listName = `^(rfc\d+|draft-[a-z0-9-]+)\.txt$`
	listLine = `^([0-9A-Z.]+) \[(\d+)\] ((?:MUST|SHOULD)(?: NOT)?) (.+)$`
)

// readLists reads the files rfcNNNN.txt and draft-NAME.txt in dir. Each begins with a title. A line
// of a requirement has its section and number, its level, and what is required. If no code obeys
// it, the reason follows after " | ".
func readLists(dir string) (lists []*list, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	name := regexp.MustCompile(listName)
	for _, e := range entries {
		m := name.FindStringSubmatch(e.Name())
		if m == nil {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		l, err := parseList(string(b))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", e.Name(), err)
		}
		l.doc = m[1]
		if number, ok := strings.CutPrefix(l.doc, "rfc"); ok {
			l.doc = "RFC " + number
		}
		for _, r := range l.all {
			r.doc = l.doc
		}
		lists = append(lists, l)
	}
	return lists, nil
}

// parseList parses a list.
func parseList(text string) (*list, error) {
	title, rest, _ := strings.Cut(text, "\n")
	l := &list{title: title}
	pattern, counted := regexp.MustCompile(listLine), make(map[string]int)
	for i, line := range strings.Split(rest, "\n") {
		if line == "" {
			continue
		}
		m := pattern.FindStringSubmatch(line)
		if m == nil {
			return nil, fmt.Errorf("line %d is no requirement: %q", i+2, line)
		}
		r := &requirement{level: m[3]}
		r.section = m[1]
		r.n, _ = strconv.Atoi(m[2])
		r.text, r.reason, _ = strings.Cut(m[4], " | ")
		if counted[r.section]++; r.n != counted[r.section] {
			return nil, fmt.Errorf("line %d: number %d of Section %s is missing", i+2, counted[r.section], r.section)
		}
		l.all = append(l.all, r)
	}
	return l, nil
}
